//! Memory that many share, and how much of it one may hold.
//!
//! Knows nothing of what it is for: runs share some of the host's, and what is sent to it shares some.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One may hold this many times what it leaves to others, as with slots: alone it gets two thirds of all, beside
/// another two fifths, and so on.
const SHARE: u64 = 2;

/// What is left of it. Cheap to clone.
pub(crate) struct Memory<Who>(Arc<Mutex<State<Who>>>);

struct State<Who> {
    free: u64,
    /// Who holds some.
    held: HashMap<Who, u64>,
}

impl<Who> Clone for Memory<Who> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Who: Copy + Eq + Hash> Memory<Who> {
    /// With so many bytes for all.
    pub(crate) fn new(bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(State { free: bytes, held: HashMap::new() })))
    }

    /// Takes so many bytes; false, and nothing is taken, where `who` may have no more.
    pub(crate) fn take(&self, who: Who, bytes: u64) -> bool {
        let mut state = self.lock();
        let held = state.held.get(&who).copied().unwrap_or(0).saturating_add(bytes);
        let Some(free) = state.free.checked_sub(bytes).filter(|free| held <= free.saturating_mul(SHARE)) else {
            return false;
        };
        state.free = free;
        state.held.insert(who, held);
        true
    }

    /// Gives back what was taken.
    pub(crate) fn put_back(&self, who: Who, bytes: u64) {
        let mut state = self.lock();
        state.free += bytes;
        if let Some(held) = state.held.get_mut(&who) {
            *held -= bytes;
            if *held == 0 {
                state.held.remove(&who);
            }
        }
    }

    /// For something of `who` that grows and ends.
    pub(crate) fn hold(&self, who: Who) -> Held<Who> {
        Held { memory: self.clone(), who, bytes: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, State<Who>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one thing holds; given back when it is dropped.
pub(crate) struct Held<Who: Copy + Eq + Hash> {
    memory: Memory<Who>,
    who: Who,
    bytes: u64,
}

impl<Who: Copy + Eq + Hash> Held<Who> {
    /// Takes so many bytes more; false, and nothing is taken, where its owner may have no more.
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        // Whoever needs none is never refused.
        let has_grown = bytes == 0 || self.memory.take(self.who, bytes);
        if has_grown {
            self.bytes += bytes;
        }
        has_grown
    }
}

impl<Who: Copy + Eq + Hash> Drop for Held<Who> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.memory.put_back(self.who, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use walker_model::TenantId;

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

    #[test]
    fn what_is_held_is_given_back_with_its_holder() {
        let memory = Memory::new(900);
        let mut held = memory.hold(TenantId(1));
        assert!(held.grow(400) && held.grow(200) && !held.grow(1));
        assert!(!memory.take(TenantId(1), 1));
        assert!(memory.hold(TenantId(1)).grow(0));
        drop(held);
        assert!(memory.lock().held.is_empty());
        assert!(memory.take(TenantId(1), 600));
    }
}
