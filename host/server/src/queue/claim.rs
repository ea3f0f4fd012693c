//! Takes waiting walkers when this host has free slots.
//!
//! From which lanes is decided in `lanes.rs`, whether a tenant may have another slot in `slots.rs`.

use std::time::{Duration, Instant};

use tokio_postgres::Statement;

use super::lanes::{Full, Lanes, Moment, Pick};
use super::slots::{Slot, Slots};
use super::{HostLease, Strays};
use crate::modules::Catalog;
use crate::quotas::QuotaRules;
use crate::store::claim::{self, Claimed, Counted, Take, Takes};
use crate::store::lanes;
use crate::store::{Error, LARGE_MESSAGE_BYTES, Session, Store, within};

/// The safety net below wake-ups: how late it may be noticed that a walker is due, or was queued by another host.
const LOOK: Duration = Duration::from_millis(100);
/// With very many lanes a look takes longer; it takes no more than this part of the time.
const LOOKING: u32 = 10;
/// Nobody may jump a queue that another host has known for so long, and for as long as a look takes: 0.1 s with ten thousand lanes.
const LATEST_LOOK: Duration = Duration::from_millis(250);
/// Looks and claims take milliseconds; what takes this long has lost its connection.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// More in one statement gains nothing.
const MAX_CLAIM: usize = 200;
/// What one claim brings along, but for its last walker's input: some hundred milliseconds of work for Postgres and for this
/// host, during which nobody else's walkers are taken; and far from what a slow network carries within [`ANSWER_WAIT`].
const MAX_CLAIM_BYTES: i64 = 32 << 20;

/// What claiming needs.
pub(crate) struct Claiming {
    pub(crate) store: Store,
    pub(crate) lease: HostLease,
    pub(crate) slots: Slots,
    pub(crate) lanes: Lanes,
    pub(crate) catalog: Catalog,
    pub(crate) quotas: QuotaRules,
    pub(crate) strays: Strays,
}

/// Takes waiting walkers until the slots are closed. `start` runs each.
pub(crate) async fn claim_due(claiming: Claiming, start: impl Fn(Claimed, Slot) + Send + Sync) {
    let mut claimer = Claimer { claiming, start, link: None, looked: None, look_after: Duration::ZERO };
    while !claimer.claiming.slots.is_closed() {
        match claimer.take().await {
            Ok(Took::Some) => continue,
            Ok(Took::Nothing) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not look for waiting walkers; trying again"
                );
                claimer.link = None;
                // What it asked for may have been given.
                claimer.claiming.strays.suspect();
                tokio::time::sleep(LOOK).await;
            }
        }
        let Claiming { slots, lanes, .. } = &claimer.claiming;
        // Work, a slot for it, or the time to look again.
        tokio::select! {
            () = lanes.woken() => {}
            () = slots.released() => {}
            () = tokio::time::sleep(claimer.until_look()) => {}
        }
    }
}

/// What came of asking for work.
enum Took {
    Some,
    Nothing,
}

struct Claimer<S> {
    claiming: Claiming,
    start: S,
    link: Option<Link>,
    /// When the last look began, and after how long the next is due.
    looked: Option<Instant>,
    look_after: Duration,
}

/// A connection with its prepared statements.
struct Link {
    session: Session,
    claim: Statement,
    due: Statement,
    /// The most that a claim on it has brought.
    carried: i64,
}

/// What a claim brought.
struct Brought {
    walkers: Vec<Claimed>,
    /// Whether the next claim may find more in the same lanes, because what is here is large.
    is_cut: bool,
}

impl<S: Fn(Claimed, Slot)> Claimer<S> {
    /// Starts what waits, as far as there are slots: what is claimed starts at once, or it could have started on another
    /// host.
    async fn take(&mut self) -> Result<Took, Error> {
        if self.claiming.lanes.take_heard() || self.until_look().is_zero() {
            within(ANSWER_WAIT, self.look()).await?;
        }
        let since = self.claiming.lanes.now();
        if self.claiming.lanes.has_waiting() {
            self.claiming.slots.want();
        }
        let mut picks = self.claiming.lanes.choose(MAX_CLAIM, &self.claiming.slots);
        if picks.is_empty() {
            return Ok(Took::Nothing);
        }
        within(ANSWER_WAIT, self.add_limits(&mut picks)).await?;
        let (mut limited, mut free): (Vec<Pick>, Vec<Pick>) =
            picks.into_iter().partition(|pick| pick.limit.is_limited());
        if !free.is_empty() {
            let takes: Vec<Take> = free.iter().map(|pick| take(pick, pick.slots.len())).collect();
            let brought = within(ANSWER_WAIT, self.claim(&takes, Counted::Freely)).await?;
            self.start(brought, &mut free, since);
        }
        for of_one in limited.chunk_by_mut(|one, next| one.tenant == next.tenant) {
            within(ANSWER_WAIT, self.claim_limited(of_one, since)).await?;
        }
        self.link.take_if(|link| link.carried > LARGE_MESSAGE_BYTES as i64);
        Ok(Took::Some)
    }

    /// Adds how many of a lane's walker may run at once. Asked of what was chosen only: a look finds ten thousand lanes, and whether
    /// somebody defines their walkers at all would be asked again each time.
    async fn add_limits(&self, picks: &mut [Pick]) -> Result<(), Error> {
        for pick in picks {
            let entry = self.claiming.catalog.active(pick.tenant, &pick.walker).await?;
            pick.limit.walker = entry.and_then(|entry| entry.definition.settings.concurrency);
        }
        Ok(())
    }

    /// Starts what was claimed; a lane that gave fewer than there were slots is empty, unless there was too much for one claim.
    fn start(&self, brought: Brought, picks: &mut [Pick], since: Moment) {
        for claimed in brought.walkers {
            let pick = picks.iter_mut().find(|pick| pick.id == claimed.lane).expect("only these lanes were asked for");
            let slot = pick.slots.pop().expect("no more are claimed than there are slots");
            self.claiming.lanes.started(claimed.tenant);
            (self.start)(claimed, slot);
        }
        if brought.is_cut {
            return;
        }
        for pick in picks.iter().filter(|pick| !pick.slots.is_empty()) {
            self.claiming.lanes.emptied(pick, since);
        }
    }

    /// Takes as many as the limits leave room for, while no other host does.
    async fn claim_limited(&mut self, picks: &mut [Pick], since: Moment) -> Result<(), Error> {
        let tenant = picks[0].tenant;
        let session = &self.link().await?.session;
        session.batch_execute("begin").await?;
        claim::lock_limits(session, tenant).await?;
        let mut running = lanes::running(session, tenant).await?;
        let mut of_tenant = running.values().fold(0_u32, |sum, count| sum.saturating_add(*count));
        for pick in picks.iter_mut() {
            let running = running.entry(pick.walker.clone()).or_default();
            let room = |limit: Option<u32>, running: u32| limit.unwrap_or(u32::MAX).saturating_sub(running);
            let rooms = [(pick.limit.walker, *running, Full::Walker), (pick.limit.tenant, of_tenant, Full::Tenant)];
            for (limit, running, full) in rooms {
                let room = room(limit, running) as usize;
                if room < pick.slots.len() {
                    self.claiming.lanes.filled(pick, full);
                    pick.slots.truncate(room);
                }
            }
            *running = running.saturating_add(pick.slots.len() as u32);
            of_tenant = of_tenant.saturating_add(pick.slots.len() as u32);
        }
        let takes: Vec<Take> =
            picks.iter().map(|pick| take(pick, pick.slots.len())).filter(|take| take.at_most > 0).collect();
        let brought = self.claim(&takes, Counted::Limited).await?;
        self.link().await?.session.batch_execute("commit").await?;
        self.start(brought, picks, since);
        Ok(())
    }

    async fn claim(&mut self, lanes: &[Take], counted: Counted) -> Result<Brought, Error> {
        if lanes.is_empty() {
            return Ok(Brought { walkers: Vec::new(), is_cut: false });
        }
        let host = self.claiming.lease.id();
        let link = self.link().await?;
        let takes = Takes { lanes, at_most_bytes: MAX_CLAIM_BYTES };
        let walkers = claim::claim(&link.session, &link.claim, host, takes, counted).await?;
        let bytes = walkers.iter().map(|walker| walker.bytes).sum();
        link.carried = link.carried.max(bytes);
        Ok(Brought { walkers, is_cut: bytes >= MAX_CLAIM_BYTES })
    }

    /// Finds out what waits, also what other hosts queued or what has become due.
    async fn look(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        let since = self.claiming.lanes.now();
        let link = self.link().await?;
        let due = lanes::due(&link.session, &link.due).await?;
        let mut found = Vec::with_capacity(due.len());
        for (id, lane, terms) in due {
            // Of a tenant that is suspended, what waits goes on waiting.
            if !terms.is_open {
                continue;
            }
            let quotas = self.claiming.quotas.with(&terms.quotas);
            self.claiming.lanes.weigh(lane.tenant, quotas.weight());
            found.push((id, lane, quotas.concurrency()));
        }
        self.claiming.lanes.found(found, since);
        self.looked = Some(began);
        self.look_after = (began.elapsed() * LOOKING).clamp(LOOK, LATEST_LOOK);
        Ok(())
    }

    fn until_look(&self) -> Duration {
        self.looked.map_or(Duration::ZERO, |looked| self.look_after.saturating_sub(looked.elapsed()))
    }

    async fn link(&mut self) -> Result<&mut Link, Error> {
        match &mut self.link {
            Some(_) => {}
            none => {
                let session = self.claiming.store.queue_session("claims").await?;
                let claim = session.prepare(claim::CLAIM).await?;
                let due = session.prepare(lanes::DUE).await?;
                *none = Some(Link { session, claim, due, carried: 0 });
            }
        }
        Ok(self.link.as_mut().expect("just made"))
    }
}

fn take(pick: &Pick, count: usize) -> Take {
    Take { lane: pick.id, at_most: count as i64 }
}
