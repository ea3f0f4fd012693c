//! Who on this host waits for which walker to end, and how it ended where this host knows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::store::WalkerView;

/// Who waits for which walker to end.
#[derive(Clone, Default)]
pub(crate) struct Waiters(Arc<Mutex<HashMap<Uuid, Arc<Awaited>>>>);

/// An end that somebody waits for.
#[derive(Default)]
struct Awaited {
    ended: Notify,
    /// What the walker was when it first ended, if this host committed that.
    view: OnceLock<Box<WalkerView>>,
}

/// One who waits; leaves when dropped.
pub(crate) struct Waiter {
    waiters: Waiters,
    id: Uuid,
    awaited: Arc<Awaited>,
}

impl Waiters {
    /// Waits from now on: an end after this call is not missed, even before `ended` is awaited.
    pub(crate) fn enter(&self, id: Uuid) -> Waiter {
        let awaited = self.lock().entry(id).or_default().clone();
        Waiter { waiters: self.clone(), id, awaited }
    }

    /// Whether anybody waits for it.
    pub(crate) fn is_awaited(&self, id: Uuid) -> bool {
        self.lock().contains_key(&id)
    }

    /// Tells everybody who waits for `id`.
    pub(crate) fn ended(&self, id: Uuid) {
        self.ended_as(id, None);
    }

    /// The same, and what it is from now on, if that is known.
    pub(crate) fn ended_as(&self, id: Uuid, view: Option<Box<WalkerView>>) {
        if let Some(awaited) = self.lock().get(&id) {
            if let Some(view) = view {
                drop(awaited.view.set(view));
            }
            // One permit is kept for a waiter that has not begun to await; it passes it on.
            awaited.ended.notify_waiters();
            awaited.ended.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Arc<Awaited>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// Returns once the walker ended.
    pub(crate) async fn ended(&self) {
        self.awaited.ended.notified().await;
        self.awaited.ended.notify_one();
    }

    /// What the walker was when it first ended, if this host committed that while somebody waited.
    pub(crate) fn view(&self) -> Option<&WalkerView> {
        self.awaited.view.get().map(|view| &**view)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiters = self.waiters.lock();
        // The map's and this one: nobody else waits.
        if Arc::strong_count(&self.awaited) <= 2 {
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
