//! What may be done with a walker that was accepted: cancel it, retry it, forget it.
//!
//! As far as the actor can see; knows nothing of how a run is stopped.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;
use walker_model::{Status, WalkerId};

use crate::access::Actor;
use crate::host::Host;
use crate::queue::Refused;
use crate::quotas::{SUSPENDED, StorageFull};
use crate::store::cancel::{CANCEL_BATCH, CancelFilter, Cancelled, Stands};
use crate::store::lanes::Lane;
use crate::store::{self, Lease, WalkerView};

/// How often a walker that changes hands is asked again: each time means that a host took it or gave it back.
const MAX_MOVES: usize = 20;
/// A walker that has had so many attempts is not retried: far more than help anybody. Each leaves a row that is read with the walker,
/// and their number takes two bytes (32,767 at most), of which this leaves plenty for retries that authors ask for, lost hosts and hand-overs.
const MAX_ATTEMPTS: u16 = 1_000;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such walker that the actor may see.
    #[error("there is no such walker")]
    Unknown,
    /// It cannot be cancelled any more.
    #[error("the walker has ended already: it is {0}")]
    HasEnded(Status),
    /// It has not ended yet.
    #[error("the walker is {0}; only one that has ended can be {1}")]
    IsLive(Status, &'static str),
    /// It ended well.
    #[error("the walker is completed; only a failed or cancelled one can be retried")]
    IsCompleted,
    /// It was tried too often.
    #[error(
        "the walker has had {0} attempts, and after {MAX_ATTEMPTS} there is no other; start a new one with its fields"
    )]
    TooManyAttempts(u16),
    /// It moved between hosts all the time.
    #[error("the walker could not be held; try again shortly")]
    Busy,
    /// The operator has suspended the tenant.
    #[error("{SUSPENDED}")]
    Suspended,
    /// The tenant has as many live walkers as it may have.
    #[error(
        "the tenant may have {0} walkers pending or running at once; try again when some have ended, or have quota live_walkers raised"
    )]
    TooManyWalkers(u64),
    /// The tenant has as much stored as it may have.
    #[error(transparent)]
    StorageFull(#[from] StorageFull),
    /// The database failed.
    #[error("the walker could not be changed")]
    Store(#[from] store::Error),
    /// The database failed to say what the tenant may use.
    #[error("the tenant's quotas could not be read")]
    Quotas(#[source] Arc<store::Error>),
}

/// Which walkers to cancel.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    /// Only those of this name.
    pub name: Option<String>,
    /// Only the pending or only the running ones.
    pub status: Option<Status>,
    /// Only those accepted before this time.
    pub before: Option<DateTime<Utc>>,
}

impl Host {
    /// Cancels a walker: one that waits never runs, one that runs is stopped within moments of this call.
    ///
    /// # Errors
    /// When there is none within reach, or it has ended.
    pub async fn cancel(&self, actor: &Actor, id: &WalkerId) -> Result<(), Error> {
        for _ in 0..MAX_MOVES {
            match self.store.cancel(actor, id).await? {
                Cancelled::Ended => self.cancelled(actor, &[id.uuid]),
                Cancelled::Stopping(lease) => self.stop_cancelled(lease),
                Cancelled::Unknown => return Err(Error::Unknown),
                Cancelled::TooLate => return Err(Error::HasEnded(self.stands(actor, id).await?)),
                Cancelled::Moved => continue,
            }
            tracing::info!(walker = %id, "walker {id} was cancelled");
            self.put_on_record(actor, "walker.cancelled", &id.to_string(), json!({})).await;
            return Ok(());
        }
        Err(Error::Busy)
    }

    /// Cancels all that match and were accepted before now; answers how many.
    ///
    /// # Errors
    /// When the database fails; some may have been cancelled then.
    pub async fn cancel_all(&self, actor: &Actor, what: Cancel) -> Result<u64, Error> {
        let now = self.store.now().await?;
        let stands = match what.status {
            Some(Status::Pending) => Some(Stands::Pending),
            Some(Status::Running) => Some(Stands::Running),
            _ => None,
        };
        let before = what.before.map_or(now, |before| before.min(now));
        let filter = CancelFilter { name: what.name, stands, before };
        let (mut count, mut after) = (0, None);
        loop {
            let ids = self.store.live(actor, &filter, after).await?;
            if ids.is_empty() {
                break;
            }
            let cancelled = self.store.cancel_all(actor.tenant, &ids, stands).await?;
            count += (cancelled.ended.len() + cancelled.stopping.len()) as u64;
            self.cancelled(actor, &cancelled.ended);
            for lease in cancelled.stopping {
                self.stop_cancelled(lease);
            }
            if (ids.len() as i64) < CANCEL_BATCH {
                break;
            }
            after = ids.last().copied();
        }
        tracing::info!(count, "{count} walkers were cancelled");
        if count > 0 {
            let detail = json!({"count": count, "name": filter.name, "status": what.status, "before": before});
            self.put_on_record(actor, "walkers.cancelled", filter.name.as_deref().unwrap_or("*"), detail).await;
        }
        Ok(count)
    }

    /// Puts on record what was done to a tenant's walkers. Afterwards: nobody waits longer for a walker to be stopped.
    async fn put_on_record(&self, actor: &Actor, action: &str, subject: &str, detail: serde_json::Value) {
        if let Err(error) = self.store.record(actor.tenant, action, subject, detail).await {
            tracing::error!(error = &error as &dyn std::error::Error, "{action} of {subject} is not on record");
        }
    }

    /// Has a failed or cancelled walker run again, from its last save.
    ///
    /// # Errors
    /// When there is none within reach, it is live, it ended well, or it was tried too often.
    pub async fn retry(&self, actor: &Actor, id: &WalkerId) -> Result<(), Error> {
        let terms = self.quotas.terms(actor.tenant).await.map_err(Error::Quotas)?;
        let WalkerView { schedule, run, .. } = self.own(actor, id).await?;
        match schedule.status {
            Status::Failed | Status::Cancelled if !terms.is_open => return Err(Error::Suspended),
            Status::Failed | Status::Cancelled if run.attempt >= MAX_ATTEMPTS => {
                return Err(Error::TooManyAttempts(run.attempt));
            }
            Status::Failed | Status::Cancelled => {}
            Status::Completed => return Err(Error::IsCompleted),
            live @ (Status::Pending | Status::Running) => return Err(Error::IsLive(live, "retried")),
        }
        let priority = self.store.priority(actor, id).await?.ok_or(Error::Unknown)?;
        let lane = Lane { tenant: actor.tenant, walker: id.name.clone(), priority };
        let number = self.lanes.number(&lane).await?;
        if let Some(storage) = terms.quotas.storage() {
            self.room_to_store::<Error>(actor.tenant, 0, storage).await?;
        }
        // It counts again, like one that is accepted.
        let quota = terms.quotas.tenant.live_walkers;
        let room = self.backlog.admit(actor.tenant, &[id.uuid], quota).await;
        let coming = room.map_err(|refused| match refused {
            Refused::Full => Error::TooManyWalkers(quota),
            Refused::Store(error) => Error::Store(error),
        })?;
        if !self.store.retry(actor, id, number).await? {
            // Somebody else's retry came first.
            return Err(Error::IsLive(self.stands(actor, id).await?, "retried"));
        }
        coming.waiting();
        self.lanes.heard();
        self.wake.others();
        Ok(())
    }

    /// Forgets an ended walker: its record, its output, its earlier attempts.
    ///
    /// # Errors
    /// When there is none within reach, or it is live.
    pub async fn forget(&self, actor: &Actor, id: &WalkerId) -> Result<(), Error> {
        match self.store.forget_walker(actor, id).await? {
            true => Ok(()),
            false => Err(match self.stands(actor, id).await? {
                live @ (Status::Pending | Status::Running) => Error::IsLive(live, "forgotten"),
                _ => Error::Busy,
            }),
        }
    }

    /// These waited, and have ended.
    fn cancelled(&self, actor: &Actor, ids: &[Uuid]) {
        if ids.is_empty() {
            return;
        }
        self.backlog.cancelled(actor.tenant, ids.len());
        for id in ids {
            self.waiters.ended(*id);
        }
        // Whose lane is empty now is to hold nobody up.
        self.lanes.heard();
    }

    /// Stops the run of a walker that was marked as cancelled, wherever it is.
    fn stop_cancelled(&self, lease: Lease) {
        if lease.owner != self.lease.id() {
            self.cancels.tell(lease.owner);
        } else if !self.running.cancel(lease.id, lease.attempt) {
            self.cancels.look();
        }
    }

    async fn stands(&self, actor: &Actor, id: &WalkerId) -> Result<Status, Error> {
        self.own(actor, id).await.map(|view| view.schedule.status)
    }

    async fn own(&self, actor: &Actor, id: &WalkerId) -> Result<WalkerView, Error> {
        let view = self.readers.walker(actor, id).await?;
        // What may only be read, because its owner granted that, is nobody else's to change.
        let is_owned = |view: &WalkerView| actor.readable_root().is_none_or(|root| view.schedule.root_id.uuid == root);
        view.filter(is_owned).ok_or(Error::Unknown)
    }
}
