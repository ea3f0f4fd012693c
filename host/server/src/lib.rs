//! The host: HTTP in front, Postgres behind, and walkers run in between.

pub mod access;
mod effects;
pub mod host;
pub mod invoke;
pub mod modules;
mod queue;
mod runner;
pub mod store;
