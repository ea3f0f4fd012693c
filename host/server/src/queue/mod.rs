//! Everything between "the row is committed" and "the result is committed".
//!
//! Knows which walkers this host holds and for how long; does not know how one is run.

mod again;
mod backlog;
mod batch;
mod batches;
mod cancel;
mod claim;
mod groups;
mod keys;
mod lanes;
mod lease;
mod patience;
mod readers;
mod recovery;
mod removal;
mod retention;
mod shares;
mod slots;
mod stored;
mod strays;
#[cfg(test)]
mod tests;
mod usage;
mod waiters;
mod wake;
mod writers;

pub(crate) use backlog::{Backlog, Coming, Refused};
pub(crate) use cancel::{Cancels, announce, stop_cancelled};
pub(crate) use claim::{Claiming, claim_due};
pub(crate) use groups::{Group, Grouped};
pub(crate) use keys::forget_keys;
pub(crate) use lanes::{Ahead, Concurrency, Lanes};
pub(crate) use lease::HostLease;
pub(crate) use readers::Readers;
pub(crate) use recovery::{MAX_LOSSES, recover};
pub(crate) use removal::{Removals, remove_tenants};
pub(crate) use retention::keep_size;
pub(crate) use slots::{Slot, Slots};
pub(crate) use stored::{NoRoom, Stored};
pub(crate) use strays::{Strays, free_strays};
pub(crate) use usage::add_up_usage;
pub(crate) use waiters::Waiters;
pub(crate) use wake::{Wake, hear, tell};
pub(crate) use writers::{Accepted, Fenced, Start, Writers};
