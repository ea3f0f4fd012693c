//! Whose turn it is among tenants that wait: stride scheduling by what their runs cost.
//!
//! Knows tenants and fuel, nothing of lanes or slots.

use std::collections::{BinaryHeap, HashMap};
use std::num::NonZero;

use walker_model::{TenantId, TenantLimits};

/// What a run is taken to cost before the first one has ended: about that of a small walker.
const FIRST_GUESS: f64 = 50_000.0;
/// What a tenant weighs for which nothing was set.
const FIRST_WEIGHT: f64 = TenantLimits::DEFAULT.weight as f64;
/// How much a run that ended changes what the next one is taken to cost.
const LEARNING: f64 = 0.1;
/// More tenants than this are looked through for some that need not be remembered.
const MANY: usize = 1_000;

/// How far each tenant has come, in fuel over its weight. The one that has come least far is next.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// How far the last chosen one had come: who starts anew starts here, without credit for the time it was away.
    now: f64,
    tenants: HashMap<TenantId, Share>,
}

#[derive(Debug, Clone, Copy)]
struct Share {
    pass: f64,
    weight: f64,
    /// What its runs cost of late.
    cost: f64,
}

/// A tenant's place in the order; the least far comes out of a heap first.
#[derive(Debug, PartialEq)]
struct Place {
    pass: f64,
    tenant: TenantId,
}

impl Eq for Place {}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.pass.total_cmp(&self.pass).then(other.tenant.0.cmp(&self.tenant.0))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Shares {
    /// Gives a tenant its weight beside the others.
    pub(super) fn weigh(&mut self, tenant: TenantId, weight: NonZero<u32>) {
        self.share(tenant).weight = f64::from(weight.get());
    }

    /// Counts a run that starts.
    pub(super) fn started(&mut self, tenant: TenantId) {
        let share = self.share(tenant);
        share.pass += share.cost / share.weight;
    }

    /// Counts what a run that was started really cost.
    pub(super) fn ended(&mut self, tenant: TenantId, fuel: u64) {
        let share = self.share(tenant);
        let fuel = fuel as f64;
        share.pass += (fuel - share.cost) / share.weight;
        share.cost += (fuel - share.cost) * LEARNING;
    }

    /// Gives out up to `count` places, one after the other to the tenant that has come least far, for as long as it is
    /// `granted` one.
    pub(super) fn next<T>(
        &mut self,
        waiting: impl Iterator<Item = TenantId>,
        count: usize,
        mut granted: impl FnMut(TenantId) -> Option<T>,
    ) -> Vec<(TenantId, T)> {
        let now = self.now;
        let mut order: BinaryHeap<Place> =
            waiting.map(|tenant| Place { pass: self.share(tenant).pass.max(now), tenant }).collect();
        let mut given = Vec::with_capacity(count);
        while given.len() < count
            && let Some(place) = order.pop()
        {
            let Some(one) = granted(place.tenant) else { continue };
            if given.is_empty() {
                self.now = place.pass;
            }
            given.push((place.tenant, one));
            let share = self.share(place.tenant);
            order.push(Place { pass: place.pass + share.cost / share.weight, ..place });
        }
        self.forget_the_idle();
        given
    }

    fn share(&mut self, tenant: TenantId) -> &mut Share {
        let now = self.now;
        let share = self.tenants.entry(tenant).or_insert(Share { pass: now, weight: FIRST_WEIGHT, cost: FIRST_GUESS });
        share.pass = share.pass.max(now);
        share
    }

    fn forget_the_idle(&mut self) {
        if self.tenants.len() > MANY {
            let now = self.now;
            self.tenants.retain(|_, share| share.pass > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: TenantId = TenantId(1);
    const SMALL: TenantId = TenantId(2);

    fn next(shares: &mut Shares, waiting: &[TenantId], count: usize) -> Vec<TenantId> {
        let next = shares.next(waiting.iter().copied(), count, |_| Some(()));
        next.into_iter().map(|(tenant, ())| tenant).collect()
    }

    fn count(chosen: &[TenantId], tenant: TenantId) -> usize {
        chosen.iter().filter(|chosen| **chosen == tenant).count()
    }

    #[test]
    fn equal_runs_take_turns() {
        let mut shares = Shares::default();
        let chosen = next(&mut shares, &[LARGE, SMALL], 10);
        assert_eq!((count(&chosen, LARGE), count(&chosen, SMALL)), (5, 5));
        assert!(next(&mut shares, &[], 10).is_empty());
    }

    #[test]
    fn who_is_granted_no_more_leaves_the_rest_to_others() {
        let mut left = 2;
        let granted = |tenant| {
            left -= i32::from(tenant == LARGE);
            (tenant != LARGE || left >= 0).then_some(())
        };
        let chosen = Shares::default().next([LARGE, SMALL].into_iter(), 10, granted);
        let chosen: Vec<TenantId> = chosen.into_iter().map(|(tenant, ())| tenant).collect();
        assert_eq!((count(&chosen, LARGE), count(&chosen, SMALL)), (2, 8));
    }

    #[test]
    fn who_was_away_is_next_but_has_saved_nothing_up() {
        let mut shares = Shares::default();
        for _ in 0..1_000 {
            next(&mut shares, &[LARGE], 1);
            shares.started(LARGE);
        }
        let chosen = next(&mut shares, &[LARGE, SMALL], 100);
        assert_eq!(chosen[0], SMALL);
        assert!((45..=55).contains(&count(&chosen, SMALL)), "{chosen:?}");
    }

    #[test]
    fn dear_runs_come_less_often() {
        let mut shares = Shares::default();
        let (mut large, mut small) = (0, 0);
        for _ in 0..2_000 {
            let tenant = next(&mut shares, &[LARGE, SMALL], 1)[0];
            shares.started(tenant);
            let fuel = if tenant == LARGE { 900_000 } else { 100_000 };
            shares.ended(tenant, fuel);
            *(if tenant == LARGE { &mut large } else { &mut small }) += fuel;
        }
        let ratio = large as f64 / small as f64;
        assert!((0.9..=1.1).contains(&ratio), "{ratio}");
    }

    #[test]
    fn who_weighs_more_comes_more_often() {
        let mut shares = Shares::default();
        shares.weigh(LARGE, NonZero::new(300).unwrap());
        let mut chosen = Vec::new();
        for _ in 0..400 {
            let tenant = next(&mut shares, &[LARGE, SMALL], 1)[0];
            shares.started(tenant);
            shares.ended(tenant, 100_000);
            chosen.push(tenant);
        }
        assert!((295..=305).contains(&count(&chosen, LARGE)), "{}", count(&chosen, LARGE));
    }

    #[test]
    fn remembers_only_who_matters() {
        let mut shares = Shares::default();
        for tenant in 0..10 * MANY as i64 {
            next(&mut shares, &[TenantId(tenant)], 1);
        }
        assert!(shares.tenants.len() <= MANY + 1, "{}", shares.tenants.len());
    }
}
