//! A loaded module: compiled, linked, ready to be instantiated as often as there are runs.
//!
//! Knows nothing of the bytes it came from.

use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::artifact::Layout;
use crate::host::contract::ModulePre;
use crate::state::State;
use crate::{Artifact, Error};

/// A module that is ready to run. Cheap to clone.
#[derive(Clone)]
pub struct Module(Arc<Inner>);

struct Inner {
    pre: ModulePre<State>,
    /// Also keeps the mapped file open.
    artifact: Artifact,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Module({} bytes)", self.size())
    }
}

impl Module {
    pub(crate) fn load(engine: &Engine, linker: &Linker<State>, artifact: &Artifact) -> Result<Self, Error> {
        let component = artifact.component(engine)?;
        // Now rather than in the first run.
        component.initialize_copy_on_write_image().map_err(Error::Load)?;
        let pre = linker.instantiate_pre(&component).and_then(ModulePre::new).map_err(Error::Link)?;
        Ok(Self(Arc::new(Inner { pre, artifact: artifact.clone() })))
    }

    /// The size of its native code in bytes: what it holds of this process's memory at most.
    pub fn size(&self) -> u64 {
        self.0.artifact.size()
    }

    pub(crate) fn pre(&self) -> &ModulePre<State> {
        &self.0.pre
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.0.artifact.shape().layout
    }

    /// How many core instances each run has.
    pub(crate) fn core_instances(&self) -> u64 {
        self.0.artifact.shape().core_instances
    }
}
