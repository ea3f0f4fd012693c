//! Takes waiting walkers when this host has free slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Statement;

use super::{HostLease, Strays};
use crate::store::claim::{self, Claimed, Take};
use crate::store::{Error, Session, Store, within};

/// The safety net below wake-ups: how late a due walker may be noticed.
const POLL: Duration = Duration::from_millis(100);
/// A claim takes milliseconds; one that takes this long has lost its connection.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// More in one statement gains nothing.
const MAX_CLAIM: usize = 200;

/// Runs at once, and what waits for a place among them.
#[derive(Clone)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    queued: Arc<Queued>,
}

#[derive(Default)]
struct Queued {
    /// Whether rows may be waiting that were here first.
    backlog: AtomicBool,
    wake: Notify,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), queued: Arc::default() }
    }

    /// A slot for a new walker, unless others wait already: nobody jumps the queue.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        if self.queued.backlog.load(Ordering::Acquire) {
            return None;
        }
        self.free.clone().try_acquire_owned().ok()
    }

    /// A slot as soon as there is one; `None` once they are closed.
    pub(crate) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        self.free.clone().acquire_owned().await.ok()
    }

    /// Gives out no more slots: what waits stays for other hosts.
    pub(crate) fn close(&self) {
        self.free.close();
    }

    /// A row was stored that this host could not take at once.
    pub(crate) fn queued(&self) {
        self.queued.backlog.store(true, Ordering::Release);
        self.queued.wake.notify_one();
    }

    /// How many more could be taken at once.
    fn free(&self) -> usize {
        self.free.available_permits()
    }
}

/// Takes waiting walkers until the slots are closed. `start` runs each.
pub(crate) async fn claim_due(
    store: Store,
    lease: HostLease,
    slots: Slots,
    strays: Strays,
    start: impl Fn(Claimed, OwnedSemaphorePermit) + Send + Sync,
) {
    let mut link: Option<(Session, Statement)> = None;
    let mut after_tenant = 0;
    // How many slots came free while the last answer was under way: about as many will be by the time of the next.
    let mut coming = 0;
    loop {
        // Not before there is a slot. Only one is held while asking, so that new walkers find the others free.
        let mut slot = slots.wait().await;
        if slot.is_none() {
            return;
        }
        let free = slots.free();
        let wanted = (1 + free + coming).min(MAX_CLAIM);
        // Before asking: a row queued meanwhile sets it again.
        slots.queued.backlog.store(false, Ordering::Release);
        // No tenant gets more than half of what there is, as long as others wait.
        let take = Take { after_tenant, per_tenant: wanted.div_ceil(2) as i64, at_most: wanted as i64 };
        match within(ANSWER_WAIT, claim(&store, &mut link, &lease, take)).await {
            Ok(claimed) => {
                coming = slots.free().saturating_sub(free);
                let is_full = claimed.len() == wanted;
                let may_have_more = after_tenant > 0 || claimed.len() as i64 >= take.per_tenant;
                after_tenant = if is_full { claimed.last().map_or(0, |last| last.tenant.0) } else { 0 };
                strays.will_start(claimed.iter().map(|claimed| claimed.lease.id));
                for claimed in claimed {
                    let slot = match slot.take() {
                        Some(slot) => Some(slot),
                        None => slots.wait().await,
                    };
                    // Closed meanwhile: the host hands back what it holds.
                    let Some(slot) = slot else { return };
                    let id = claimed.lease.id;
                    start(claimed, slot);
                    strays.has_started(id);
                }
                if is_full || may_have_more {
                    slots.queued.backlog.store(true, Ordering::Release);
                    continue;
                }
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not look for waiting walkers; trying again"
                );
                link = None;
                // What it asked for may have been given.
                strays.suspect();
            }
        }
        drop(slot);
        // Either way: work, or the time to look again.
        drop(tokio::time::timeout(POLL, slots.queued.wake.notified()).await);
    }
}

async fn claim(
    store: &Store,
    link: &mut Option<(Session, Statement)>,
    lease: &HostLease,
    take: Take,
) -> Result<Vec<Claimed>, Error> {
    let (session, statement) = match link {
        Some(link) => link,
        None => {
            let session = store.queue_session().await?;
            let statement = session.prepare(claim::CLAIM).await?;
            link.insert((session, statement))
        }
    };
    claim::claim(session, statement, lease.id(), take).await
}
