//! What asking the host costs in fuel, so that a guest pays for work that others do for it.
//!
//! Knows nothing of the fuel that guest code itself burns; wasmtime counts that. Compiled code holds that count in a
//! register, where a host function cannot reach it: what is charged here is kept beside it, looked at in every call,
//! and added up at the end. Both are deterministic, unlike anything that an epoch would do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::abort::Abort;

/// For each call: lifting, lowering and a message take about as long as a thousand instructions (0.3 µs). So does each
/// timer or stream of a list that is waited for: a future of its own, and two look-ups.
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

    /// For one call, whichever: charged where every host function gets its view of the state, so that none can be
    /// forgotten. Nothing can be refused there; the store's hook checks before the guest goes on (`run.rs`).
    pub(crate) fn call(&self) {
        self.add(CALL);
    }

    /// For so many things that one call has to look at, each as much as a call.
    pub(crate) fn things(&self, count: usize) -> Result<(), Abort> {
        self.add((count as u64).saturating_mul(CALL));
        self.check()
    }

    /// For bytes that cross. Charged before anything is done with them, where that can be.
    pub(crate) fn bytes(&self, bytes: u64) -> Result<(), Abort> {
        self.add(bytes.saturating_mul(BYTE));
        self.check()
    }

    /// Whether the fuel still pays for all of it.
    pub(crate) fn check(&self) -> Result<(), Abort> {
        if self.total() > self.limit { Err(Abort::Fuel) } else { Ok(()) }
    }

    /// All so far.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    fn add(&self, fuel: u64) {
        // One run is on one thread at a time: nobody else adds meanwhile.
        self.total.store(self.total().saturating_add(fuel), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_where_the_fuel_does() {
        let charges = Charges::new(4 * CALL + 10 * BYTE);
        charges.call();
        charges.call();
        assert_eq!((charges.bytes(9), charges.things(2), charges.bytes(1)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(charges.total(), 4 * CALL + 10 * BYTE);
        charges.clone().call();
        assert_eq!((charges.check(), charges.bytes(u64::MAX)), (Err(Abort::Fuel), Err(Abort::Fuel)));
    }
}
