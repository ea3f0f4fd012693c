//! Everything between "the row is committed" and "the result is committed".
//!
//! Knows which walkers this host holds and for how long; does not know how one is run.

mod backlog;
mod batch;
mod claim;
mod lanes;
mod lease;
mod recovery;
mod shares;
mod slots;
#[cfg(test)]
mod tests;
mod waiters;
mod writers;

pub(crate) use backlog::{Backlog, Coming, Refused};
pub(crate) use claim::{Claiming, Runs, claim_due};
pub(crate) use lanes::Lanes;
pub(crate) use lease::HostLease;
pub(crate) use recovery::{MAX_ATTEMPTS, recover};
pub(crate) use slots::{Slot, Slots};
pub(crate) use waiters::Waiters;
pub(crate) use writers::{Accepted, Fenced, Writers};
