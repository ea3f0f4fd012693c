//! Starts the real thing for tests and benchmarks: a Postgres, the `walker` binary, modules built from source.
//!
//! Panics where a test would: whoever uses it is one. Knows nothing of what is being tested.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test may panic")]

mod client;
mod data_dir;
mod host;
mod postgres;
mod proxy;
mod server;
mod wasm;

pub use client::{Answer, Client};
pub use host::{Home, Host, Options, binary, command};
pub use postgres::Cluster;
pub use proxy::{Proxy, Way};
pub use server::Server;
pub use wasm::{module, repository};
