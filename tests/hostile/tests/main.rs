//! Attacks: each with the exact answer it gets, and a host that still serves after it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod abi;
mod backtraces;
mod bodies;
mod bombs;

mod crowds;
mod describe;
mod growth;
mod guest;
mod heads;
mod ids;
mod json;
mod loops;
mod memory;
mod rounds;
mod scene;
mod schemas;
mod slow;
mod smith;
mod spawns;
mod surroundings;
mod unicode;
mod uploads;
mod wire;
