//! The host: HTTP in front, Postgres behind, and walkers run in between.

pub mod access;
pub mod store;
