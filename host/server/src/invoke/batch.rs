//! Batches: many walkers of one name, accepted all or none.

use walker_model::{Json, WalkerId};

use super::keyed::{Answered, forgotten_now};
use super::{Error, FieldProblem, Invocation, Ready};
use crate::access::Actor;
use crate::host::Host;
use crate::queue::{Group, Grouped};
use crate::store::keys::{Kept, Key};

/// More problems than anybody reads.
const MAX_PROBLEMS: usize = 20;

impl Host {
    /// Accepts an async walker for each of `fields`, all or none; answers their ids in that order. With a key, once.
    pub(crate) async fn invoke_batch(
        &self,
        actor: &Actor,
        what: Invocation,
        fields: Vec<Json>,
        key: Option<Key>,
    ) -> Result<Answered<Vec<WalkerId>>, Error> {
        let name = what.walker.clone();
        let named = |ids: Vec<uuid::Uuid>| ids.into_iter().map(|uuid| WalkerId { name: name.clone(), uuid }).collect();
        let walkers = match self.check_batch(actor, what, fields).await {
            Ok(ready) => ready,
            // What was accepted once is answered again, even when it would be refused by now.
            Err(refused) => {
                let kept = match &key {
                    Some(key) => self.store.key(key).await?,
                    None => Kept::New,
                };
                return match kept {
                    Kept::Walkers(ids) => Ok(Answered::Again(named(ids))),
                    Kept::OtherBody => Err(Error::KeyReused),
                    Kept::New | Kept::Running => Err(refused),
                };
            }
        };
        let ids: Vec<WalkerId> = walkers.iter().map(Ready::id).collect();
        let walkers = walkers.into_iter().map(|ready| ready.walker).collect();
        // None of them starts at once: hosts claim them in turns with everybody else's.
        match self.writers.accept_group(Group { key, walkers }, None).await? {
            Grouped::Stored(_) => {
                self.slots.queued();
                Ok(Answered::First(ids))
            }
            Grouped::Before(ids) => Ok(Answered::Again(named(ids))),
            Grouped::OtherBody => Err(Error::KeyReused),
            Grouped::Forgotten => Err(forgotten_now()),
        }
    }

    async fn check_batch(&self, actor: &Actor, what: Invocation, fields: Vec<Json>) -> Result<Vec<Ready>, Error> {
        let mut walkers = Vec::with_capacity(fields.len());
        let mut problems = Vec::new();
        for (at, fields) in fields.into_iter().enumerate() {
            match self.check(actor, Invocation { fields: Some(fields), ..what.clone() }).await {
                Ok(ready) if !ready.entry.definition.is_async => return Err(Error::NotAsync(what.walker)),
                Ok(ready) => walkers.push(ready),
                Err(Error::Fields(found)) => {
                    problems.extend(found.into_iter().map(|problem| FieldProblem {
                        pointer: format!("/walkers/{at}{}", problem.pointer),
                        ..problem
                    }))
                }
                Err(Error::Malformed(detail)) => {
                    problems.push(FieldProblem { pointer: format!("/walkers/{at}"), detail });
                }
                Err(error) => return Err(error),
            }
            if problems.len() >= MAX_PROBLEMS {
                break;
            }
        }
        problems.truncate(MAX_PROBLEMS);
        if problems.is_empty() { Ok(walkers) } else { Err(Error::Fields(problems)) }
    }
}
