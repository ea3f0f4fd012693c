//! Batches: many walkers of one name, accepted all or none.

use uuid::Uuid;
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
        let named = |ids: Vec<Uuid>| ids.into_iter().map(|uuid| WalkerId { name: name.clone(), uuid }).collect();
        let refused = match self.accept_batch(actor, what, fields, key.clone()).await {
            Ok(Answered::First(ids)) => return Ok(Answered::First(named(ids))),
            Ok(Answered::Again(ids)) => return Ok(Answered::Again(named(ids))),
            Err(refused) => refused,
        };
        // What was accepted once is answered again, even when it would be refused by now.
        let kept = match &key {
            Some(key) => self.store.key(key).await?,
            None => Kept::New,
        };
        match kept {
            Kept::Walkers(ids) => Ok(Answered::Again(named(ids))),
            Kept::OtherBody => Err(Error::KeyReused),
            Kept::New | Kept::Running => Err(refused),
        }
    }

    async fn accept_batch(
        &self,
        actor: &Actor,
        what: Invocation,
        fields: Vec<Json>,
        key: Option<Key>,
    ) -> Result<Answered<Vec<Uuid>>, Error> {
        let _room = self.writers.room(actor.tenant, fields.len()).ok_or(Error::Busy)?;
        let ready = self.check_batch(actor, what, fields).await?;
        let (mut place, walkers) = self.place(ready).await?;
        let ids = walkers.iter().map(|walker| walker.id).collect();
        self.wait_ahead(&mut place);
        // None of them starts at once: hosts claim them in turns with everybody else's.
        match self.writers.accept_group(Group { key, walkers }, None).await? {
            Grouped::Stored(_) => {
                self.wait_in(place);
                Ok(Answered::First(ids))
            }
            Grouped::Before(ids) => Ok(Answered::Again(ids)),
            Grouped::OtherBody => Err(Error::KeyReused),
            Grouped::Forgotten => Err(forgotten_now()),
        }
    }

    async fn check_batch(&self, actor: &Actor, what: Invocation, fields: Vec<Json>) -> Result<Vec<Ready>, Error> {
        let mut walkers = Vec::with_capacity(fields.len());
        let mut problems = Vec::new();
        for (at, fields) in fields.into_iter().enumerate() {
            // Each may take a little, and there are many.
            tokio::task::yield_now().await;
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
