//! Kills hosts and Postgres under load, cuts their connections, and looks whether anything was lost.
//!
//! Panics where a test would, with the seed to run it again. Knows of the host only what its users and its database show.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "a run tells what it did")]

mod fault;
mod fleet;
mod ledger;
mod load;
mod run;
mod stranded;
mod verdict;

pub use fleet::{EXPECTED_LOG, Fleet};
pub use ledger::Ledger;
pub use load::{Kind, post};
pub use run::{Plan, run};
pub use verdict::settled;
