//! Published modules: how they come in, which of them a name stands for, their compiled code, and where they failed.

mod admissions;
mod backtraces;
mod catalog;
mod compiled;
mod forget;
mod line;
mod publish;
mod under_way;
mod upload;

pub use admissions::Crowded;
pub(crate) use backtraces::Backtraces;
pub use catalog::Catalog;
pub(crate) use catalog::Entry;
pub use compiled::Compiled;
pub(crate) use compiled::Unloadable;
pub use line::Place;
pub use publish::{Error, Published};
pub use upload::{Spool, Upload};
