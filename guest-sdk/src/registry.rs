//! All walkers of a module, found without anyone listing them.
//!
//! Each `#[walker]` leaves a constructor that adds its walker before anything else of the module runs. Natively the
//! loader calls it; in WebAssembly `_initialize` does where there is one, and the bindings do at the first call
//! otherwise. Called twice, it adds once.

use crate::walker::execute;
use crate::{Definition, Result, Run, Walker};

/// A walker without its type.
#[doc(hidden)]
pub struct Registered {
    pub(crate) name: &'static str,
    #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "only the world of tests asks"))]
    pub(crate) is_async: bool,
    #[cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "only a host asks"))]
    pub(crate) define: fn() -> Definition,
    pub(crate) execute: fn(&str, &mut Run) -> Result<String>,
}

impl Registered {
    pub const fn of<W: Walker>() -> Self {
        Self { name: W::NAME, is_async: W::IS_ASYNC, define: Definition::of::<W>, execute: execute::<W> }
    }
}

inventory::collect!(Registered);

/// The walker with this name.
pub(crate) fn find(name: &str) -> Option<&'static Registered> {
    inventory::iter::<Registered>().find(|walker| walker.name == name)
}

/// Every walker's definition by name: the order of constructors is the linker's and may change.
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "only a host asks"))]
pub(crate) fn definitions() -> Vec<Definition> {
    let mut definitions: Vec<_> = inventory::iter::<Registered>().map(|walker| (walker.define)()).collect();
    definitions.sort_by_key(|definition| definition.name);
    definitions
}
