//! The runs of this host, so that they can be stopped and waited for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;
use walker_sandbox::Stop;

/// The runs of this host.
#[derive(Default)]
pub(crate) struct Running {
    runs: Mutex<HashMap<Uuid, Stop>>,
    left: Notify,
}

/// A run's place in the list, left when dropped.
pub(super) struct Place<'a> {
    running: &'a Running,
    id: Uuid,
}

impl Running {
    /// Enters a run.
    pub(super) fn enter(&self, id: Uuid) -> (Place<'_>, Stop) {
        let stop = Stop::default();
        self.lock().insert(id, stop.clone());
        (Place { running: self, id }, stop)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Which walkers they are.
    pub(crate) fn ids(&self) -> Vec<Uuid> {
        self.lock().keys().copied().collect()
    }

    /// Asks all of them to end.
    pub(crate) fn stop_all(&self) {
        for stop in self.lock().values() {
            stop.stop();
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

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Stop>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.running.lock().remove(&self.id);
        self.running.left.notify_waiters();
    }
}
