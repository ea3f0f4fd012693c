//! Runs other people's code: admits a module, compiles it, runs one job to its outcome.
//!
//! Knows wasmtime and nothing else: no SQL, no HTTP, no tenants. What a running walker may ask
//! of the world is the trait [`Effects`], implemented a floor above.
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod abort;
mod admit;
mod artifact;
mod bounds;
mod cache;
mod charge;
mod clock;
mod componentize;
mod config;
mod describe;
mod effects;
mod engine;
mod epochs;
mod failure;
mod features;
pub mod fuzzing;
mod held;
mod host;
mod instances;
mod jail;
mod job;
mod limiter;
mod module;
mod output;
mod run;
mod sandbox;
mod stack;
mod state;
mod symbolize;
mod wasi;

pub use artifact::Artifact;
pub use bounds::Bounds;
pub use cache::ArtifactCache;
pub use config::{Config, PagemapScan};
pub use effects::{Effects, Invoke, LogLine, Problem, Refusal, Reply, Request, Stream};
pub use jail::{AdmitError, Admitted, Attempt, Jail, JailFault, JailLimits, Walls, jail_main};
pub use job::{Job, Stop};
pub use module::Module;
pub use sandbox::Sandbox;
pub use symbolize::SourceLine;

/// Why the sandbox could not be made, or a module not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// wasmtime takes the settings on no terms.
    #[error("cannot make the engine")]
    Engine(#[source] wasmtime::Error),
    /// No thread for the engine's clock.
    #[error("cannot start the engine's clock")]
    Thread(#[source] std::io::Error),
    /// The host functions do not fit each other, or not the module.
    #[error("cannot link the module's imports")]
    Link(#[source] wasmtime::Error),
    /// The file of the native code.
    #[error("cannot read the compiled module")]
    Read(#[source] std::io::Error),
    /// The native code is not for this engine.
    #[error("cannot load the compiled module")]
    Load(#[source] wasmtime::Error),
}

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
