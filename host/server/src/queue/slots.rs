//! Slots: how many walkers this host holds at once, and how many of those may be one tenant's.
//!
//! Knows nothing of where walkers come from; a slot is held from the claim until the result is on its way.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use walker_model::TenantId;

/// A tenant may take another slot while it holds fewer than this times the free ones. Alone it gets two thirds of all,
/// beside another two fifths, and so on: whoever comes new finds some free, however many are busy, without anything set
/// aside for a number of tenants that nobody knows.
const SHARE: usize = 2;
/// More in one statement gains nothing.
const MAX_CLAIM: usize = 200;

/// The slots of this host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Slots(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Told when waiting rows can be claimed, or may be.
    claim: Notify,
}

struct State {
    free: usize,
    is_closed: bool,
    lanes: HashMap<TenantId, Lane>,
    /// Whose rows may be waiting in the database: theirs were here first.
    backlog: HashSet<TenantId>,
}

/// A tenant that holds slots, or waits for some.
#[derive(Default)]
struct Lane {
    held: usize,
    waiting: VecDeque<oneshot::Sender<Slot>>,
    /// Slots that came free since the claimer asked last, and between its two last questions.
    released: usize,
    coming: usize,
}

/// A place among the runs, free again when dropped.
pub(crate) struct Slot {
    slots: Slots,
    tenant: TenantId,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.release(self.tenant);
    }
}

/// How many waiting walkers may be claimed, in all and for each tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) at_most: usize,
    /// For a tenant that holds nothing.
    pub(super) newcomer: usize,
    pub(super) lanes: HashMap<TenantId, usize>,
    /// Whether any tenant may go on that is known to have rows waiting.
    pub(super) is_wanted: bool,
}

impl Offer {
    fn of(&self, tenant: TenantId) -> usize {
        self.lanes.get(&tenant).copied().unwrap_or(self.newcomer)
    }
}

impl State {
    /// How many more slots a tenant may take that holds so many.
    fn allowance(&self, held: usize) -> usize {
        (SHARE * self.free).saturating_sub(held).div_ceil(SHARE + 1)
    }

    fn may_take(&self, tenant: TenantId) -> bool {
        self.lanes.get(&tenant).map_or(0, |lane| lane.held) < SHARE * self.free
    }

    fn take(&mut self, tenant: TenantId) {
        self.free -= 1;
        self.lanes.entry(tenant).or_default().held += 1;
    }

    /// Takes slots for those who wait: the tenant first that holds least.
    fn grant(&mut self) -> Vec<(TenantId, oneshot::Sender<Slot>)> {
        let mut granted = Vec::new();
        loop {
            let waiting = self.lanes.iter().filter(|(_, lane)| !lane.waiting.is_empty());
            let Some(tenant) = waiting.min_by_key(|(_, lane)| lane.held).map(|(tenant, _)| *tenant) else { break };
            // Whoever holds more may take none either.
            if !self.may_take(tenant) {
                break;
            }
            let lane = self.lanes.get_mut(&tenant).expect("it waits");
            // Who gave up waiting needs none.
            match lane.waiting.pop_front().filter(|sender| !sender.is_closed()) {
                Some(sender) => {
                    self.take(tenant);
                    granted.push((tenant, sender));
                }
                None => self.forget_idle(tenant),
            }
        }
        granted
    }

    fn forget_idle(&mut self, tenant: TenantId) {
        if self.lanes.get(&tenant).is_some_and(|lane| lane.held == 0 && lane.waiting.is_empty()) {
            self.lanes.remove(&tenant);
        }
    }
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        let state = State { free: count, is_closed: false, lanes: HashMap::new(), backlog: HashSet::new() };
        Self(Arc::new(Inner { state: Mutex::new(state), claim: Notify::new() }))
    }

    /// A slot for a tenant's new walker, unless others of that tenant wait already: nobody jumps the queue.
    pub(crate) fn take(&self, tenant: TenantId) -> Option<Slot> {
        let mut state = self.lock();
        let is_first =
            !state.backlog.contains(&tenant) && state.lanes.get(&tenant).is_none_or(|lane| lane.waiting.is_empty());
        if state.is_closed || !is_first || !state.may_take(tenant) {
            return None;
        }
        state.take(tenant);
        Some(Slot { slots: self.clone(), tenant })
    }

    /// A slot as soon as the tenant may have one, in the order of these calls; an error once they are closed.
    pub(crate) fn enter(&self, tenant: TenantId) -> oneshot::Receiver<Slot> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        if !state.is_closed {
            state.lanes.entry(tenant).or_default().waiting.push_back(sender);
            let granted = state.grant();
            self.hand_out(state, granted);
        }
        receiver
    }

    /// Gives out no more slots: what waits stays for other hosts.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.lanes.values_mut().for_each(|lane| lane.waiting.clear());
        drop(state);
        self.0.claim.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// A row of this tenant was stored that this host could not take at once.
    pub(crate) fn queued(&self, tenant: TenantId) {
        self.lock().backlog.insert(tenant);
        self.0.claim.notify_one();
    }

    /// Returns when rows may be waiting that could be claimed.
    pub(super) async fn claimable(&self) {
        self.0.claim.notified().await;
    }

    /// What may be claimed now.
    pub(super) fn offer(&self) -> Offer {
        let state = self.lock();
        let newcomer = state.allowance(0);
        let at_most = newcomer + state.lanes.values().map(|lane| lane.coming.min(lane.held)).sum::<usize>();
        let at_most = at_most.min(MAX_CLAIM);
        // No tenant gets more than half of what there is at once, as long as others may wait.
        let half = at_most.div_ceil(2);
        let allowance = |lane: &Lane| {
            let free = state.allowance(lane.held) + lane.coming.min(lane.held);
            free.saturating_sub(lane.waiting.len()).min(half)
        };
        let lanes = state.lanes.iter().map(|(tenant, lane)| (*tenant, allowance(lane))).collect();
        let mut offer = Offer { at_most, newcomer: newcomer.min(half), lanes, is_wanted: false };
        offer.is_wanted = at_most > 0 && state.backlog.iter().any(|tenant| offer.of(*tenant) > 0);
        offer
    }

    /// Before asking: forgets whose rows wait, as far as the answer will tell. A row queued meanwhile is noted again.
    pub(super) fn ask(&self, offer: &Offer) -> HashSet<TenantId> {
        let mut state = self.lock();
        state.lanes.values_mut().for_each(|lane| lane.released = 0);
        state.backlog.extract_if(|tenant| offer.of(*tenant) > 0).collect()
    }

    /// After the answer: notes whose rows may still wait. `others` are those that it may have left out.
    pub(super) fn answered(
        &self,
        offer: &Offer,
        claimed: &HashMap<TenantId, usize>,
        others: impl IntoIterator<Item = TenantId>,
    ) {
        let mut state = self.lock();
        // About as many will come free by the time of the next answer.
        state.lanes.values_mut().for_each(|lane| lane.coming = lane.released);
        state.backlog.extend(others);
        let more = claimed.iter().filter(|(tenant, count)| **count >= offer.of(**tenant));
        state.backlog.extend(more.map(|(tenant, _)| *tenant));
    }

    fn release(&self, tenant: TenantId) {
        let mut state = self.lock();
        state.free += 1;
        if let Some(lane) = state.lanes.get_mut(&tenant) {
            lane.held = lane.held.saturating_sub(1);
            lane.released += 1;
        }
        let granted = state.grant();
        state.forget_idle(tenant);
        let is_wanted = !state.backlog.is_empty();
        self.hand_out(state, granted);
        if is_wanted {
            self.0.claim.notify_one();
        }
    }

    /// Without the lock: a slot that nobody takes any more comes back at once.
    fn hand_out(&self, state: MutexGuard<'_, State>, granted: Vec<(TenantId, oneshot::Sender<Slot>)>) {
        drop(state);
        for (tenant, sender) in granted {
            drop(sender.send(Slot { slots: self.clone(), tenant }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TenantId = TenantId(1);
    const B: TenantId = TenantId(2);

    fn take_all(slots: &Slots, tenant: TenantId) -> Vec<Slot> {
        std::iter::from_fn(|| slots.take(tenant)).collect()
    }

    #[test]
    fn each_that_comes_finds_some_free() {
        for (count, expect) in [(96, vec![64, 22, 7, 2, 1]), (4, vec![3, 1]), (2, vec![2]), (1, vec![1])] {
            let slots = Slots::new(count);
            let mut held = Vec::new();
            let mut got = Vec::new();
            for tenant in 0..5 {
                let mine = take_all(&slots, TenantId(tenant));
                got.push(mine.len());
                held.push(mine);
            }
            got.retain(|count| *count > 0);
            assert_eq!(got, expect, "{count}");
            drop(held);
            assert_eq!(slots.lock().free, count);
            assert!(slots.lock().lanes.is_empty());
        }
    }

    #[test]
    fn allows_as_many_as_can_be_taken() {
        let slots = Slots::new(96);
        let first: Vec<Slot> = (0..50).map(|_| slots.take(A).unwrap()).collect();
        for (tenant, held) in [(A, 50), (B, 0)] {
            let allowed = slots.lock().allowance(held);
            let taken = take_all(&slots, tenant);
            assert_eq!(taken.len(), allowed);
        }
        drop(first);
    }

    #[test]
    fn nobody_jumps_the_own_queue() {
        let slots = Slots::new(96);
        slots.queued(A);
        assert!(slots.take(A).is_none());
        assert!(slots.take(B).is_some(), "it has no queue");
        let offer = slots.offer();
        assert!(offer.is_wanted);
        assert_eq!((offer.at_most, offer.newcomer), (64, 32));
        assert_eq!(slots.ask(&offer), HashSet::from([A]));
        slots.answered(&offer, &HashMap::from([(A, 32)]), None);
        assert!(slots.take(A).is_none(), "as many came as were asked for: there may be more");
        slots.ask(&offer);
        slots.answered(&offer, &HashMap::from([(A, 3)]), None);
        assert!(slots.take(A).is_some());
    }

    #[tokio::test]
    async fn those_who_wait_come_in_turn_the_one_with_least_first() {
        let slots = Slots::new(4);
        let mut held = take_all(&slots, A);
        held.extend(take_all(&slots, B));
        let (mut a, mut b, gone) = (slots.enter(A), slots.enter(B), slots.enter(B));
        drop(gone);
        assert!(slots.take(A).is_none(), "one waits");
        // Three of A's and one of B's were held: B holds least.
        held.remove(0);
        assert!(b.try_recv().is_ok() && a.try_recv().is_err());
        held.clear();
        assert!(a.await.is_ok());
        let late = slots.enter(A);
        drop(late);
        slots.close();
        assert!(slots.enter(A).await.is_err());
        assert!(slots.take(A).is_none());
    }
}
