//! End to end: the real binary, a real Postgres, real sockets, modules built from source.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod accounts;
mod audit;
mod backups;
mod callers;
mod calls;
mod cli;
mod control;
mod examples;
mod failures;
mod grants;
mod hosts;
mod identity;
mod isolation;
mod limits;
mod logins;
mod matrix;
mod members;
mod modules;
mod neighbours;
mod once;
mod order;
mod plans;
mod postgres;
mod protection;
mod readme;
mod requests;
mod scene;
mod shape;
mod stop;
mod storage;
mod tenants;
mod terminal;
mod tls;
mod uploads;
mod usage;
