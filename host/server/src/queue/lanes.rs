//! Which lanes hold walkers that wait, as far as this host knows, and from which of them it takes how many.
//!
//! Knows what this host queued at once, and what others queued as of the last look. Sends no statement but to find a
//! lane's number.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moka::future::Cache;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use walker_model::{Priority, TenantId};

use super::shares::Shares;
use super::slots::{Slot, Slots};
use crate::store::lanes::{Lane, LaneId};
use crate::store::{Error, Store};

/// Numbers of lanes kept in memory; each takes about a hundred bytes.
const MAX_NUMBERS: u64 = 100_000;

/// What waits, and in which order it comes.
#[derive(Clone)]
pub(crate) struct Lanes(Arc<Inner>);

struct Inner {
    store: Store,
    numbers: Cache<Lane, LaneId>,
    state: Mutex<State>,
    wake: Notify,
    /// Told when a lane was emptied.
    emptied: Notify,
}

#[derive(Default)]
struct State {
    waiting: HashMap<TenantId, BTreeMap<LaneId, Waiting>>,
    /// How many are being stored that will wait.
    coming: BTreeMap<(TenantId, Priority), usize>,
    shares: Shares,
    /// Raised with each look and each claim, to tell what was queued since.
    clock: u64,
    /// Whether something was queued that this host knows no more of.
    heard: bool,
}

/// How many may run at once, on all hosts together; `None`: as many as there are slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Concurrency {
    /// Of the lane's walker.
    pub(crate) walker: Option<u32>,
    /// Of all of its tenant's.
    pub(crate) tenant: Option<u32>,
}

impl Concurrency {
    /// Whether what runs is to be counted.
    pub(crate) fn is_limited(self) -> bool {
        self.walker.is_some() || self.tenant.is_some()
    }
}

/// What is at its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Walker,
    Tenant,
}

/// A lane that holds walkers which are due.
struct Waiting {
    walker: String,
    priority: Priority,
    /// How many of its tenant's walkers may run at once.
    tenant_limit: Option<u32>,
    /// When somebody last queued in it.
    queued: Moment,
    /// When it was last chosen: lanes of one priority take turns.
    chosen: Moment,
    /// At its limit: nothing is taken before one ends or the next look.
    is_full: bool,
}

/// A moment on the clock of [`Lanes`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

/// Walkers on their way into a lane, ahead of those that come later; until dropped.
#[must_use]
pub(crate) struct Ahead {
    lanes: Lanes,
    place: (TenantId, Priority),
}

/// How a new walker of a tenant stands beside those of it that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// Some come before it.
    pub(super) is_behind: bool,
    /// Some wait for more than a slot.
    pub(super) is_held_up: bool,
}

/// What is to be taken from a lane: one walker for each slot.
pub(super) struct Pick {
    pub(super) id: LaneId,
    pub(super) tenant: TenantId,
    pub(super) walker: String,
    /// Its tenant's; its walker's own is added by whoever takes it.
    pub(super) limit: Concurrency,
    pub(super) slots: Vec<Slot>,
}

impl Lanes {
    pub(crate) fn new(store: Store) -> Self {
        let numbers = Cache::builder().max_capacity(MAX_NUMBERS).build();
        Self(Arc::new(Inner { store, numbers, state: Mutex::default(), wake: Notify::new(), emptied: Notify::new() }))
    }

    /// The lane's number.
    ///
    /// # Errors
    /// When it is not known yet and the database cannot answer.
    pub(crate) async fn number(&self, lane: &Lane) -> Result<LaneId, Error> {
        if let Some(id) = self.0.numbers.get(lane).await {
            return Ok(id);
        }
        let id = Box::pin(self.0.store.lane(lane)).await?;
        self.0.numbers.insert(lane.clone(), id).await;
        Ok(id)
    }

    /// A slot for a new walker to start in at once, unless some of its tenant wait that come before it, or are on their way:
    /// nobody jumps the queue. Without one it is ahead of those that come after it.
    pub(crate) fn enter(&self, tenant: TenantId, priority: Priority, slots: &Slots) -> Result<Slot, Ahead> {
        let mut state = self.lock();
        let slot = if state.is_ahead(tenant, priority) { None } else { slots.take(tenant) };
        slot.ok_or_else(|| self.come(&mut state, tenant, priority))
    }

    /// The same, for one that has not made up its mind: without a slot nothing has happened.
    pub(super) fn try_enter(&self, tenant: TenantId, priority: Priority, slots: &Slots) -> Option<Slot> {
        let state = self.lock();
        if state.is_ahead(tenant, priority) { None } else { slots.take(tenant) }
    }

    /// Whether anything comes before a new walker of this priority, and whether something waits for more than a slot.
    pub(super) fn stands(&self, tenant: TenantId, priority: Priority) -> Standing {
        let state = self.lock();
        Standing { is_behind: state.is_ahead(tenant, priority), is_held_up: state.is_held_up(tenant) }
    }

    /// Returns when a lane was emptied since this was called.
    pub(super) fn emptying(&self) -> Notified<'_> {
        self.0.emptied.notified()
    }

    /// New walkers are to wait, even if there are slots.
    pub(crate) fn enter_to_wait(&self, tenant: TenantId, priority: Priority) -> Ahead {
        self.come(&mut self.lock(), tenant, priority)
    }

    fn come(&self, state: &mut State, tenant: TenantId, priority: Priority) -> Ahead {
        *state.coming.entry((tenant, priority)).or_default() += 1;
        Ahead { lanes: self.clone(), place: (tenant, priority) }
    }

    /// A walker was queued that may run as soon as there is a slot.
    pub(crate) fn queued(&self, id: LaneId, lane: &Lane, tenant_limit: Option<u32>) {
        self.lock().queued(id, lane, tenant_limit);
        self.0.wake.notify_one();
    }

    /// Something was queued, nobody knows where.
    pub(crate) fn heard(&self) {
        self.lock().heard = true;
        self.0.wake.notify_one();
    }

    /// Whether something was heard of since this was last asked.
    pub(super) fn take_heard(&self) -> bool {
        std::mem::take(&mut self.lock().heard)
    }

    /// Returns when something was queued, or one of a limited walker's runs ended.
    pub(super) async fn woken(&self) {
        self.0.wake.notified().await;
    }

    /// What a tenant weighs beside others.
    pub(super) fn weigh(&self, tenant: TenantId, weight: NonZero<u32>) {
        self.lock().shares.weigh(tenant, weight);
    }

    /// A walker of this tenant starts.
    pub(crate) fn started(&self, tenant: TenantId) {
        self.lock().shares.started(tenant);
    }

    /// A walker has ended and its result is committed: those that wait for its place may have it.
    pub(crate) fn ended(&self, tenant: TenantId, walker: &str, fuel: u64) {
        let mut state = self.lock();
        state.shares.ended(tenant, fuel);
        let mut is_wanted = false;
        for lane in state.waiting.get_mut(&tenant).into_iter().flat_map(BTreeMap::values_mut) {
            // A limit of the whole tenant fills lanes of other walkers, too.
            if lane.is_full && (lane.walker == walker || lane.tenant_limit.is_some()) {
                lane.is_full = false;
                is_wanted = true;
            }
        }
        drop(state);
        if is_wanted {
            self.0.wake.notify_one();
        }
    }

    /// The moment from which on what is queued counts as later.
    pub(super) fn now(&self) -> Moment {
        let mut state = self.lock();
        state.clock += 1;
        Moment(state.clock)
    }

    /// What was found by a look that began at `since`.
    pub(super) fn found(&self, due: Vec<(LaneId, Lane, Option<u32>)>, since: Moment) {
        let still: HashSet<LaneId> = due.iter().map(|(id, ..)| *id).collect();
        let mut state = self.lock();
        for lanes in state.waiting.values_mut() {
            lanes.retain(|id, lane| lane.queued >= since || still.contains(id));
        }
        for (id, lane, tenant_limit) in due {
            state.queued_at(id, &lane, tenant_limit, Moment::default());
        }
        for lane in state.waiting.values_mut().flat_map(BTreeMap::values_mut) {
            lane.is_full = false;
        }
        state.waiting.retain(|_, lanes| !lanes.is_empty());
    }

    /// A claim that began at `since` left nothing in this lane.
    pub(super) fn emptied(&self, pick: &Pick, since: Moment) {
        let mut state = self.lock();
        if let Some(lanes) = state.waiting.get_mut(&pick.tenant) {
            lanes.retain(|id, lane| *id != pick.id || lane.queued >= since);
            if lanes.is_empty() {
                state.waiting.remove(&pick.tenant);
            }
        }
        drop(state);
        self.0.emptied.notify_waiters();
    }

    /// This lane's walker, or its whole tenant, is at its limit, and all lanes that the limit is for with it: while one of
    /// low priority was tried, a place could come free that is another's.
    pub(super) fn filled(&self, pick: &Pick, full: Full) {
        for lane in self.lock().waiting.get_mut(&pick.tenant).into_iter().flat_map(BTreeMap::values_mut) {
            lane.is_full |= match full {
                Full::Walker => lane.walker == pick.walker,
                Full::Tenant => lane.tenant_limit.is_some(),
            };
        }
    }

    /// Whether there is anything to choose from.
    pub(super) fn has_waiting(&self) -> bool {
        self.lock().waiting.values().flat_map(BTreeMap::values).any(|lane| !lane.is_full)
    }

    /// From which lanes the next `count` walkers come, as far as their tenants have slots: tenants in turns, within a
    /// tenant the highest priority, and lanes of one priority in turns.
    pub(super) fn choose(&self, count: usize, slots: &Slots) -> Vec<Pick> {
        self.lock().choose(count, slots)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Entry::Occupied(mut coming) = self.lanes.lock().coming.entry(self.place) {
            *coming.get_mut() -= 1;
            if *coming.get() == 0 {
                coming.remove();
            }
        }
    }
}

impl State {
    /// Whether something of this tenant comes before a new walker of this priority.
    fn is_ahead(&self, tenant: TenantId, priority: Priority) -> bool {
        let waits = |lanes: &BTreeMap<_, Waiting>| lanes.values().any(|lane| lane.priority >= priority);
        self.waiting.get(&tenant).is_some_and(waits)
            || self.coming.range((tenant, priority)..=(tenant, Priority::High)).next().is_some()
    }

    /// Whether some of what this tenant has waiting waits for more than a slot.
    fn is_held_up(&self, tenant: TenantId) -> bool {
        self.waiting.get(&tenant).is_some_and(|lanes| lanes.values().any(|lane| lane.is_full))
    }

    fn queued(&mut self, id: LaneId, lane: &Lane, tenant_limit: Option<u32>) {
        let now = Moment(self.clock);
        self.queued_at(id, lane, tenant_limit, now);
    }

    fn queued_at(&mut self, id: LaneId, lane: &Lane, tenant_limit: Option<u32>, queued: Moment) {
        let lanes = self.waiting.entry(lane.tenant).or_default();
        let known = lanes.entry(id).or_insert_with(|| Waiting {
            walker: lane.walker.clone(),
            priority: lane.priority,
            tenant_limit,
            queued,
            chosen: Moment::default(),
            is_full: false,
        });
        known.queued = known.queued.max(queued);
        known.tenant_limit = tenant_limit;
    }

    fn choose(&mut self, count: usize, slots: &Slots) -> Vec<Pick> {
        let Self { waiting, shares, clock, .. } = self;
        let able =
            waiting.iter().filter(|(_, lanes)| lanes.values().any(|lane| !lane.is_full)).map(|(tenant, _)| *tenant);
        let mut picks: Vec<Pick> = Vec::new();
        for (tenant, slot) in shares.next(able, count, |tenant| slots.take(tenant)) {
            let lanes = waiting.get_mut(&tenant).into_iter().flatten().filter(|(_, lane)| !lane.is_full);
            let next = lanes.max_by_key(|(_, lane)| (lane.priority, std::cmp::Reverse(lane.chosen)));
            let Some((&id, lane)) = next else { continue };
            *clock += 1;
            lane.chosen = Moment(*clock);
            match picks.iter_mut().find(|pick| pick.id == id) {
                Some(pick) => pick.slots.push(slot),
                None => {
                    let limit = Concurrency { walker: None, tenant: lane.tenant_limit };
                    picks.push(Pick { id, tenant, walker: lane.walker.clone(), limit, slots: vec![slot] });
                }
            }
        }
        picks
    }
}
