//! Slots: how many walkers this host holds at once, and how many of those may be one tenant's.
//!
//! Knows nothing of where walkers come from; a slot is held from the claim until the result is on its way.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use walker_model::TenantId;

/// A tenant may take another slot while it holds fewer than this times the free ones. Alone it gets two thirds of all,
/// beside another two fifths, and so on: whoever comes new finds some free, however many are busy, without anything set
/// aside for a number of tenants that nobody knows.
const SHARE: usize = 2;
/// A tenant's slots turn over where one was taken, or came free, within so long: its walkers take little time.
const TURNOVER: Duration = Duration::from_millis(20);

/// The slots of this host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Slots(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    released: Notify,
}

struct State {
    free: usize,
    is_closed: bool,
    tenants: HashMap<TenantId, Tenant>,
    /// Whether somebody waits for any slot to come free.
    is_wanted: bool,
}

/// A tenant that holds slots, or waits for some.
#[derive(Default)]
struct Tenant {
    held: usize,
    waiting: VecDeque<oneshot::Sender<Slot>>,
    /// When one of its slots was last taken, or came free.
    moved: Option<Instant>,
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

impl State {
    fn may_take(&self, tenant: TenantId) -> bool {
        self.tenants.get(&tenant).map_or(0, |known| known.held) < SHARE * self.free
    }

    fn take(&mut self, tenant: TenantId) {
        self.free -= 1;
        let known = self.tenants.entry(tenant).or_default();
        known.held += 1;
        known.moved = Some(Instant::now());
    }

    /// Takes slots for those who wait: the tenant first that holds least.
    fn grant(&mut self) -> Vec<(TenantId, oneshot::Sender<Slot>)> {
        let mut granted = Vec::new();
        loop {
            let waiting = self.tenants.iter().filter(|(_, known)| !known.waiting.is_empty());
            let Some(tenant) = waiting.min_by_key(|(_, known)| known.held).map(|(tenant, _)| *tenant) else { break };
            // Whoever holds more may take none either.
            if !self.may_take(tenant) {
                break;
            }
            let known = self.tenants.get_mut(&tenant).expect("it waits");
            // Who gave up waiting needs none.
            match known.waiting.pop_front().filter(|sender| !sender.is_closed()) {
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
        if self.tenants.get(&tenant).is_some_and(|known| known.held == 0 && known.waiting.is_empty()) {
            self.tenants.remove(&tenant);
        }
    }
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        let state = State { free: count, is_closed: false, tenants: HashMap::new(), is_wanted: false };
        Self(Arc::new(Inner { state: Mutex::new(state), released: Notify::new() }))
    }

    /// A slot, if the tenant may have one now.
    pub(crate) fn take(&self, tenant: TenantId) -> Option<Slot> {
        let mut state = self.lock();
        let is_first = state.tenants.get(&tenant).is_none_or(|known| known.waiting.is_empty());
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
            let waiting = &mut state.tenants.entry(tenant).or_default().waiting;
            // Whoever waits longest gives up first. Left to the next slot that comes free, they would pile up for as long
            // as none does.
            while waiting.front().is_some_and(oneshot::Sender::is_closed) {
                waiting.pop_front();
            }
            waiting.push_back(sender);
            let granted = state.grant();
            self.hand_out(state, granted);
        }
        receiver
    }

    /// How many slots of this tenant's are likely to come free soon: all that it holds, where they turn over, else none.
    pub(super) fn turning_over(&self, tenant: TenantId) -> usize {
        let state = self.lock();
        let known = state.tenants.get(&tenant).filter(|known| known.moved.is_some_and(|at| at.elapsed() < TURNOVER));
        known.map_or(0, |known| known.held)
    }

    /// Gives out no more slots: what waits stays for other hosts.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.tenants.values_mut().for_each(|tenant| tenant.waiting.clear());
        drop(state);
        self.0.released.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// From now on, [`released`](Self::released) tells of slots that come free.
    pub(super) fn want(&self) {
        self.lock().is_wanted = true;
    }

    /// Returns when a slot has come free since it was [wanted](Self::want), or they are closed.
    pub(super) async fn released(&self) {
        self.0.released.notified().await;
    }

    fn release(&self, tenant: TenantId) {
        let mut state = self.lock();
        state.free += 1;
        if let Some(known) = state.tenants.get_mut(&tenant) {
            known.held = known.held.saturating_sub(1);
            known.moved = Some(Instant::now());
        }
        let granted = state.grant();
        state.forget_idle(tenant);
        let is_wanted = std::mem::take(&mut state.is_wanted);
        self.hand_out(state, granted);
        if is_wanted {
            self.0.released.notify_one();
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
            assert!(slots.lock().tenants.is_empty());
        }
    }

    #[test]
    fn slots_turn_over_where_one_was_taken_or_came_free_just_now() {
        let slots = Slots::new(3);
        assert_eq!(slots.turning_over(A), 0);
        let mut held = take_all(&slots, A);
        assert_eq!((held.len(), slots.turning_over(A), slots.turning_over(B)), (2, 2, 0));
        let age = || slots.lock().tenants.get_mut(&A).unwrap().moved = Instant::now().checked_sub(TURNOVER);
        age();
        assert_eq!(slots.turning_over(A), 0);
        held.pop();
        assert_eq!(slots.turning_over(A), 1);
    }

    #[tokio::test]
    async fn tells_of_a_slot_that_came_free_since_it_was_wanted() {
        let slots = Slots::new(1);
        let held = slots.take(A).unwrap();
        slots.want();
        assert!(slots.take(B).is_none());
        drop(held);
        slots.released().await;
        assert!(slots.take(B).is_some());
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

    #[tokio::test]
    async fn those_who_gave_up_leave_nothing_behind_while_no_slot_comes_free() {
        let slots = Slots::new(1);
        let held = slots.take(A).unwrap();
        let first = slots.enter(A);
        for _ in 0..1_000 {
            drop(slots.enter(A));
        }
        drop(first);
        let last = slots.enter(A);
        assert_eq!(slots.lock().tenants[&A].waiting.len(), 1);
        drop(held);
        assert!(last.await.is_ok());
    }
}
