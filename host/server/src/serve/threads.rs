//! The walkers' threads: none but theirs, so that no walker can delay an answer.

use std::io;
use std::thread;

use tokio::runtime::Handle;

use super::autogroup::Autogroup;
use crate::runner::Turns;

/// How much less than everything else the walkers' threads weigh; the lowest is 19.
const NICE: i32 = 10;

/// The threads that run walkers, and nothing else.
pub(super) struct Walkers {
    turns: Turns,
    _gives_way: Option<Autogroup>,
}

impl Walkers {
    /// Starts `threads` of them. Called on the runtime that has everything else, whose timers runs wait for.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let walkers = Self { turns: Turns::default(), _gives_way: Autogroup::give_way() };
        for _ in 0..threads.max(1) {
            let (turns, timers) = (walkers.turns(), Handle::current());
            thread::Builder::new().name("walkers".into()).spawn(move || {
                // Of this thread alone, on Linux. A refusal costs fairness to the host, not correctness.
                if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                    tracing::debug!(%error, "walkers run at normal priority");
                }
                let _timers = timers.enter();
                turns.work();
            })?;
        }
        Ok(walkers)
    }

    /// Where to spawn runs.
    pub(super) fn turns(&self) -> Turns {
        self.turns.clone()
    }
}

impl Drop for Walkers {
    fn drop(&mut self) {
        // What still runs was handed back; the threads end by themselves within an epoch.
        self.turns.close();
    }
}
