//! What asking the host costs in fuel, so that a guest pays for work that others do for it.
//!
//! Knows nothing of the fuel that guest code itself burns; wasmtime counts that. Compiled code holds that count in a
//! register, where a host function cannot reach it: what is charged here is kept beside it, looked at in every call,
//! and added up at the end. Both are deterministic, unlike anything that an epoch would do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::abort::Abort;

/// For each call: lifting, lowering and a message take about as long as a thousand instructions (0.3 µs).
const CALL: u64 = 1_000;
/// For each byte that crosses: it is copied, checked for UTF-8, parsed and stored.
const BYTE: u64 = 4;

/// What one run was charged so far. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Charges {
    total: Arc<AtomicU64>,
    limit: u64,
}

impl Charges {
    /// For a run with this much fuel.
    pub(crate) fn new(limit: u64) -> Self {
        Self { total: Arc::default(), limit }
    }

    /// For one call that carries so many bytes.
    pub(crate) fn call(&self, bytes: u64) -> Result<(), Abort> {
        self.add(CALL.saturating_add(bytes.saturating_mul(BYTE)))
    }

    /// For bytes that cross beside those that the guest passed: an answer's, or the reports that a save carries.
    pub(crate) fn bytes(&self, bytes: u64) -> Result<(), Abort> {
        self.add(bytes.saturating_mul(BYTE))
    }

    /// All so far.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    fn add(&self, fuel: u64) -> Result<(), Abort> {
        // One run is on one thread at a time: nobody else adds meanwhile.
        let total = self.total().saturating_add(fuel);
        self.total.store(total, Ordering::Relaxed);
        if total > self.limit { Err(Abort::Fuel) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_where_the_fuel_does() {
        let charges = Charges::new(2 * CALL + 10 * BYTE);
        assert_eq!((charges.call(0), charges.call(9), charges.bytes(1)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(charges.total(), 2 * CALL + 10 * BYTE);
        assert_eq!((charges.clone().bytes(1), charges.call(u64::MAX)), (Err(Abort::Fuel), Err(Abort::Fuel)));
    }
}
