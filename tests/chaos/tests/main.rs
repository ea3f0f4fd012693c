//! The short chaos, and single deaths looked at closely.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod away;
mod cuts;
mod late;
mod storm;
