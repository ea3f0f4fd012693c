//! How many requests each tenant's callers make a second: counted in memory, of those tenants only that have a quota.
//!
//! Knows neither quotas nor hosts: whoever asks brings them. What other hosts let in, each by its own share, is not asked.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use moka::sync::Cache;
use walker_model::TenantId;

/// Tenants at a time, at some hundred bytes each; whoever is forgotten has a second's worth anew.
const MOST_KNOWN: u64 = 50_000;
/// A second is all that is ever remembered.
const FORGET: Duration = Duration::from_secs(10);

/// Of what a tenant has, as many parts are for callers without a token: whoever knows no more than a tenant's name must not keep
/// out those who belong to it.
const FOR_ANYBODY: u32 = 2;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Asks {
    /// Somebody who belongs to the tenant.
    Member,
    /// Anybody.
    Anybody,
}

/// On whose account something is held that comes with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    /// A tenant's; that of callers without a token apart, who must not keep out those who belong to it.
    Of(TenantId, Asks),
    /// Nobody's in particular: it should be so little that it is not counted.
    OfLittle,
}

/// What each tenant has left.
pub(crate) struct Requests<C: Clock = DefaultClock> {
    left: Cache<(TenantId, Asks), Arc<Left<C>>>,
    clock: C,
}

/// What one tenant has left of its share.
struct Left<C: Clock> {
    share: NonZero<u32>,
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
}

impl Default for Requests {
    fn default() -> Self {
        Self::with_clock(DefaultClock::default())
    }
}

impl<C: Clock + Clone + Send + Sync + 'static> Requests<C>
where
    C::Instant: Send + Sync,
{
    fn with_clock(clock: C) -> Self {
        Self { left: Cache::builder().max_capacity(MOST_KNOWN).time_to_idle(FORGET).build(), clock }
    }

    /// Takes one request of a tenant that may make `quota` a second, of which each of `hosts` gives its share, and at least
    /// one: where that changed, the second begins anew. Callers without a token get at most half of it.
    ///
    /// # Errors
    /// How long to wait when nothing is left.
    pub(crate) fn take(&self, tenant: TenantId, asks: Asks, quota: u32, hosts: u32) -> Result<(), Duration> {
        let share = quota / hosts.max(1);
        if asks == Asks::Anybody {
            self.take_of((tenant, asks), share / FOR_ANYBODY)?;
        }
        self.take_of((tenant, Asks::Member), share)
    }

    fn take_of(&self, whose: (TenantId, Asks), share: u32) -> Result<(), Duration> {
        let share = NonZero::new(share).unwrap_or(NonZero::<u32>::MIN);
        let left = match self.left.get(&whose) {
            Some(left) if left.share == share => left,
            _ => {
                let entry = self.left.entry(whose);
                entry.or_insert_with_if(|| Arc::new(self.whole(share)), |left| left.share != share).into_value()
            }
        };
        left.limiter.check().map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }

    fn whole(&self, share: NonZero<u32>) -> Left<C> {
        let limiter = RateLimiter::direct_with_clock(Quota::per_second(share), self.clock.clone());
        Left { share, limiter }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    const ONE: TenantId = TenantId(1);

    /// How many of so many requests pass.
    fn passed(requests: &Requests<FakeRelativeClock>, tenant: TenantId, quota: u32, hosts: u32) -> usize {
        (0..200).filter(|_| requests.take(tenant, Asks::Member, quota, hosts).is_ok()).count()
    }

    #[test]
    fn a_second_s_worth_at_once_and_then_as_it_comes_back() {
        let clock = FakeRelativeClock::default();
        let requests = Requests::with_clock(clock.clone());
        assert_eq!(passed(&requests, ONE, 10, 1), 10);
        assert_eq!(requests.take(ONE, Asks::Member, 10, 1), Err(Duration::from_millis(100)));
        assert_eq!(passed(&requests, TenantId(2), 7, 1), 7, "nobody else's");
        clock.advance(Duration::from_millis(100));
        assert_eq!(passed(&requests, ONE, 10, 1), 1);
        clock.advance(Duration::from_secs(60));
        assert_eq!(passed(&requests, ONE, 10, 1), 10);
    }

    #[test]
    fn whoever_has_no_token_leaves_half_to_those_who_have() {
        let requests = Requests::with_clock(FakeRelativeClock::default());
        let anybody = (0..200).filter(|_| requests.take(ONE, Asks::Anybody, 10, 1).is_ok()).count();
        assert_eq!((anybody, passed(&requests, ONE, 10, 1)), (5, 5));
        // And has no more where the others took all.
        let requests = Requests::with_clock(FakeRelativeClock::default());
        assert_eq!(passed(&requests, ONE, 10, 1), 10);
        assert!(requests.take(ONE, Asks::Anybody, 10, 1).is_err());
    }

    #[test]
    fn what_is_changed_counts_at_once() {
        let requests = Requests::with_clock(FakeRelativeClock::default());
        assert_eq!(passed(&requests, ONE, 10, 1), 10);
        assert_eq!(passed(&requests, ONE, 20, 1), 20);
        assert_eq!(passed(&requests, ONE, 20, 1), 0);
    }

    #[test]
    fn each_host_gives_its_share_and_at_least_one() {
        for (quota, hosts, expect) in [(10, 2, 5), (10, 3, 3), (10, 20, 1), (1, 2, 1), (0, 1, 1), (9, 0, 9)] {
            let requests = Requests::with_clock(FakeRelativeClock::default());
            assert_eq!(passed(&requests, ONE, quota, hosts), expect, "{quota} on {hosts}");
        }
    }
}
