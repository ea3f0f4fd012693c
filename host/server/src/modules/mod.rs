//! Published modules: how they come in, which of them a name stands for, and their compiled code.

mod admissions;
mod catalog;
mod compiled;
mod forget;
mod publish;
mod upload;

pub use admissions::{Crowded, Place};
pub use catalog::Catalog;
pub(crate) use catalog::Entry;
pub use compiled::Compiled;
pub(crate) use compiled::Unloadable;
pub use publish::{Error, Published};
pub use upload::{Spool, Upload};
