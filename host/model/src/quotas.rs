//! What a tenant may use: the limits of its runs and of its uploads, and what it may have at once.
//!
//! Knows nothing of where quotas are kept or by whom they are set.

use std::collections::BTreeMap;
use std::num::NonZero;

use crate::table::table;
use crate::{Limit, Limits, UploadCost};

/// More than any host has slots, or answers requests in a second.
const UNCOUNTED: u64 = 1_000_000;
/// More than any database holds, and exact in JSON.
const UNBOUNDED: u64 = 1 << 50;

/// What a tenant may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// What each of its runs may use.
    pub limits: Limits,
    /// What each of its uploads may cost.
    pub upload: UploadCost,
    /// What it may have at once, all together.
    pub tenant: TenantLimits,
}

table! {
    /// What a tenant may have at once, and what it gets beside others.
    pub struct TenantLimits {
        // A minute of backlog at the rates measured; above it a client should slow down.
        /// How many of its walkers may be pending or running at once, those that walkers spawn included.
        live_walkers as live_walkers = 100_000, at most 10_000_000;
        // As many as there are slots: nobody is counted, which every claim would have to wait for.
        /// How many of its async walkers may run at once, on all hosts together; the others wait.
        running_walkers as running_walkers = UNCOUNTED, at most UNCOUNTED;
        // As many as a host answers: nobody's requests are counted.
        /// How many requests its callers may make a second, on all hosts together, and so many at once.
        requests_per_second as requests_per_second = UNCOUNTED, at most UNCOUNTED;
        // As many as there is room for: nobody's bytes are counted up before something is taken in.
        /// How many bytes it may have stored: inputs, results, output and the code of its modules.
        stored_bytes as stored_bytes = UNBOUNDED, at most UNBOUNDED;
        // Room for less as well as for more.
        /// What it gets of the processors beside others who want them, too: one of twice the weight gets twice the time.
        weight as weight = 100, at most 10_000;
    }
}

/// What the operator set for one tenant, by name; what is not in it is as for all.
pub type SetQuotas = BTreeMap<String, u64>;

impl Quotas {
    /// Where nobody says otherwise.
    pub const DEFAULT: Self =
        Self { limits: Limits::DEFAULT, upload: UploadCost::DEFAULT, tenant: TenantLimits::DEFAULT };
    /// The most that quotas may be raised to, where the operator does not say otherwise.
    pub const CEILING: Self =
        Self { limits: Limits::CEILING, upload: UploadCost::CEILING, tenant: TenantLimits::CEILING };

    /// Everything that a quota may be set for.
    pub fn all() -> impl Iterator<Item = &'static Limit> {
        [Limits::ALL, UploadCost::ALL, TenantLimits::ALL].into_iter().flatten()
    }

    /// The quota of this name.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.limits.get(name).or_else(|| self.upload.get(name)).or_else(|| self.tenant.get(name))
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut u64> {
        let Self { limits, upload, tenant } = self;
        limits.get_mut(name).or_else(|| upload.get_mut(name)).or_else(|| tenant.get_mut(name))
    }

    /// Its weight, of which there is always some.
    pub fn weight(&self) -> NonZero<u32> {
        u32::try_from(self.tenant.weight).ok().and_then(NonZero::new).unwrap_or(NonZero::<u32>::MIN)
    }

    /// How many of its async walkers may run at once; `None`: as many as there are slots.
    pub fn concurrency(&self) -> Option<u32> {
        u32::try_from(self.tenant.running_walkers).ok().filter(|_| self.tenant.running_walkers < UNCOUNTED)
    }

    /// How many requests its callers may make a second; `None`: as many as they like.
    pub fn request_rate(&self) -> Option<u32> {
        u32::try_from(self.tenant.requests_per_second).ok().filter(|_| self.tenant.requests_per_second < UNCOUNTED)
    }

    /// How many bytes it may have stored; `None`: as many as there is room for.
    pub fn storage(&self) -> Option<u64> {
        Some(self.tenant.stored_bytes).filter(|bytes| *bytes < UNBOUNDED)
    }

    /// These, with what was set for one tenant; nothing above `ceiling`, even where it was set before that was lowered.
    #[must_use]
    pub fn with(mut self, set: &SetQuotas, ceiling: &Self) -> Self {
        for (name, value) in set {
            if let (Some(quota), Some(most)) = (self.get_mut(name), ceiling.get(name)) {
                *quota = (*value).min(most);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: impl FnOnce(&mut TenantLimits)) -> Quotas {
        let mut quotas = Quotas::DEFAULT;
        set(&mut quotas.tenant);
        quotas
    }

    #[test]
    fn what_is_set_counts_up_to_the_ceiling() {
        let ceiling = Quotas { tenant: TenantLimits { live_walkers: 50, ..TenantLimits::CEILING }, ..Quotas::CEILING };
        let check = |set: &[(&str, u64)], name: &str, expect: u64| {
            let set = set.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            assert_eq!(Quotas::DEFAULT.with(&set, &ceiling).get(name), Some(expect), "{name}");
        };
        check(&[], "fuel", Quotas::DEFAULT.limits.fuel);
        check(&[("fuel", 5)], "fuel", 5);
        check(&[("fuel", 5)], "reports", Quotas::DEFAULT.limits.reports);
        check(&[("fuel", u64::MAX)], "fuel", ceiling.limits.fuel);
        check(&[("live_walkers", 7)], "live_walkers", 7);
        check(&[("live_walkers", 70)], "live_walkers", 50);
        check(&[("running_walkers", 7)], "running_walkers", 7);
        // A newer host's, after a downgrade.
        check(&[("unheard_of", 1)], "fuel", Quotas::DEFAULT.limits.fuel);
    }

    #[test]
    fn every_quota_can_be_read_and_set() {
        for quota in Quotas::all() {
            let mut quotas = Quotas::DEFAULT;
            assert_eq!(quotas.get(quota.name), Some(quota.default), "{}", quota.name);
            assert_eq!(Quotas::CEILING.get(quota.name), Some(quota.ceiling), "{}", quota.name);
            *quotas.get_mut(quota.name).expect(quota.name) = 7;
            assert_eq!(quotas.get(quota.name), Some(7), "{}", quota.name);
        }
    }

    #[test]
    fn who_may_ask_as_much_as_a_host_answers_is_not_counted() {
        let check = |requests_per_second: u64, expect: Option<u32>| {
            assert_eq!(with(|tenant| tenant.requests_per_second = requests_per_second).request_rate(), expect);
        };
        check(TenantLimits::DEFAULT.requests_per_second, None);
        check(u64::MAX, None);
        check(0, Some(0));
        check(12, Some(12));
    }

    #[test]
    fn who_may_store_more_than_there_is_room_for_is_not_counted() {
        let check = |stored_bytes: u64, expect: Option<u64>| {
            assert_eq!(with(|tenant| tenant.stored_bytes = stored_bytes).storage(), expect);
        };
        check(TenantLimits::DEFAULT.stored_bytes, None);
        check(u64::MAX, None);
        check(0, Some(0));
        check(1 << 40, Some(1 << 40));
    }

    #[test]
    fn who_may_run_as_many_as_there_are_slots_is_not_counted() {
        let check = |running_walkers: u64, expect: Option<u32>| {
            assert_eq!(with(|tenant| tenant.running_walkers = running_walkers).concurrency(), expect);
        };
        check(TenantLimits::DEFAULT.running_walkers, None);
        check(u64::MAX, None);
        check(0, Some(0));
        check(12, Some(12));
    }
}
