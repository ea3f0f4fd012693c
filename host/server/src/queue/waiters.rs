//! Who on this host waits for which walker to end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

/// Who waits for which walker to end.
#[derive(Clone, Default)]
pub(crate) struct Waiters(Arc<Mutex<HashMap<Uuid, Arc<Notify>>>>);

/// One who waits; leaves when dropped.
pub(crate) struct Waiter {
    waiters: Waiters,
    id: Uuid,
    ended: Arc<Notify>,
}

impl Waiters {
    /// Waits from now on: an end after this call is not missed, even before `ended` is awaited.
    pub(crate) fn enter(&self, id: Uuid) -> Waiter {
        let ended = self.lock().entry(id).or_default().clone();
        Waiter { waiters: self.clone(), id, ended }
    }

    /// Tells everybody who waits for `id`.
    pub(crate) fn ended(&self, id: Uuid) {
        if let Some(waiting) = self.lock().get(&id) {
            // One permit is kept for a waiter that has not begun to await; it passes it on.
            waiting.notify_waiters();
            waiting.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// Returns once the walker ended.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
        self.ended.notify_one();
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiters = self.waiters.lock();
        // The map's and this one: nobody else waits.
        if Arc::strong_count(&self.ended) <= 2 {
            waiters.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everyone_hears_of_the_end_and_nothing_stays_behind() {
        let waiters = Waiters::default();
        let id = Uuid::now_v7();
        let (early, late) = (waiters.enter(id), waiters.enter(id));
        let waiting = tokio::spawn(async move { early.ended().await });
        tokio::task::yield_now().await;
        waiters.ended(id);
        late.ended().await;
        waiting.await.expect("the other one hears it too");
        drop(late);
        assert!(waiters.lock().is_empty());
        waiters.ended(id);
    }
}
