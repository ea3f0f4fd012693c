//! How many walkers of each tenant have not ended, as far as this host knows: an estimate in memory, put right by
//! counting now and then. Never a counter row, which would make a tenant's commits wait for each other.
//!
//! What this host accepts, takes and ends is known at once; what others do, at most about two seconds late. Knows no
//! quota: whoever asks brings it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::Statement;
use uuid::Uuid;
use walker_model::TenantId;

use super::HostLease;
use crate::store::{Error, Session, Store, live, within};

/// How often the tenants that ask are counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Counting takes no more than a fiftieth of its connection's time: half a million rows are counted every few seconds.
const SHARE: u32 = 50;
/// Whoever has not asked for so long is no longer counted, and is counted anew before it is believed.
const STALE: Duration = Duration::from_secs(5);
/// Counting takes milliseconds, with half a million rows some hundred; what takes this long has lost its connection.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// What nobody asked for this long is forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// How many walkers of each tenant have not ended. Cheap to clone; all clones share one estimate.
#[derive(Clone)]
pub(crate) struct Backlog {
    tenants: Arc<Mutex<HashMap<TenantId, Live>>>,
    /// One count at a time, on a connection of its own.
    link: Arc<tokio::sync::Mutex<Option<(Session, Statement)>>>,
    store: Store,
    lease: HostLease,
}

/// Why a tenant's walker is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// It would be one too many.
    #[error("the tenant has too many live walkers")]
    Full,
    /// They could not be counted.
    #[error(transparent)]
    Store(#[from] Error),
}

/// What is known of one tenant.
#[derive(Debug)]
struct Live {
    /// Waiting rows, when they were last counted.
    waiting: i64,
    /// What this host added to them and took from them, since ever, and when they were counted.
    changes: i64,
    changes_counted: i64,
    /// Let in by this host, neither stored nor running yet.
    coming: HashSet<Uuid>,
    /// Running on this host.
    running: i64,
    /// Running on other hosts, as they last told.
    elsewhere: i64,
    counted_at: Option<Instant>,
    count_next: Instant,
    asked_at: Instant,
    /// The quota when it last asked: there is no need to count far beyond it.
    quota: u64,
}

impl Live {
    fn new(now: Instant) -> Self {
        Self {
            waiting: 0,
            changes: 0,
            changes_counted: 0,
            coming: HashSet::new(),
            running: 0,
            elsewhere: 0,
            counted_at: None,
            count_next: now,
            asked_at: now,
            quota: 0,
        }
    }

    fn waiting(&self) -> u64 {
        u64::try_from(self.waiting + self.changes - self.changes_counted).unwrap_or(0)
    }

    fn total(&self) -> u64 {
        let others = u64::try_from(self.coming.len() as i64 + self.running + self.elsewhere).unwrap_or(0);
        self.waiting().saturating_add(others)
    }

    fn is_fresh(&self, now: Instant) -> bool {
        // What takes long to count is believed for longer.
        self.counted_at.is_some_and(|at| now.saturating_duration_since(at) < STALE || now < self.count_next)
    }
}

impl Backlog {
    pub(crate) fn new(store: Store, lease: HostLease) -> Self {
        Self { tenants: Arc::default(), link: Arc::default(), store, lease }
    }

    /// Lets these walkers in, of a tenant that may have `quota` at once: all or none.
    ///
    /// # Errors
    /// When there is no room, or the database cannot say.
    pub(crate) async fn admit(&self, tenant: TenantId, ids: &[Uuid], quota: u64) -> Result<Coming, Refused> {
        let now = Instant::now();
        let is_fresh = self.with(tenant, |live| {
            live.asked_at = now;
            live.quota = quota;
            live.is_fresh(now)
        });
        if !is_fresh {
            Box::pin(self.count(tenant)).await?;
        }
        self.with(tenant, |live| {
            if live.total().saturating_add(ids.len() as u64) > quota {
                return Err(Refused::Full);
            }
            live.coming.extend(ids);
            Ok(())
        })?;
        Ok(Coming { backlog: self.clone(), tenant, ids: ids.to_vec() })
    }

    /// How many of a tenant's walkers wait, as far as this host knows.
    pub(crate) fn waiting(&self, tenant: TenantId) -> u64 {
        self.lock().get(&tenant).map_or(0, Live::waiting)
    }

    /// A walker that this host runs, until the answer is dropped.
    pub(crate) fn run(&self, tenant: TenantId, id: Uuid) -> Ran {
        self.with(tenant, |live| {
            // No longer on its way, whether or not whoever sent it has heard: nobody counts twice.
            live.coming.remove(&id);
            live.running += 1;
        });
        Ran { backlog: self.clone(), tenant }
    }

    /// This host took a waiting walker.
    pub(crate) fn claimed(&self, tenant: TenantId) {
        self.with(tenant, |live| live.changes -= 1);
    }

    /// Waiting walkers were cancelled.
    pub(crate) fn cancelled(&self, tenant: TenantId, count: usize) {
        self.with(tenant, |live| live.changes -= count as i64);
    }

    /// A walker that this host ran waits again.
    pub(crate) fn given_back(&self, tenant: TenantId) {
        self.with(tenant, |live| live.changes += 1);
    }

    /// How many walkers of each tenant this host runs: what it tells the others.
    pub(crate) fn running(&self) -> HashMap<String, i64> {
        let tenants = self.lock();
        let running = tenants.iter().filter(|(_, live)| live.running > 0);
        running.map(|(tenant, live)| (tenant.0.to_string(), live.running)).collect()
    }

    /// Counts those that ask, for as long as this host lives; never returns.
    pub(crate) async fn follow(self) {
        let mut tick = tokio::time::interval(COUNT_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            for tenant in self.due(Instant::now()) {
                if let Err(error) = self.count(tenant).await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "could not count live walkers");
                }
            }
        }
    }

    /// Forgets who has not asked for long; answers who is to be counted.
    fn due(&self, now: Instant) -> Vec<TenantId> {
        let mut tenants = self.lock();
        tenants.retain(|_, live| live.running > 0 || !live.coming.is_empty() || now - live.asked_at < FORGET);
        let asks = tenants.iter().filter(|(_, live)| now - live.asked_at < STALE && live.count_next <= now);
        asks.map(|(tenant, _)| *tenant).collect()
    }

    async fn count(&self, tenant: TenantId) -> Result<(), Error> {
        let mut link = self.link.lock().await;
        let began = Instant::now();
        // Somebody else may have counted while this waited for its turn.
        let counts = self.with(tenant, |live| {
            let is_done = live.counted_at.is_some_and(|at| began - at < COUNT_EVERY / 2);
            (!is_done).then_some((live.changes, live.quota))
        });
        let Some((changes, quota)) = counts else { return Ok(()) };
        // Far enough beyond the quota that what ends here until the next count makes no room that is not there.
        let at_most = quota.saturating_add(quota / 4).saturating_add(1_000);
        // It ended with a Postgres that may be back by now.
        link.take_if(|(session, _)| session.is_closed());
        let counted = within(ANSWER_WAIT, async {
            let (session, statement) = match &mut *link {
                Some(link) => link,
                none => {
                    let session = self.store.queue_session("counts what waits").await?;
                    let statement = session.prepare(live::COUNT).await?;
                    none.insert((session, statement))
                }
            };
            live::count(session, statement, tenant, self.lease.id(), at_most).await
        });
        let (waiting, elsewhere) = match counted.await {
            Ok(counted) => counted,
            Err(error) => {
                *link = None;
                return Err(error);
            }
        };
        let now = Instant::now();
        self.with(tenant, |live| {
            live.waiting = waiting;
            live.elsewhere = elsewhere;
            live.changes_counted = changes;
            live.counted_at = Some(now);
            live.count_next = now + COUNT_EVERY.max((now - began) * SHARE);
        });
        Ok(())
    }

    fn with<T>(&self, tenant: TenantId, change: impl FnOnce(&mut Live) -> T) -> T {
        change(self.lock().entry(tenant).or_insert_with(|| Live::new(Instant::now())))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Live>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Walkers that were let in. Dropped, those are forgotten that do not run here: they were never stored.
#[must_use]
pub(crate) struct Coming {
    backlog: Backlog,
    tenant: TenantId,
    ids: Vec<Uuid>,
}

impl Coming {
    /// Their rows are committed and wait.
    pub(crate) fn waiting(self) {
        self.backlog.with(self.tenant, |live| live.changes += self.ids.len() as i64);
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.backlog.with(self.tenant, |live| {
            for id in &self.ids {
                live.coming.remove(id);
            }
        });
    }
}

/// A walker that this host runs.
#[must_use]
pub(crate) struct Ran {
    backlog: Backlog,
    tenant: TenantId,
}

impl Drop for Ran {
    fn drop(&mut self) {
        self.backlog.with(self.tenant, |live| live.running -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;
    use crate::store::hosts;
    use crate::test_postgres;

    const ONE: TenantId = TenantId(1);

    async fn backlog(store: &Store) -> Backlog {
        Backlog::new(store.clone(), HostLease::register(store, Role::All).await.unwrap())
    }

    /// Waiting rows that some other host accepted.
    async fn queue(store: &Store, tenant: TenantId, count: i64) {
        let client = store.client().await.unwrap();
        let insert = "insert into queue (id, tenant_id, execute_date)
                      select gen_random_uuid(), $1, now() from generate_series(1, $2::int8)";
        client.execute(insert, &[&tenant.0, &count]).await.unwrap();
    }

    fn ids(count: usize) -> Vec<Uuid> {
        std::iter::repeat_with(Uuid::now_v7).take(count).collect()
    }

    #[tokio::test]
    async fn lets_in_as_many_as_the_quota_and_each_counts_once() {
        let store = test_postgres::store().await;
        let backlog = backlog(&store).await;
        let check = async |count: usize, quota: u64, expect: bool| {
            assert_eq!(backlog.admit(ONE, &ids(count), quota).await.is_ok(), expect, "{count} of {quota}");
        };
        check(3, 3, true).await;
        check(4, 3, false).await;
        let [first, second] = ids(2)[..] else { unreachable!() };
        let coming = backlog.admit(ONE, &[first, second], 3).await.unwrap();
        check(1, 3, true).await;
        check(2, 3, false).await;
        // One of them already runs when its sender hears of it.
        let ran = backlog.run(ONE, first);
        check(1, 3, true).await;
        check(2, 3, false).await;
        drop(coming);
        check(2, 3, true).await;
        check(3, 3, false).await;
        assert_eq!(backlog.running(), [("1".to_owned(), 1)].into());
        drop(ran);
        check(3, 3, true).await;
        assert!(backlog.admit(TenantId(2), &ids(3), 3).await.is_ok(), "nobody else's");

        // Stored, and taken again.
        backlog.admit(ONE, &ids(2), 3).await.unwrap().waiting();
        check(2, 3, false).await;
        backlog.claimed(ONE);
        check(2, 3, true).await;
    }

    #[tokio::test]
    async fn a_connection_that_ended_costs_nobody_an_answer() {
        let store = test_postgres::store().await;
        let backlog = backlog(&store).await;
        backlog.admit(ONE, &ids(1), 3).await.unwrap().waiting();
        let others = "select pg_terminate_backend(pid) from pg_stat_activity
                      where datname = current_database() and pid <> pg_backend_pid()";
        store.client().await.unwrap().execute(others, &[]).await.unwrap();
        let has_ended = async || backlog.link.lock().await.as_ref().is_some_and(|(session, _)| session.is_closed());
        while !has_ended().await {
            tokio::task::yield_now().await;
        }
        // Of whom nothing is known yet, so that it is counted.
        assert!(backlog.admit(TenantId(2), &ids(1), 3).await.is_ok());
    }

    #[tokio::test]
    async fn counts_what_other_hosts_accepted_and_run() {
        let store = test_postgres::store().await;
        queue(&store, ONE, 5).await;
        queue(&store, TenantId(2), 100).await;
        let (here, there) = (backlog(&store).await, backlog(&store).await);
        let began = Instant::now();
        assert!(matches!(here.admit(ONE, &ids(1), 5).await, Err(Refused::Full)), "also at the first question");
        drop(here.admit(ONE, &ids(1), 6).await.unwrap());
        assert!(here.due(began).is_empty(), "just counted");

        let _ran = there.run(ONE, Uuid::now_v7());
        let session = store.session("a test").await.unwrap();
        assert!(hosts::beat(&session, there.lease.id(), &there.running()).await.unwrap().is_some());
        let next = here.with(ONE, |live| {
            live.asked_at = live.count_next;
            live.count_next
        });
        assert_eq!(here.due(next), [ONE]);
        assert!(here.due(next + FORGET).is_empty());
        // Forgotten, and so counted anew.
        assert!(matches!(here.admit(ONE, &ids(1), 6).await, Err(Refused::Full)));
        assert!(here.admit(ONE, &ids(1), 7).await.is_ok());
    }
}
