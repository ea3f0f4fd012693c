//! What takes long to compute: on threads aside, so that those which answer everybody go on.
//!
//! Of one tenant's one at a time, so that no tenant's work keeps another's waiting for longer than one piece of it takes. Knows
//! nothing of what is computed.

use std::collections::HashMap;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use walker_model::TenantId;

/// Texts up to here are read, copied and hashed at once: a fraction of a millisecond.
pub(crate) const LITTLE_BYTES: usize = 64 << 10;

/// Goes through so many bytes: at once, or aside where they are many. For work that takes no longer than the bytes explain.
pub(crate) async fn through<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes <= LITTLE_BYTES { work() } else { aside(work).await }
}

/// Does something aside.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // Work aside is never aborted; what is left is its panic.
        Err(error) => resume_unwind(error.into_panic()),
    }
}

/// Whose work is done next where it may take seconds. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Aside(Arc<Inner>);

struct Inner {
    threads: Arc<Semaphore>,
    turns: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
}

impl Aside {
    /// With half of the machine's cores, for the other half answers.
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = Arc::new(Semaphore::new((cores / 2).max(1)));
        Self(Arc::new(Inner { threads, turns: Mutex::default() }))
    }

    /// Does something for a tenant: after what it had done before, and in turn with what others have.
    pub(crate) async fn of<T: Send + 'static>(&self, tenant: TenantId, work: impl FnOnce() -> T + Send + 'static) -> T {
        let never = "the semaphore is never closed";
        let line = Line { aside: self, tenant, turn: Some(self.turn(tenant)) };
        let own = line.turn.clone().expect("taken when dropped").acquire_owned().await.expect(never);
        let thread = self.0.threads.clone().acquire_owned().await.expect(never);
        // Held by the work itself: it goes on when nobody waits for it any more.
        aside(move || {
            let _held = (own, thread);
            work()
        })
        .await
    }

    fn turn(&self, tenant: TenantId) -> Arc<Semaphore> {
        let mut turns = self.0.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(tenant).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
    }
}

/// Somebody in a tenant's line, which is forgotten with the last of them.
struct Line<'a> {
    aside: &'a Aside,
    tenant: TenantId,
    turn: Option<Arc<Semaphore>>,
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let mut turns = self.aside.0.turns.lock().unwrap_or_else(PoisonError::into_inner);
        self.turn = None;
        if turns.get(&self.tenant).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_tenants_work_is_done_one_piece_after_the_other() {
        let aside = Aside::new();
        let (go_on, waits) = mpsc::channel::<()>();
        let mut first = Box::pin(aside.of(TenantId(1), move || waits.recv().is_ok()));
        assert!((&mut first).now_or_never().is_none());
        let mut second = Box::pin(aside.of(TenantId(1), || ()));
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(aside.0.turns.lock().unwrap().len(), 1);
        // Nobody waits for it any more, and still it keeps its turn until it is done.
        drop(first);
        assert!((&mut second).now_or_never().is_none());
        go_on.send(()).unwrap();
        second.await;
        assert!(aside.0.turns.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn little_is_done_at_once() {
        assert_eq!(through(LITTLE_BYTES, || 1).now_or_never(), Some(1));
        assert_eq!(through(LITTLE_BYTES + 1, || 1).await, 1);
    }
}
