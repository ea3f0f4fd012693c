//! Work that is under way, by what it is for: whoever wants the same waits for it instead of starting it anew.
//!
//! Knows nothing of the work. It goes on when nobody waits for it any more: the next one shall find what came of it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

/// What comes of it; `None` when it panicked, or the host is stopping.
type Waiting<V> = Shared<BoxFuture<'static, Option<V>>>;

/// All work of one kind. Cheap to clone.
pub(super) struct UnderWay<K: Eq + Hash, V>(Arc<Mutex<HashMap<K, Waiting<V>>>>);

impl<K, V> UnderWay<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// None.
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// What comes of the work for `key`; `start`ed where there is none.
    pub(super) fn join<W>(&self, key: K, start: impl FnOnce() -> W) -> Waiting<V>
    where
        W: Future<Output = V> + Send + 'static,
    {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = all.get(&key) {
            return waiting.clone();
        }
        let (all_work, of) = (self.clone(), key.clone());
        let work = start();
        let work = tokio::spawn(async move {
            // Made here: a runtime that is stopping drops the task at once, while the lock is held.
            let _ends = Ends { all: all_work, key: of };
            work.await
        });
        let waiting = work.map(Result::ok).boxed().shared();
        all.insert(key, waiting.clone());
        waiting
    }
}

impl<K: Eq + Hash, V> Clone for UnderWay<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Strikes work off when it has ended, in whatever way.
struct Ends<K: Eq + Hash, V> {
    all: UnderWay<K, V>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Ends<K, V> {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn is_done_once_for_all_who_wait_and_for_none() {
        let under_way = UnderWay::new();
        let (finish, finished) = oneshot::channel::<u32>();
        let first = under_way.join("key", || async { finished.await.unwrap() });
        let second = under_way.join("key", || async { unreachable!("it is under way") });
        let other = under_way.join("other", || async { 2 });
        assert_eq!(other.await, Some(2));
        // Nobody waits for it any more, and it goes on.
        drop(first);
        finish.send(1).unwrap();
        assert_eq!(second.await, Some(1));
        assert_eq!(under_way.join("key", || async { 3 }).await, Some(3), "it has ended: started anew");
        let panicked = under_way.join("key", || async { panic!("for the test") });
        assert_eq!(panicked.await, None);
        assert!(under_way.0.lock().unwrap().is_empty());
    }
}
