//! The walkers' threads: a runtime of their own, so that no walker can delay an answer.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// How much less than everything else the walkers' threads weigh; the lowest is 19.
const NICE: i32 = 10;

/// The threads that run walkers, and nothing else.
pub(super) struct Walkers(Option<Runtime>);

impl Walkers {
    /// Starts `threads` of them.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("walkers")
            // Timers and wake-ups are looked at after every yield: with the default of 61, eight spinning walkers on
            // two threads delayed a 5 ms timer to 28–61 ms; with 1, to 1.4–5.5 ms.
            .event_interval(1)
            .on_thread_start(|| {
                // Of this thread alone, on Linux. A refusal costs fairness to the host, not correctness.
                if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                    tracing::debug!(%error, "walkers run at normal priority");
                }
            })
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Where to spawn runs.
    pub(super) fn handle(&self) -> Handle {
        self.0.as_ref().expect("running until stopped").handle().clone()
    }
}

impl Drop for Walkers {
    fn drop(&mut self) {
        // Without waiting, which another runtime would not allow: what still runs was handed back.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
