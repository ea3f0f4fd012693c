//! Everything between "the row is committed" and "the result is committed".
//!
//! Knows which walkers this host holds and for how long; does not know how one is run.

mod again;
mod batch;
mod cancel;
mod claim;
mod groups;
mod keys;
mod lease;
mod recovery;
#[cfg(test)]
mod tests;
mod waiters;
mod writers;

pub(crate) use cancel::{Cancels, announce, stop_cancelled};
pub(crate) use claim::{Slots, claim_due};
pub(crate) use groups::{Group, Grouped};
pub(crate) use keys::forget_keys;
pub(crate) use lease::HostLease;
pub(crate) use recovery::{MAX_LOSSES, recover};
pub(crate) use waiters::Waiters;
pub(crate) use writers::{Accepted, Fenced, Writers};
