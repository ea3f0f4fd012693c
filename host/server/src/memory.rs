//! The memory that all runs of this host share, and how much of it one tenant may hold.
//!
//! Knows nothing of runs; a run's own limit is the sandbox's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use walker_model::TenantId;

/// A tenant may hold this many times what it leaves to others, as with slots: alone it gets two thirds of all, beside
/// another two fifths, and so on.
const SHARE: u64 = 2;

/// What is left of the memory for runs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Memory(Arc<Mutex<State>>);

struct State {
    free: u64,
    /// Who holds some.
    held: HashMap<TenantId, u64>,
}

impl Memory {
    /// With so many bytes for all.
    pub(crate) fn new(bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(State { free: bytes, held: HashMap::new() })))
    }

    /// Takes so many bytes; false, and nothing is taken, where the tenant may have no more.
    pub(crate) fn take(&self, tenant: TenantId, bytes: u64) -> bool {
        let mut state = self.lock();
        let held = state.held.get(&tenant).copied().unwrap_or(0).saturating_add(bytes);
        let Some(free) = state.free.checked_sub(bytes).filter(|free| held <= free.saturating_mul(SHARE)) else {
            return false;
        };
        state.free = free;
        state.held.insert(tenant, held);
        true
    }

    /// Gives back what was taken.
    pub(crate) fn put_back(&self, tenant: TenantId, bytes: u64) {
        let mut state = self.lock();
        state.free += bytes;
        if let Some(held) = state.held.get_mut(&tenant) {
            *held -= bytes;
            if *held == 0 {
                state.held.remove(&tenant);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of so many tenants gets that all take as much as they can, one after the other.
    fn greedy(bytes: u64, tenants: i64) -> Vec<u64> {
        let memory = Memory::new(bytes);
        let take_all = |tenant| (0..bytes).take_while(|_| memory.take(TenantId(tenant), 1)).count() as u64;
        (0..tenants).map(take_all).collect()
    }

    #[test]
    fn who_comes_new_always_finds_some() {
        assert_eq!(greedy(900, 1), [600]);
        assert_eq!(greedy(900, 4), [600, 200, 66, 22]);
    }

    #[test]
    fn what_is_given_back_is_there_again() {
        let (memory, one, other) = (Memory::new(900), TenantId(1), TenantId(2));
        assert!(memory.take(one, 600) && !memory.take(one, 1));
        assert!(!memory.take(other, 201) && memory.take(other, 200));
        memory.put_back(one, 600);
        assert!(memory.take(other, 400) && !memory.take(other, 1));
        memory.put_back(other, 600);
        assert!(memory.take(one, 600) && !memory.take(one, u64::MAX));
    }
}
