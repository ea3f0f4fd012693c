//! Moves the engine's clock on, from a thread that no runtime can hold up.
//!
//! Knows nothing of what is looked at when it moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

use crate::Error;

/// Raises the engine's epoch at a steady pace until dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(engine: &Engine, every: Duration) -> Result<Self, Error> {
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new()
            .name("walker-epochs".into())
            .spawn({
                let (engine, stopped) = (engine.weak(), Arc::clone(&stopped));
                move || {
                    while !stopped.load(Ordering::Relaxed) {
                        thread::sleep(every);
                        match engine.upgrade() {
                            Some(engine) => engine.increment_epoch(),
                            None => break,
                        }
                    }
                }
            })
            .map_err(Error::Thread)?;
        Ok(Self { stopped, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say, and a panic in it was printed already.
            let _ = thread.join();
        }
    }
}
