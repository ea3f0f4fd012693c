//! How many files this process may open.
//!
//! Knows nothing of what they are for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as the system allows; answers what it is now.
///
/// The usual soft limit of 1024 is a kindness to programs that use `select`; we do not.
pub(super) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::debug!(%error, "the limit on open files stays as it is");
            limit.current.unwrap_or(u64::MAX)
        }
    }
}
