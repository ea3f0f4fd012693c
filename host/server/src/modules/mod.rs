//! Published modules: how they come in, which of them a name stands for, and their compiled code.

mod catalog;
mod compiled;
mod publish;

pub use catalog::Catalog;
pub(crate) use catalog::Entry;
pub use compiled::Compiled;
pub(crate) use compiled::Unloadable;
pub use publish::{Error, Published};
