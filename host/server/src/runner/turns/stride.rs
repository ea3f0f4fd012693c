//! Stride scheduling: lanes that take turns by how much each has had, in proportion to their weights.
//!
//! Knows nothing of threads or clocks; what takes turns is anything.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::num::NonZero;
use std::time::Duration;

use walker_model::TenantId;

/// What a turn is expected to cost until it is known: one epoch. Several threads that look for the next turn at the same
/// moment would otherwise all choose the same lane.
const EXPECTED: Duration = Duration::from_millis(1);
/// How far a lane may stay behind that has work but too little to use its share. More would be credit: after an hour of
/// one spinning run, sixteen would have the machine for themselves until they had caught up.
const MAX_BEHIND: Duration = Duration::from_millis(10);

/// What a lane gets beside the others.
pub type Weight = NonZero<u32>;

/// A point in virtual time: what a lane of weight 1 has had, in nanoseconds; finer by this for large weights.
type Pass = u128;
const FINER: u128 = 1 << 20;

/// Items in lanes that take turns.
pub(super) struct Stride<T> {
    lanes: HashMap<TenantId, Lane<T>>,
    /// The lanes where something waits, the next one first.
    order: BTreeSet<(Pass, TenantId)>,
    /// What comes before all lanes.
    urgent: VecDeque<(TenantId, T)>,
    /// Where the lane stood that had the last turn: no lane with work is far behind.
    now: Pass,
    /// Turns that have not been charged yet.
    running: usize,
}

struct Lane<T> {
    weight: Weight,
    /// What it has had, expected costs of running turns included.
    pass: Pass,
    waiting: VecDeque<T>,
    running: usize,
}

impl<T> Default for Stride<T> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), order: BTreeSet::new(), urgent: VecDeque::new(), now: 0, running: 0 }
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { weight: Weight::MIN, pass: 0, waiting: VecDeque::new(), running: 0 }
    }
}

impl<T> Lane<T> {
    fn cost(&self, time: Duration) -> Pass {
        time.as_nanos() * FINER / u128::from(self.weight.get())
    }

    fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting.is_empty()
    }
}

impl<T> Stride<T> {
    /// Lets an item wait for its lane's turn. A lane that had nothing to do starts where the others are. The weight
    /// counts from the lane's next turn on.
    pub(super) fn push(&mut self, tenant: TenantId, weight: Weight, item: T) {
        let lane = self.lanes.entry(tenant).or_default();
        lane.weight = weight;
        if lane.waiting.is_empty() {
            let behind = if lane.running == 0 { 0 } else { lane.cost(MAX_BEHIND) };
            lane.pass = lane.pass.max(self.now.saturating_sub(behind));
            self.order.insert((lane.pass, tenant));
        }
        lane.waiting.push_back(item);
    }

    /// Whose turn it is. Each must be [charged](Self::charge) once it is over.
    pub(super) fn next(&mut self) -> Option<(TenantId, T)> {
        if let Some((tenant, item)) = self.urgent.pop_front() {
            self.move_on(tenant, |lane| {
                lane.running += 1;
                lane.pass += lane.cost(EXPECTED);
            });
            self.running += 1;
            return Some((tenant, item));
        }
        let (pass, tenant) = self.order.pop_first()?;
        self.now = self.now.max(pass);
        self.running += 1;
        let lane = self.lanes.get_mut(&tenant).expect("a lane in the order exists");
        let item = lane.waiting.pop_front().expect("a lane in the order has something waiting");
        lane.running += 1;
        lane.pass += lane.cost(EXPECTED);
        if !lane.waiting.is_empty() {
            self.order.insert((lane.pass, tenant));
        }
        Some((tenant, item))
    }

    /// Says what a turn really cost.
    pub(super) fn charge(&mut self, tenant: TenantId, used: Duration) {
        let now = self.now;
        let is_forgettable = self.move_on(tenant, |lane| {
            lane.running = lane.running.saturating_sub(1);
            lane.pass = lane.pass.saturating_sub(lane.cost(EXPECTED)) + lane.cost(used);
            // One ahead of the others still has to pay for that, should it come back soon.
            lane.is_idle() && lane.pass <= now
        });
        if is_forgettable {
            self.lanes.remove(&tenant);
        }
        self.running -= 1;
        // Nobody is ahead of anybody when nobody wants anything.
        if self.running == 0 && self.order.is_empty() && self.urgent.is_empty() {
            self.lanes.clear();
        }
    }

    /// Moves what must have its turn at once before everything else.
    pub(super) fn hurry(&mut self, mut is_urgent: impl FnMut(&T) -> bool) {
        let (lanes, urgent) = (&mut self.lanes, &mut self.urgent);
        self.order.retain(|(_, tenant)| {
            let waiting = &mut lanes.get_mut(tenant).expect("a lane in the order exists").waiting;
            for _ in 0..waiting.len() {
                let item = waiting.pop_front().expect("counted");
                if is_urgent(&item) {
                    urgent.push_back((*tenant, item));
                } else {
                    waiting.push_back(item);
                }
            }
            !waiting.is_empty()
        });
    }

    /// Changes a lane and keeps its place in the order true.
    fn move_on<R>(&mut self, tenant: TenantId, change: impl FnOnce(&mut Lane<T>) -> R) -> R {
        let lane = self.lanes.entry(tenant).or_default();
        let before = lane.pass;
        let changed = change(lane);
        if !lane.waiting.is_empty() && before != lane.pass {
            self.order.remove(&(before, tenant));
            self.order.insert((lane.pass, tenant));
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TenantId = TenantId(1);
    const B: TenantId = TenantId(2);
    const SLICE: Duration = Duration::from_millis(1);

    /// So many turns on one thread, after each of which the item waits again; answers how many each lane had.
    fn turns(stride: &mut Stride<()>, count: usize, slice: impl Fn(TenantId) -> Duration) -> [usize; 2] {
        let mut had = [0, 0];
        for _ in 0..count {
            let (tenant, ()) = stride.next().unwrap();
            had[usize::from(tenant == B)] += 1;
            let weight = stride.lanes[&tenant].weight;
            stride.push(tenant, weight, ());
            stride.charge(tenant, slice(tenant));
        }
        had
    }

    fn filled(items: [usize; 2], weights: [u32; 2]) -> Stride<()> {
        let mut stride = Stride::default();
        for (tenant, items, weight) in [(A, items[0], weights[0]), (B, items[1], weights[1])] {
            (0..items).for_each(|_| stride.push(tenant, Weight::new(weight).unwrap(), ()));
        }
        stride
    }

    #[test]
    fn lanes_share_by_weight_not_by_items() {
        for (items, weights, expect) in [
            ([1, 1], [1, 1], [300, 300]),
            ([16, 1], [1, 1], [300, 300]),
            ([1, 16], [1, 1], [300, 300]),
            ([16, 1], [2, 1], [400, 200]),
            ([3, 500], [1, 5], [100, 500]),
        ] {
            let had = turns(&mut filled(items, weights), 600, |_| SLICE);
            assert!(had[0].abs_diff(expect[0]) <= 1, "{items:?} {weights:?}: {had:?}");
        }
    }

    #[test]
    fn short_turns_cost_less() {
        let had = turns(&mut filled([4, 4], [1, 1]), 500, |tenant| if tenant == A { SLICE / 4 } else { SLICE });
        assert!(had[0].abs_diff(400) <= 4, "{had:?}");
    }

    #[test]
    fn who_was_idle_comes_next_and_has_no_credit() {
        let mut stride = filled([16, 0], [1, 1]);
        turns(&mut stride, 10_000, |_| SLICE);
        (0..16).for_each(|_| stride.push(B, Weight::MIN, ()));
        assert_eq!(stride.next().unwrap().0, B);
        stride.push(B, Weight::MIN, ());
        stride.charge(B, SLICE);
        let had = turns(&mut stride, 100, |_| SLICE);
        assert!(had[0].abs_diff(50) <= 1, "{had:?}");
    }

    #[test]
    fn who_uses_less_than_its_share_gathers_little_credit() {
        // Two threads: B's single item runs on one of them all the time, which is less than its share of three.
        let mut stride = filled([16, 1], [1, 5]);
        let mut running: VecDeque<TenantId> = (0..2).map(|_| stride.next().unwrap().0).collect();
        for _ in 0..20_000 {
            let tenant = running.pop_front().unwrap();
            let weight = stride.lanes[&tenant].weight;
            stride.push(tenant, weight, ());
            stride.charge(tenant, SLICE);
            running.push_back(stride.next().unwrap().0);
        }
        let weight = stride.lanes[&B].weight;
        (0..16).for_each(|_| stride.push(B, weight, ()));
        running.drain(..).for_each(|tenant| stride.charge(tenant, SLICE));
        let had = turns(&mut stride, 600, |_| SLICE);
        // A sixth is A's due; B's credit is at most fifty turns of its own.
        assert!((40..=100).contains(&had[0]), "{had:?}");
    }

    #[test]
    fn urgent_ones_come_first_and_cost_as_much() {
        let mut stride = Stride::default();
        (0..5).for_each(|item| stride.push(A, Weight::MIN, item));
        stride.push(B, Weight::MIN, 9);
        stride.hurry(|item| *item == 3 || *item == 9);
        let order: Vec<i32> = std::iter::from_fn(|| stride.next().map(|(_, item)| item)).collect();
        assert_eq!(order, [3, 9, 0, 1, 2, 4]);
        assert_eq!(stride.lanes[&A].running, 5);
    }

    #[test]
    fn forgets_lanes_without_work() {
        let mut stride = Stride::default();
        // One after another, and then all at once.
        for tenant in 0..1_000 {
            stride.push(TenantId(tenant), Weight::MIN, ());
            let (tenant, ()) = stride.next().unwrap();
            stride.charge(tenant, SLICE);
            assert!(stride.lanes.is_empty());
        }
        (0..1_000).for_each(|tenant| stride.push(TenantId(tenant), Weight::MIN, ()));
        assert_eq!(stride.lanes.len(), 1_000);
        while let Some((tenant, ())) = stride.next() {
            stride.charge(tenant, SLICE);
        }
        assert!(stride.lanes.is_empty() && stride.order.is_empty());
    }
}
