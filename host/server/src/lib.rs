//! The host: HTTP in front, Postgres behind, and walkers run in between.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

pub mod access;
pub mod identity;
pub mod store;
#[cfg(test)]
mod test_postgres;
