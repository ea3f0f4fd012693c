//! Why the host ends a run in the middle of guest code. The guest cannot catch any of these.
//!
//! Knows nothing of traps, which are the guest's own.

use std::fmt;
use std::time::{Duration, Instant};

use futures::future::Either;
use tokio::time::sleep_until;

use crate::Stop;

/// Ends the run from within a host function or at an epoch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Abort {
    #[error("it was stopped")]
    Stopped,
    #[error("its time is up")]
    TimedOut,
    #[error("{0}")]
    Output(String),
    #[error("it asked the host too often")]
    Calls,
    #[error("what it asked the host for used up its fuel")]
    Fuel,
    #[error("what the host holds for it needed memory that there was not")]
    Memory,
    #[error("it called exit with {0}")]
    Exit(Exit),
    #[error("describe may not ask the host for anything, but it called {0}")]
    Describing(&'static str),
    #[error("{0}")]
    Fault(String),
    #[error("the run's lease was lost")]
    Fenced,
}

/// How a guest called exit. Guests of WASI preview 1 can say no more than success or failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Success,
    Failure,
    Code(u8),
}

impl fmt::Display for Exit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => out.write_str("code 0"),
            Self::Failure => out.write_str("a failure code"),
            Self::Code(code) => write!(out, "code {code}"),
        }
    }
}

/// What can end a run from outside: a stop, or its deadline.
#[derive(Debug, Clone)]
pub(crate) struct Leash {
    stop: Stop,
    deadline: Instant,
}

/// Stands for "never" where a limit is longer than the clock reaches.
const AGES: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

impl Leash {
    pub(crate) fn new(stop: Stop, started: Instant, limit: Duration) -> Self {
        Self { stop, deadline: started.checked_add(limit).unwrap_or_else(|| started + AGES) }
    }

    /// Looks whether the run must end.
    pub(crate) fn check(&self) -> Result<(), Abort> {
        if self.stop.is_stopped() {
            Err(Abort::Stopped)
        } else if Instant::now() >= self.deadline {
            Err(Abort::TimedOut)
        } else {
            Ok(())
        }
    }

    /// Waits for something on behalf of a guest, but no longer than the run may last.
    ///
    /// The guest is parked in a host function meanwhile, so that dropping `waiting` interrupts no guest code.
    pub(crate) async fn wait<F: Future>(&self, waiting: F) -> Result<F::Output, Abort> {
        tokio::select! {
            biased;
            done = waiting => Ok(done),
            ended = self.ended() => Err(ended),
        }
    }

    async fn ended(&self) -> Abort {
        let stopped = std::pin::pin!(self.stop.stopped());
        let timed_out = std::pin::pin!(sleep_until(self.deadline.into()));
        match futures::future::select(stopped, timed_out).await {
            Either::Left(_) => Abort::Stopped,
            Either::Right(_) => Abort::TimedOut,
        }
    }
}
