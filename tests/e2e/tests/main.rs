//! End to end: the real binary, a real Postgres, real sockets, modules built from source.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod failures;
mod postgres;
mod scene;
