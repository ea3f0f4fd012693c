//! The one place that knows both queue and sandbox: job in, outcome out.

mod attempt;
mod background;
mod logs;
mod running;
mod shown;
mod sync;
mod turns;

pub(crate) use background::RunTerms;
pub(crate) use running::Running;
pub(crate) use sync::Recording;
pub use turns::{Ticket, Turns, Weight};
