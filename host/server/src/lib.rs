//! The host: HTTP, queue, Postgres and the runner.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

pub mod config;
pub mod embedded_postgres;

pub mod shutdown;
pub mod telemetry;
