//! Runs other people's code: admits a module, compiles it, runs one job to its outcome.
//!
//! Knows wasmtime and nothing else: no SQL, no HTTP, no tenants. What a running walker may ask
//! of the world is the trait [`Effects`], implemented a floor above.
#![deny(missing_docs)]

mod effects;
mod job;

pub use effects::{Effects, Invoke, LogLine, Problem, Refusal, Reply, Request, Stream};
pub use job::{Job, Stop};

/// Why a run has no outcome: never the guest's doing.
#[derive(Debug, thiserror::Error)]
pub enum HostFault {
    /// The sandbox or an effect could not do its part; the run may be tried again.
    #[error("{0}")]
    Failed(String),
    /// The run's lease was lost while it ran; nothing of it may be written.
    #[error("the run's lease was lost")]
    Fenced,
}
