//! Moves the engine's clock on while anything runs, from a thread that no runtime can hold up.
//!
//! Knows nothing of what is looked at when it moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

use crate::Error;

/// For how many ticks the clock goes on after the last run, so that a trickle of runs wakes nobody each time.
const IDLE_TICKS: u32 = 100;

/// Raises the engine's epoch at a steady pace while a [`Running`] is held.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    parked: AtomicBool,
    /// How many run, counted by as many threads apart: one count, which all write twice a run, goes from core to core each time.
    running: [Count; COUNTS],
}

const COUNTS: usize = 16;

/// On a line of the cache of its own, and of the one that processors fetch along.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Count(AtomicUsize);

impl Shared {
    fn is_idle(&self) -> bool {
        self.running.iter().all(|count| count.0.load(SeqCst) == 0)
    }
}

thread_local! {
    /// Which count a thread keeps.
    static COUNT: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, SeqCst) % COUNTS
    };
}

/// Keeps the clock going. Counted where it began, wherever it ends.
pub(crate) struct Running<'a>(&'a Count);

impl Ticker {
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(engine: &Engine, every: Duration) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new()
            .name("walker-epochs".into())
            .spawn({
                let (engine, shared) = (engine.weak(), Arc::clone(&shared));
                move || tick(&engine, &shared, every)
            })
            .map_err(Error::Thread)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Sets the clock going for one run.
    pub(crate) fn run(&self) -> Running<'_> {
        let count = &self.shared.running[COUNT.with(|count| *count)];
        count.0.fetch_add(1, SeqCst);
        // Counted before looking, as the thread parks before counting: one of the two sees the other.
        if self.shared.parked.load(SeqCst) {
            self.wake();
        }
        Running(count)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say, and a panic in it was printed already.
            let _ = thread.join();
        }
    }
}

fn tick(engine: &EngineWeak, shared: &Shared, every: Duration) {
    let mut idle = 0;
    while !shared.stopped.load(SeqCst) {
        thread::sleep(every);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
        idle = if shared.is_idle() { idle + 1 } else { 0 };
        if idle >= IDLE_TICKS {
            shared.parked.store(true, SeqCst);
            if shared.is_idle() && !shared.stopped.load(SeqCst) {
                thread::park();
            }
            shared.parked.store(false, SeqCst);
            idle = 0;
        }
    }
}
