//! The sandbox: one engine, its linker and its ticker, shared by all runs.
//!
//! Knows nothing of admission, which happens in another process.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::engine::{self, Allocation};
use crate::epochs::Ticker;
use crate::state::State;
use crate::{Artifact, Config, Error, Module, host, wasi};

/// Runs modules. Cheap to clone; all clones share one engine.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    engine: Engine,
    linker: Linker<State>,
    fingerprint: String,
    allocation: Allocation,
    clock_resolution: Duration,
    stack_bytes: u64,
    ticker: Ticker,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Sandbox({:?}, {})", self.0.allocation, self.0.fingerprint)
    }
}

impl Sandbox {
    /// Makes the engine, with as large a pool as the machine lets us reserve.
    ///
    /// # Errors
    /// When no engine can be made at all, or no thread for its clock.
    pub fn new(config: Config) -> Result<Self, Error> {
        let (engine, allocation) = engine::running(&config)?;
        let ticker = Ticker::start(&engine, Duration::from_micros(config.tick_us.max(1)))?;
        Ok(Self(Arc::new(Inner {
            linker: linker(&engine)?,
            fingerprint: engine::fingerprint(&engine),
            engine,
            allocation,
            clock_resolution: Duration::from_micros(config.clock_resolution_us),
            stack_bytes: config.stack_bytes,
            ticker,
        })))
    }

    /// Names what compiled code depends on: wasmtime's version and the engine's settings. Names cache folders.
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// How many runs may hold a store at once, nested ones included; `None` where there is no pool to run out of.
    ///
    /// A run beyond that is a [`crate::HostFault`]: whoever starts runs must not start more.
    pub fn slots(&self) -> Option<u32> {
        match self.0.allocation {
            Allocation::Pooled(slots) => Some(slots),
            Allocation::OnDemand => None,
        }
    }

    /// Maps a compiled module into this process and links it, ready to run.
    ///
    /// # Errors
    /// When it was compiled for another engine, or needs what this one does not provide.
    pub fn load(&self, artifact: &Artifact) -> Result<Module, Error> {
        Module::load(&self.0.engine, &self.0.linker, artifact)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.0.ticker
    }

    pub(crate) fn clock_resolution(&self) -> Duration {
        self.0.clock_resolution
    }

    pub(crate) fn stack_bytes(&self) -> u64 {
        self.0.stack_bytes
    }
}

/// Everything that a guest may import.
///
/// # Errors
/// When two parts define the same name.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>, Error> {
    let mut linker = Linker::new(engine);
    wasi::link(&mut linker).and_then(|()| host::link(&mut linker)).map_err(Error::Link)?;
    Ok(linker)
}
