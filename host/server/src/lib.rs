//! The host: HTTP in front, Postgres behind, and walkers run in between.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

pub mod access;
mod aside;
mod author;
pub mod config;
pub mod control;
mod effects;
pub mod embedded_postgres;
mod follow;
pub mod fuzzing;
pub mod host;
pub mod http;
pub mod identity;
pub mod invoke;
mod memory;
pub mod modules;
mod queue;
pub mod quotas;
mod requests;
pub mod runner;
pub mod serve;
pub mod shutdown;
pub mod store;
pub mod telemetry;
#[cfg(test)]
mod test_postgres;
