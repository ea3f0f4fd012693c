//! The runs of this host, so that they can be stopped and waited for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;
use walker_model::TenantId;
use walker_sandbox::Stop;

/// The runs of this host. A walker that was cancelled and retried may have two for a moment: each attempt is one.
#[derive(Default)]
pub(crate) struct Running {
    runs: Mutex<BTreeMap<(Uuid, i16), Run>>,
    left: Notify,
}

struct Run {
    stop: Stop,
    is_cancelled: Arc<AtomicBool>,
    /// Of a sync walker: no row of it could say that it is to stop.
    sync_of: Option<TenantId>,
}

/// A run's place in the list, left when dropped.
pub(super) struct Place<'a> {
    running: &'a Running,
    key: (Uuid, i16),
    is_cancelled: Arc<AtomicBool>,
}

impl Running {
    /// Enters the run of an async walker.
    pub(super) fn enter(&self, id: Uuid, attempt: i16) -> (Place<'_>, Stop) {
        self.enter_as(id, attempt, None)
    }

    /// Enters the run of a sync walker.
    pub(super) fn enter_sync(&self, id: Uuid, tenant: TenantId) -> (Place<'_>, Stop) {
        self.enter_as(id, 1, Some(tenant))
    }

    fn enter_as(&self, id: Uuid, attempt: i16, sync_of: Option<TenantId>) -> (Place<'_>, Stop) {
        let stop = Stop::default();
        let is_cancelled = Arc::<AtomicBool>::default();
        let key = (id, attempt);
        self.lock().insert(key, Run { stop: stop.clone(), is_cancelled: is_cancelled.clone(), sync_of });
        (Place { running: self, key, is_cancelled }, stop)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Whether an attempt of this walker is one of them.
    pub(crate) fn has(&self, id: Uuid) -> bool {
        self.lock().range((id, i16::MIN)..=(id, i16::MAX)).next().is_some()
    }

    /// Which walkers they are.
    pub(crate) fn ids(&self) -> Vec<Uuid> {
        self.lock().keys().map(|(id, _)| *id).collect()
    }

    /// Asks one to end, because its walker was cancelled. `false`: it is not here (yet, or any more).
    pub(crate) fn cancel(&self, id: Uuid, attempt: i16) -> bool {
        let runs = self.lock();
        let Some(run) = runs.get(&(id, attempt)) else { return false };
        run.is_cancelled.store(true, Ordering::Release);
        run.stop.stop();
        true
    }

    /// Asks a tenant's sync walkers to end; the async ones are cancelled by their rows.
    pub(crate) fn stop_sync_of(&self, tenant: TenantId) {
        for run in self.lock().values().filter(|run| run.sync_of == Some(tenant)) {
            run.stop.stop();
        }
    }

    /// Asks all of them to end.
    pub(crate) fn stop_all(&self) {
        for run in self.lock().values() {
            run.stop.stop();
        }
    }

    /// Returns when there are none.
    pub(crate) async fn idle(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            left.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(Uuid, i16), Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Whether its walker was cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.running.lock().remove(&self.key);
        self.running.left.notify_waiters();
    }
}
