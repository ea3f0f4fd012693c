//! The host: HTTP, queue, Postgres and the runner.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

pub mod config;

pub mod shutdown;
pub mod telemetry;
