//! How much each tenant has stored, as far as this host knows: an estimate in memory, put right by counting, of those
//! tenants only that are bounded and store something.
//!
//! What this host accepts is known at once; results, what other hosts store, and what is deleted, about a second late.
//! Knows no quota: whoever asks brings it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;
use walker_model::TenantId;

use crate::store::{Error, Store, within};

/// How often the tenants that ask are counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Whoever has not asked for so long is no longer counted, and is counted anew before it is believed.
const STALE: Duration = Duration::from_secs(5);
/// Counting adds up a row for each day; what takes this long has lost its connection.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// How much each tenant has stored. Cheap to clone; all clones share one estimate.
#[derive(Clone)]
pub(crate) struct Stored {
    tenants: Arc<Mutex<HashMap<TenantId, Known>>>,
    /// One count at a time.
    counting: Arc<tokio::sync::Mutex<()>>,
    store: Store,
}

/// Why nothing more is taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoRoom {
    /// It would be too much; so much there is.
    #[error("the tenant has {0} bytes stored")]
    Full(u64),
    /// It could not be counted.
    #[error(transparent)]
    Store(#[from] Error),
}

/// What is known of one tenant.
#[derive(Debug, Clone, Copy)]
struct Known {
    counted: u64,
    counted_at: Option<Instant>,
    /// What this host let in since the last count began.
    since: u64,
    asked_at: Instant,
}

impl Known {
    fn new(now: Instant) -> Self {
        Self { counted: 0, counted_at: None, since: 0, asked_at: now }
    }

    fn is_fresh(&self, now: Instant) -> bool {
        self.counted_at.is_some_and(|at| now.saturating_duration_since(at) < STALE)
    }
}

impl Stored {
    pub(crate) fn new(store: Store) -> Self {
        Self { tenants: Arc::default(), counting: Arc::default(), store }
    }

    /// Lets in so many bytes of a tenant that may have `quota` in all.
    ///
    /// # Errors
    /// When there is no room, or the database cannot say.
    pub(crate) async fn admit(&self, tenant: TenantId, bytes: u64, quota: u64) -> Result<(), NoRoom> {
        let now = Instant::now();
        let is_fresh = self.with(tenant, |known| {
            known.asked_at = now;
            known.is_fresh(now)
        });
        if !is_fresh {
            self.count(&[tenant]).await?;
        }
        self.with(tenant, |known| {
            let stored = known.counted.saturating_add(known.since);
            if stored.saturating_add(bytes) > quota {
                return Err(NoRoom::Full(stored));
            }
            known.since = known.since.saturating_add(bytes);
            Ok(())
        })
    }

    /// Counts those that ask, for as long as this host lives; never returns.
    pub(crate) async fn follow(self) {
        let mut tick = tokio::time::interval(COUNT_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let asking = self.asking(Instant::now());
            if let Err(error) = self.count(&asking).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "could not count what tenants have stored");
            }
        }
    }

    /// Forgets who has not asked for long; answers the others.
    fn asking(&self, now: Instant) -> Vec<TenantId> {
        let mut tenants = self.lock();
        tenants.retain(|_, known| now.saturating_duration_since(known.asked_at) < STALE);
        tenants.keys().copied().collect()
    }

    async fn count(&self, tenants: &[TenantId]) -> Result<(), Error> {
        let _one = self.counting.lock().await;
        let began = Instant::now();
        // Somebody else may have counted while this waited for its turn.
        let is_due =
            |known: &Known| known.counted_at.is_none_or(|at| began.saturating_duration_since(at) >= COUNT_EVERY / 2);
        let due: Vec<(TenantId, u64)> = tenants
            .iter()
            .filter_map(|tenant| self.with(*tenant, |known| is_due(known).then_some((*tenant, known.since))))
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        let ids: Vec<TenantId> = due.iter().map(|(tenant, _)| *tenant).collect();
        let counted = within(ANSWER_WAIT, self.store.stored_by_each(&ids)).await?;
        for ((tenant, before), counted) in due.into_iter().zip(counted) {
            self.with(tenant, |known| {
                known.counted = counted;
                known.counted_at = Some(began);
                // Of this, what is on its way is missed until the next count.
                known.since = known.since.saturating_sub(before);
            });
        }
        Ok(())
    }

    fn with<T>(&self, tenant: TenantId, change: impl FnOnce(&mut Known) -> T) -> T {
        change(self.lock().entry(tenant).or_insert_with(|| Known::new(Instant::now())))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Known>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_postgres;

    const ONE: TenantId = TenantId(1);

    async fn store_bytes(store: &Store, tenant: TenantId, bytes: i64) {
        let insert =
            "insert into stored_deltas (tenant_id, day, bytes) values ($1, (now() at time zone 'utc')::date, $2)";
        store.client().await.unwrap().execute(insert, &[&tenant.0, &bytes]).await.unwrap();
    }

    #[tokio::test]
    async fn lets_in_as_much_as_the_quota_leaves() {
        let store = test_postgres::store().await;
        let stored = Stored::new(store.clone());
        store_bytes(&store, ONE, 60).await;
        let check = async |bytes: u64, quota: u64, expect: Option<u64>| {
            let full = match stored.admit(ONE, bytes, quota).await {
                Ok(()) => None,
                Err(NoRoom::Full(stored)) => Some(stored),
                Err(NoRoom::Store(error)) => panic!("{error}"),
            };
            assert_eq!(full, expect, "{bytes} of {quota}");
        };
        check(41, 100, Some(60)).await;
        check(30, 100, None).await;
        check(11, 100, Some(90)).await;
        check(10, 100, None).await;
        check(1, 100, Some(100)).await;
        check(1, 101, None).await;
        assert!(stored.admit(TenantId(2), 100, 100).await.is_ok(), "nobody else's");

        // Forgotten, and so counted anew: what was let in and never stored counts no more.
        assert!(stored.asking(Instant::now() + STALE).is_empty());
        store_bytes(&store, ONE, -20).await;
        check(61, 100, Some(40)).await;
        store_bytes(&store, ONE, -1_000).await;
        assert!(stored.asking(Instant::now() + STALE).is_empty());
        check(100, 100, None).await;
    }
}
