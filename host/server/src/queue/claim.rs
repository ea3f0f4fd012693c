//! Takes waiting walkers when this host has free slots.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Statement;
use uuid::Uuid;

use super::HostLease;
use super::lanes::{Lanes, Pick};
use crate::modules::Catalog;
use crate::store::claim::{self, Claimed, Counted, Take};
use crate::store::lanes::{self, Lane, LaneId};
use crate::store::{Error, Session, Store};

/// The safety net below wake-ups: how late it may be noticed that a walker is due, or was queued by another host.
const LOOK: Duration = Duration::from_millis(100);
/// With very many lanes a look takes longer; it takes no more than this part of the time.
const LOOKING: u32 = 10;
/// Nobody may jump a queue that another host has known for so long.
const LATEST_LOOK: Duration = Duration::from_millis(250);
/// For how long after a failed claim it may still be committed.
const STRAYS: Duration = Duration::from_secs(10);
/// More in one statement gains nothing.
const MAX_CLAIM: usize = 200;

/// Runs at once.
#[derive(Clone)]
pub(crate) struct Slots(Arc<Semaphore>);

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    /// A slot, if there is one now.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }

    /// A slot as soon as there is one; `None` once they are closed.
    pub(crate) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().acquire_owned().await.ok()
    }

    /// Gives out no more slots: what waits stays for other hosts.
    pub(crate) fn close(&self) {
        self.0.close();
    }
}

/// What claiming needs.
pub(crate) struct Claiming {
    pub(crate) store: Store,
    pub(crate) lease: HostLease,
    pub(crate) slots: Slots,
    pub(crate) lanes: Lanes,
    pub(crate) catalog: Catalog,
}

/// What happens with walkers that were claimed.
pub(crate) trait Runs: Send + Sync {
    /// Runs one.
    fn start(&self, claimed: Claimed, slot: OwnedSemaphorePermit);

    /// Those that run on this host.
    fn running(&self) -> Vec<Uuid>;
}

/// Takes waiting walkers until the slots are closed.
pub(crate) async fn claim_due(claiming: Claiming, runs: impl Runs) {
    let mut claimer = Claimer { claiming, runs, link: None, looked: None, look_after: Duration::ZERO, failed: None };
    while let Some(first) = claimer.claiming.slots.wait().await {
        match claimer.take(first).await {
            Ok(Took::Some) => continue,
            Ok(Took::Nothing) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not look for waiting walkers; trying again"
                );
                claimer.link = None;
                claimer.failed = Some(Instant::now());
            }
        }
        // Either way: work, or the time to look again.
        let woken = claimer.claiming.lanes.woken();
        drop(tokio::time::timeout(claimer.until_look(), woken).await);
    }
}

/// What came of asking for work.
enum Took {
    Some,
    Nothing,
}

struct Claimer<R> {
    claiming: Claiming,
    runs: R,
    link: Option<Link>,
    /// When the last look began, and after how long the next is due.
    looked: Option<Instant>,
    look_after: Duration,
    /// When a claim last failed: it may have been committed all the same, its answer lost.
    failed: Option<Instant>,
}

/// A connection with its prepared statements.
struct Link {
    session: Session,
    claim: Statement,
    due: Statement,
}

impl<R: Runs> Claimer<R> {
    /// Starts what waits, as far as there are slots.
    async fn take(&mut self, first: OwnedSemaphorePermit) -> Result<Took, Error> {
        if self.claiming.lanes.take_heard() || self.until_look().is_zero() {
            self.look().await?;
        }
        if !self.claiming.lanes.has_waiting() {
            return Ok(Took::Nothing);
        }
        // Held before they are asked for: what is claimed starts at once, or it could have started on another host.
        let mut slots = vec![first];
        while slots.len() < MAX_CLAIM
            && let Some(slot) = self.claiming.slots.take()
        {
            slots.push(slot);
        }
        let since = self.claiming.lanes.now();
        let picks = self.claiming.lanes.choose(slots.len());
        if picks.is_empty() {
            return Ok(Took::Nothing);
        }
        let (limited, free): (Vec<Pick>, Vec<Pick>) = picks.into_iter().partition(|pick| pick.limit.is_some());
        if !free.is_empty() {
            let takes: Vec<Take> = free.iter().map(|pick| take(pick, pick.count)).collect();
            let claimed = self.claim(&takes, Counted::Freely).await?;
            for pick in &free {
                if count(&claimed, pick.id) < pick.count {
                    self.claiming.lanes.emptied(pick, since);
                }
            }
            self.start(claimed, &mut slots);
        }
        for of_one in limited.chunk_by(|one, next| one.tenant == next.tenant) {
            let claimed = self.claim_limited(of_one, since).await?;
            self.start(claimed, &mut slots);
        }
        Ok(Took::Some)
    }

    fn start(&self, claimed: Vec<Claimed>, slots: &mut Vec<OwnedSemaphorePermit>) {
        for claimed in claimed {
            let slot = slots.pop().expect("no more are claimed than there are slots");
            self.claiming.lanes.started(claimed.tenant);
            self.runs.start(claimed, slot);
        }
    }

    /// Takes as many as the limits leave room for, while no other host does.
    async fn claim_limited(&mut self, picks: &[Pick], since: super::lanes::Moment) -> Result<Vec<Claimed>, Error> {
        let tenant = picks[0].tenant;
        let session = &self.link().await?.session;
        session.batch_execute("begin").await?;
        claim::lock_limits(session, tenant).await?;
        let mut running = lanes::running(session, tenant).await?;
        let mut takes = Vec::new();
        for pick in picks {
            let running = running.entry(pick.walker.clone()).or_default();
            let room = pick.limit.unwrap_or(u32::MAX).saturating_sub(*running);
            let count = pick.count.min(room as usize);
            if count < pick.count {
                self.claiming.lanes.filled(pick);
            }
            if count > 0 {
                *running = running.saturating_add(count as u32);
                takes.push(take(pick, count));
            }
        }
        let claimed = if takes.is_empty() { Vec::new() } else { self.claim(&takes, Counted::Limited).await? };
        self.link().await?.session.batch_execute("commit").await?;
        for (pick, take) in
            picks.iter().filter_map(|pick| Some((pick, takes.iter().find(|take| take.lane == pick.id)?)))
        {
            if (count(&claimed, pick.id) as i64) < take.at_most {
                self.claiming.lanes.emptied(pick, since);
            }
        }
        Ok(claimed)
    }

    async fn claim(&mut self, takes: &[Take], counted: Counted) -> Result<Vec<Claimed>, Error> {
        let host = self.claiming.lease.id();
        let link = self.link().await?;
        claim::claim(&link.session, &link.claim, host, takes, counted).await
    }

    /// Finds out what waits, also what other hosts queued or what has become due.
    async fn look(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        self.hand_back_strays().await?;
        let since = self.claiming.lanes.now();
        let link = self.link().await?;
        let due = lanes::due(&link.session, &link.due).await?;
        let mut found = Vec::with_capacity(due.len());
        for (id, lane) in due {
            let limit = self.limit(&lane).await?;
            found.push((id, lane, limit));
        }
        self.claiming.lanes.found(found, since);
        self.looked = Some(began);
        self.look_after = (began.elapsed() * LOOKING).clamp(LOOK, LATEST_LOOK);
        Ok(())
    }

    /// A claim whose answer was lost leaves walkers that this host holds but does not run; nobody else would free them.
    async fn hand_back_strays(&mut self) -> Result<(), Error> {
        let Some(failed) = self.failed else { return Ok(()) };
        let host = self.claiming.lease.id();
        let running = self.runs.running();
        let freed = claim::hand_back(&self.link().await?.session, host, &running).await?;
        if freed > 0 {
            tracing::warn!(freed, "handed back {freed} walkers that a lost connection had claimed for this host");
        }
        // A statement goes on for a while after its connection was cut.
        if failed.elapsed() > STRAYS {
            self.failed = None;
        }
        Ok(())
    }

    /// How many of a lane's walker may run at once.
    async fn limit(&self, lane: &Lane) -> Result<Option<u32>, Error> {
        let entry = self.claiming.catalog.active(lane.tenant, &lane.walker).await?;
        Ok(entry.and_then(|entry| entry.definition.settings.concurrency))
    }

    fn until_look(&self) -> Duration {
        self.looked.map_or(Duration::ZERO, |looked| self.look_after.saturating_sub(looked.elapsed()))
    }

    async fn link(&mut self) -> Result<&mut Link, Error> {
        match &mut self.link {
            Some(_) => {}
            none => {
                let session = self.claiming.store.queue_session().await?;
                let claim = session.prepare(claim::CLAIM).await?;
                let due = session.prepare(lanes::DUE).await?;
                *none = Some(Link { session, claim, due });
            }
        }
        Ok(self.link.as_mut().expect("just made"))
    }
}

fn take(pick: &Pick, count: usize) -> Take {
    Take { lane: pick.id, at_most: count as i64 }
}

fn count(claimed: &[Claimed], lane: LaneId) -> usize {
    claimed.iter().filter(|claimed| claimed.lane == lane).count()
}
