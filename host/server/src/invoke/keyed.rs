//! Invocations with an idempotency key: the first one counts, and is answered again.
//!
//! Two requests are the same when their hashes are; what goes into those, the caller of this decides.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;
use walker_model::{Ended, Failure, Limits, Outcome, Status, Usage, WalkerId};

use super::{Error, Invocation, Invoked, Ready};
use crate::access::Actor;
use crate::host::Host;
use crate::queue::{Group, Grouped};
use crate::runner::Recording;
use crate::store;
use crate::store::keys::{Kept, Key};

/// Before trying again to free a key while the database is away.
const FREE_PAUSE: Duration = Duration::from_secs(1);

/// An answer, and whether it was given before.
#[derive(Debug)]
pub(crate) enum Answered<T> {
    First(T),
    Again(T),
}

impl Host {
    /// As [`invoke`](Self::invoke), but once for each key.
    pub(crate) async fn invoke_once(
        self: &Arc<Self>,
        actor: &Actor,
        what: Invocation,
        key: Key,
    ) -> Result<Answered<Invoked>, Error> {
        let name = what.walker.clone();
        let is_put_off = what.is_put_off();
        let refused = match self.check(actor, what).await {
            Ok(ready) if ready.entry.definition.is_async => match self.accept_once(ready, key.clone()).await {
                Ok(answered) => return Ok(answered),
                Err(refused) => refused,
            },
            Ok(ready) if is_put_off => Error::NotDeferrable(ready.walker.walker),
            Ok(ready) => return self.run_once(actor, ready, key).await,
            Err(refused) => refused,
        };
        // What was accepted once is answered again, even when it would be refused by now.
        match self.store.key(&key).await? {
            Kept::New => Err(refused),
            kept => self.answer_again(actor, &name, kept).await,
        }
    }

    async fn accept_once(self: &Arc<Self>, ready: Ready, key: Key) -> Result<Answered<Invoked>, Error> {
        let (id, terms) = (ready.id(), ready.terms());
        let (mut place, walkers) = self.place(vec![ready]).await?;
        let start = self.slot_in(&mut place).await.map(|slot| self.start_in(slot, terms));
        let is_queued = start.is_none();
        match self.writers.accept_group(Group { key: Some(key), walkers }, start).await? {
            Grouped::Stored(_) => {
                if is_queued {
                    self.wait_in(place);
                }
                Ok(Answered::First(Invoked::Accepted(id)))
            }
            Grouped::Before(ids) => {
                let first = ids.first().copied().unwrap_or(id.uuid);
                Ok(Answered::Again(Invoked::Accepted(WalkerId { uuid: first, ..id })))
            }
            Grouped::OtherBody => Err(Error::KeyReused),
            Grouped::Forgotten => Err(forgotten_now()),
        }
    }

    async fn run_once(self: &Arc<Self>, actor: &Actor, ready: Ready, key: Key) -> Result<Answered<Invoked>, Error> {
        match self.store.keep_key(&key, ready.walker.id, self.lease.id()).await? {
            Kept::New => {}
            kept => return self.answer_again(actor, &ready.walker.walker, kept).await,
        }
        // A task of its own: should the caller go, the answer is still there for when it asks again.
        let (host, actor) = (self.clone(), *actor);
        let run = tokio::spawn(async move { host.run_kept(&actor, ready, key).await });
        run.await.unwrap_or_else(|panic| Err(Error::Fault(panic.to_string()))).map(Answered::First)
    }

    async fn run_kept(self: &Arc<Self>, actor: &Actor, ready: Ready, key: Key) -> Result<Invoked, Error> {
        let id = ready.walker.id;
        match self.run_counted(actor, ready).await {
            Ok((id, outcome)) => {
                if let Err(error) = self.store.end_key(&key, id.uuid).await {
                    // Its result says the same.
                    tracing::debug!(error = &error as &dyn std::error::Error, "could not mark the key of {id}");
                }
                Ok(Invoked::Ended { id, outcome: Box::new(outcome) })
            }
            Err(error) => {
                self.free_key(&key, id).await;
                Err(error)
            }
        }
    }

    async fn run_counted(self: &Arc<Self>, actor: &Actor, ready: Ready) -> Result<(WalkerId, Outcome), Error> {
        let _coming = self.room_for(std::slice::from_ref(&ready)).await?;
        let slot = self.slot_for_caller(actor.tenant).await?;
        self.run_recorded(actor, ready, 1, Some(slot), Recording::Sure).await
    }

    /// The walker came to nothing: whoever asks again starts anew.
    async fn free_key(&self, key: &Key, walker: Uuid) {
        while let Err(error) = self.store.free_key(key, walker).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not free the key of walker {walker}");
            // Keys of a host that is gone are free.
            if !error.is_unavailable() || self.is_stopping() {
                return;
            }
            tokio::time::sleep(FREE_PAUSE).await;
        }
    }

    /// The answer that was given, from what is stored.
    async fn answer_again(&self, actor: &Actor, name: &str, kept: Kept) -> Result<Answered<Invoked>, Error> {
        let ids = match kept {
            Kept::Walkers(ids) => ids,
            Kept::OtherBody => return Err(Error::KeyReused),
            Kept::New | Kept::Running => return Err(Error::KeyInProgress),
        };
        let uuid = ids.first().copied().ok_or_else(|| Error::Fault("a key without a walker".into()))?;
        let id = WalkerId { name: name.to_owned(), uuid };
        let view = self.readers.walker(actor, &id).await?.ok_or(Error::KeyForgotten)?;
        let entry = self.catalog.pinned_as(&view).await?;
        if entry.is_none_or(|entry| entry.definition.is_async) {
            return Ok(Answered::Again(Invoked::Accepted(id)));
        }
        let schedule = view.schedule;
        let ended = match (schedule.status, view.run.failure) {
            (Status::Pending | Status::Running, _) => return Err(Error::KeyInProgress),
            (Status::Completed, _) => Ended::Completed,
            (_, Some(failure)) => Ended::Failed(failure),
            (_, None) => Ended::Failed(Failure::new(walker_model::Code::HostLost, "it ended badly")),
        };
        let (usage, limits) = view.run.usage.unwrap_or((Usage::default(), Limits::default()));
        let (http_status, reports, custom) = (schedule.http_status, schedule.reports, schedule.custom);
        let outcome = Outcome { ended, fields: Some(view.fields), reports, http_status, custom, usage, limits };
        Ok(Answered::Again(Invoked::Ended { id, outcome: Box::new(outcome) }))
    }
}

/// Rare enough to be left to the caller, who has its retries anyway.
pub(super) fn forgotten_now() -> Error {
    Error::Store(store::Error::Unavailable("the key's day was over at this very moment".into()))
}
