//! How often passwords may be tried: from one address, for one account, and from one for the other. In memory of a fixed
//! size, whatever is tried.
//!
//! Knows neither passwords nor users: an account is a tenant and an e-mail address, whether or not there is such a user.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZero;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use moka::sync::Cache;
use walker_model::TenantId;

use crate::config::Logins;

/// Half a megabyte for each table.
const PLACES: usize = 1 << 16;
/// Places from which somebody logged in lately, at some 100 bytes each.
const MOST_FAMILIAR: u64 = 50_000;
/// As long as a session lives by default: who comes back when it ends comes from a familiar place.
const FAMILIAR_FOR: Duration = Duration::from_secs(31 * 86_400);
/// What one address may take of an account's allowance is a half: alone it can neither guess fast nor keep the owner out.
const FROM_ONE_ADDRESS: u32 = 2;

/// Counts attempts. Each allowance comes back evenly, so that nobody is locked out for longer than it takes to get the next
/// attempt back.
///
/// An owner competes with whoever attacks the account from many addresses, but not at a place where the owner has logged
/// in before: there only what is tried from that very place counts.
pub(super) struct Attempts<C: Clock = DefaultClock> {
    by_address: Allowances<C>,
    by_account: Allowances<C>,
    by_both: Allowances<C>,
    familiar: Cache<u64, ()>,
    /// Nobody outside can tell which keys share a place.
    hashes: RandomState,
}

/// Who tries what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) from: IpAddr,
    pub(super) tenant: TenantId,
    pub(super) email: &'a str,
}

impl Attempts {
    pub(super) fn new(settings: Logins) -> Self {
        Self::with_clock(settings, &DefaultClock::default())
    }
}

impl<C: Clock + Clone> Attempts<C> {
    fn with_clock(settings: Logins, clock: &C) -> Self {
        let half = NonZero::new(settings.per_account.get() / FROM_ONE_ADDRESS).unwrap_or(NonZero::<u32>::MIN);
        Self {
            by_address: Allowances::new(settings.per_address, clock),
            by_account: Allowances::new(settings.per_account, clock),
            by_both: Allowances::new(half, clock),
            familiar: Cache::builder().max_capacity(MOST_FAMILIAR).time_to_live(FAMILIAR_FOR).build(),
            hashes: RandomState::new(),
        }
    }

    /// Takes one attempt from what is left.
    ///
    /// # Errors
    /// How long to wait when nothing is left.
    pub(super) fn take(&self, attempt: Attempt<'_>) -> Result<(), Duration> {
        let Keys { address, account, both } = self.keys(attempt);
        // The address first: who has used up its own allowance takes nothing of anybody's account.
        self.by_address.take(address)?;
        self.by_both.take(both)?;
        if self.familiar.contains_key(&both) {
            return Ok(());
        }
        self.by_account.take(account)
    }

    /// The right password came from there.
    pub(super) fn succeeded(&self, attempt: Attempt<'_>) {
        self.familiar.insert(self.keys(attempt).both, ());
    }

    fn keys(&self, Attempt { from, tenant, email }: Attempt<'_>) -> Keys {
        let network = network(from);
        let of = |what: &dyn Fn(&mut std::hash::DefaultHasher)| {
            let mut hasher = self.hashes.build_hasher();
            what(&mut hasher);
            std::hash::Hasher::finish(&hasher)
        };
        Keys {
            address: of(&|hasher| network.hash(hasher)),
            account: of(&|hasher| (tenant.0, email).hash(hasher)),
            both: of(&|hasher| (network, tenant.0, email).hash(hasher)),
        }
    }
}

struct Keys {
    address: u64,
    account: u64,
    both: u64,
}

/// What one client has: an IPv4 address, or the 64 bits of an IPv6 network, in which it may take any address it likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// One allowance for each of very many keys. Keys that fall on one place share it, which they notice only when both try
/// often.
struct Allowances<C: Clock> {
    limiter: RateLimiter<u64, Places, C, NoOpMiddleware<C::Instant>>,
    clock: C,
}

impl<C: Clock + Clone> Allowances<C> {
    /// So many at once, and so many a minute.
    fn new(a_minute: NonZero<u32>, clock: &C) -> Self {
        let quota = Quota::per_minute(a_minute);
        let places = Places((0..PLACES).map(|_| InMemoryState::default()).collect());
        Self { limiter: RateLimiter::new(quota, places, clock.clone()), clock: clock.clone() }
    }

    fn take(&self, key: u64) -> Result<(), Duration> {
        self.limiter.check_key(&key).map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }
}

/// The allowances' states, by the low bits of their keys.
struct Places(Box<[InMemoryState]>);

impl StateStore for Places {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<governor::nanos::Nanos>) -> Result<(T, governor::nanos::Nanos), E>,
    {
        let place = usize::try_from(key % PLACES as u64).expect("a place is one of few");
        self.0[place].measure_and_replace(&NotKeyed::NonKey, measure)
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    struct Scene {
        clock: FakeRelativeClock,
        attempts: Attempts<FakeRelativeClock>,
    }

    impl Scene {
        fn new(per_address: u32, per_account: u32) -> Self {
            let number = |number| NonZero::new(number).unwrap();
            let settings = Logins { per_address: number(per_address), per_account: number(per_account) };
            let clock = FakeRelativeClock::default();
            Self { attempts: Attempts::with_clock(settings, &clock), clock }
        }

        fn take(&self, from: &str, email: &str) -> Result<(), Duration> {
            self.attempts.take(attempt(from, email))
        }

        /// How many of so many attempts pass.
        fn passed(&self, count: usize, from: impl Fn(usize) -> String, email: impl Fn(usize) -> String) -> usize {
            (0..count).filter(|number| self.take(&from(*number), &email(*number)).is_ok()).count()
        }
    }

    fn attempt<'a>(from: &str, email: &'a str) -> Attempt<'a> {
        Attempt { from: from.parse().unwrap(), tenant: TenantId(1), email }
    }

    fn one(text: &str) -> impl Fn(usize) -> String {
        move |_| text.to_owned()
    }

    #[test]
    fn one_address_has_its_allowance_whatever_accounts_it_tries() {
        let scene = Scene::new(60, 10);
        assert_eq!(scene.passed(200, one("192.0.2.1"), |number| format!("u{number}@x")), 60);
        assert_eq!(scene.take("192.0.2.1", "new@x"), Err(Duration::from_secs(1)));
        assert_eq!(scene.take("192.0.2.2", "new@x"), Ok(()));
        scene.clock.advance(Duration::from_secs(1));
        assert_eq!(scene.take("192.0.2.1", "new@x"), Ok(()));
        assert!(scene.take("192.0.2.1", "new@x").is_err());
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let scene = Scene::new(60, 10);
        let host = |number| format!("2001:db8:0:1::{number:x}");
        assert_eq!(scene.passed(100, host, |number| format!("u{number}@x")), 60);
        assert_eq!(scene.take("2001:db8:0:2::1", "u@x"), Ok(()));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn one_address_takes_half_of_an_account_and_many_take_all_of_it_for_seconds() {
        let scene = Scene::new(60, 10);
        assert_eq!(scene.passed(50, one("192.0.2.1"), one("ada@x")), 5);
        assert_eq!(scene.take("192.0.2.2", "ada@x"), Ok(()), "the owner, elsewhere");
        assert_eq!(scene.passed(200, |number| format!("198.51.100.{number}"), one("ada@x")), 4);
        assert_eq!(scene.take("192.0.2.3", "ada@x"), Err(Duration::from_secs(6)));
        assert_eq!(scene.take("192.0.2.3", "bob@x"), Ok(()));
        scene.clock.advance(Duration::from_secs(6));
        assert_eq!(scene.take("192.0.2.4", "ada@x"), Ok(()));
    }

    #[test]
    fn an_attack_from_elsewhere_does_not_reach_where_the_owner_has_been() {
        let scene = Scene::new(60, 10);
        scene.attempts.succeeded(attempt("192.0.2.1", "ada@x"));
        for _ in 0..10 {
            assert!(scene.passed(250, |number| format!("198.51.100.{number}"), one("ada@x")) <= 10);
            assert_eq!(scene.take("192.0.2.1", "ada@x"), Ok(()));
            assert!(scene.take("192.0.2.2", "ada@x").is_err(), "this place is new");
            scene.clock.advance(Duration::from_secs(12));
        }
        assert_eq!(scene.passed(50, one("192.0.2.1"), one("ada@x")), 5, "a familiar place guesses no faster");
    }

    #[test]
    fn strangers_in_great_number_leave_others_what_is_theirs() {
        let scene = Scene::new(60, 10);
        for number in 0..5_000_u32 {
            let address = std::net::Ipv4Addr::from_bits(number << 8).to_string();
            assert_eq!(scene.take(&address, &format!("u{number}@x")), Ok(()));
        }
        assert_eq!(scene.passed(100, |number| format!("192.0.2.{number}"), |number| format!("owner{number}@x")), 100);
    }
}
