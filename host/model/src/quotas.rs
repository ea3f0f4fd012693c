//! What a tenant may use: the limits of its runs, and what it may have at once.
//!
//! Knows nothing of where quotas are kept or by whom they are set.

use std::collections::BTreeMap;
use std::num::NonZero;

use crate::{Limit, Limits};

/// What a tenant may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// What each of its runs may use.
    pub limits: Limits,
    /// How many of its walkers may be pending or running at once, those that walkers spawn included.
    pub live_walkers: u64,
    /// How many of its async walkers may run at once, on all hosts together; the others wait.
    pub running_walkers: u64,
    /// How many requests its callers may make a second, on all hosts together, and so many at once.
    pub requests_per_second: u64,
    /// How many bytes it may have stored: inputs, results, output and the code of its modules.
    pub stored_bytes: u64,
    /// What it gets of the processors beside others who want them, too: one of twice the weight gets twice the time.
    pub weight: u64,
}

/// What the operator set for one tenant, by name; what is not in it is as for all.
pub type SetQuotas = BTreeMap<String, u64>;

/// What it may have pending and running.
const LIVE_WALKERS: Limit = Limit {
    name: "live_walkers",
    usage: "live_walkers",
    doc: "How many of its walkers may be pending or running at once, those that walkers spawn included.",
    // A minute of backlog at the rates measured; above it a client should slow down.
    default: 100_000,
    ceiling: 10_000_000,
};

/// What it may have running, on all hosts together.
const RUNNING_WALKERS: Limit = Limit {
    name: "running_walkers",
    usage: "running_walkers",
    doc: "How many of its async walkers may run at once, on all hosts together; the others wait.",
    // More than all slots: nobody is counted, which every claim would have to wait for.
    default: UNCOUNTED,
    ceiling: UNCOUNTED,
};
const UNCOUNTED: u64 = 1_000_000;

/// What its callers may ask.
const REQUESTS_PER_SECOND: Limit = Limit {
    name: "requests_per_second",
    usage: "requests_per_second",
    doc: "How many requests its callers may make a second, on all hosts together, and so many at once.",
    // More than any host answers: nobody's requests are counted.
    default: UNCOUNTED,
    ceiling: UNCOUNTED,
};

/// What it may keep.
const STORED_BYTES: Limit = Limit {
    name: "stored_bytes",
    usage: "stored_bytes",
    doc: "How many bytes it may have stored: inputs, results, output and the code of its modules.",
    // More than any database holds, and exact in JSON: nobody's bytes are counted up before something is taken in.
    default: UNBOUNDED,
    ceiling: UNBOUNDED,
};
const UNBOUNDED: u64 = 1 << 50;

/// What it gets beside others.
const WEIGHT: Limit = Limit {
    name: "weight",
    usage: "weight",
    doc: "What it gets of the processors beside others who want them, too: one of twice the weight gets twice the time.",
    // Room for less as well as for more.
    default: 100,
    ceiling: 10_000,
};

/// What a tenant has beside the limits of its runs.
const BESIDE: [&Limit; 5] = [&LIVE_WALKERS, &RUNNING_WALKERS, &REQUESTS_PER_SECOND, &STORED_BYTES, &WEIGHT];

impl Quotas {
    /// Where nobody says otherwise.
    pub const DEFAULT: Self = Self {
        limits: Limits::DEFAULT,
        live_walkers: LIVE_WALKERS.default,
        running_walkers: RUNNING_WALKERS.default,
        requests_per_second: REQUESTS_PER_SECOND.default,
        stored_bytes: STORED_BYTES.default,
        weight: WEIGHT.default,
    };
    /// The most that quotas may be raised to, where the operator does not say otherwise.
    pub const CEILING: Self = Self {
        limits: Limits::CEILING,
        live_walkers: LIVE_WALKERS.ceiling,
        running_walkers: RUNNING_WALKERS.ceiling,
        requests_per_second: REQUESTS_PER_SECOND.ceiling,
        stored_bytes: STORED_BYTES.ceiling,
        weight: WEIGHT.ceiling,
    };

    /// Everything that a quota may be set for.
    pub fn all() -> impl Iterator<Item = &'static Limit> {
        Limits::ALL.iter().chain(BESIDE)
    }

    /// The quota of this name.
    pub fn get(&self, name: &str) -> Option<u64> {
        match name {
            "live_walkers" => Some(self.live_walkers),
            "running_walkers" => Some(self.running_walkers),
            "requests_per_second" => Some(self.requests_per_second),
            "stored_bytes" => Some(self.stored_bytes),
            "weight" => Some(self.weight),
            name => self.limits.get(name),
        }
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut u64> {
        match name {
            "live_walkers" => Some(&mut self.live_walkers),
            "running_walkers" => Some(&mut self.running_walkers),
            "requests_per_second" => Some(&mut self.requests_per_second),
            "stored_bytes" => Some(&mut self.stored_bytes),
            "weight" => Some(&mut self.weight),
            name => self.limits.get_mut(name),
        }
    }

    /// Its weight, of which there is always some.
    pub fn weight(&self) -> NonZero<u32> {
        u32::try_from(self.weight).ok().and_then(NonZero::new).unwrap_or(NonZero::<u32>::MIN)
    }

    /// How many of its async walkers may run at once; `None`: as many as there are slots.
    pub fn concurrency(&self) -> Option<u32> {
        u32::try_from(self.running_walkers).ok().filter(|_| self.running_walkers < UNCOUNTED)
    }

    /// How many requests its callers may make a second; `None`: as many as they like.
    pub fn request_rate(&self) -> Option<u32> {
        u32::try_from(self.requests_per_second).ok().filter(|_| self.requests_per_second < UNCOUNTED)
    }

    /// How many bytes it may have stored; `None`: as many as there is room for.
    pub fn storage(&self) -> Option<u64> {
        Some(self.stored_bytes).filter(|bytes| *bytes < UNBOUNDED)
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

impl Default for Quotas {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_counts_up_to_the_ceiling() {
        let ceiling = Quotas { live_walkers: 50, ..Quotas::CEILING };
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
            assert_eq!(Quotas { requests_per_second, ..Quotas::DEFAULT }.request_rate(), expect);
        };
        check(Quotas::DEFAULT.requests_per_second, None);
        check(u64::MAX, None);
        check(0, Some(0));
        check(12, Some(12));
    }

    #[test]
    fn who_may_store_more_than_there_is_room_for_is_not_counted() {
        let check = |stored_bytes: u64, expect: Option<u64>| {
            assert_eq!(Quotas { stored_bytes, ..Quotas::DEFAULT }.storage(), expect);
        };
        check(Quotas::DEFAULT.stored_bytes, None);
        check(u64::MAX, None);
        check(0, Some(0));
        check(1 << 40, Some(1 << 40));
    }

    #[test]
    fn who_may_run_as_many_as_there_are_slots_is_not_counted() {
        let check = |running_walkers: u64, expect: Option<u32>| {
            assert_eq!(Quotas { running_walkers, ..Quotas::DEFAULT }.concurrency(), expect);
        };
        check(Quotas::DEFAULT.running_walkers, None);
        check(u64::MAX, None);
        check(0, Some(0));
        check(12, Some(12));
    }
}
