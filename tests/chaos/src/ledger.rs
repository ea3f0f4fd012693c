//! What callers know: which walkers were acknowledged, and how often they do not know.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// What callers know.
#[derive(Debug, Default)]
pub struct Ledger {
    acknowledged: Mutex<Vec<Uuid>>,
    refused: AtomicU64,
    unknown: AtomicU64,
    odd: Mutex<Vec<String>>,
}

impl Ledger {
    /// A 200 came back, with this id (`w:name:uuid`).
    pub fn acknowledge(&self, id: &str) {
        let uuid = id.rsplit(':').next().unwrap().parse().unwrap();
        self.acknowledged.lock().unwrap().push(uuid);
    }

    /// The host said that it did not take it, or may not have.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The connection ended without an answer.
    pub fn lose_answer(&self) {
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }

    /// The host answered what no caller should see.
    pub fn wonder(&self, answer: String) {
        self.odd.lock().unwrap().push(answer);
    }

    /// Answers that no caller should have seen.
    pub fn odd(&self) -> Vec<String> {
        self.odd.lock().unwrap().clone()
    }

    /// All that were acknowledged.
    pub fn acknowledged(&self) -> Vec<Uuid> {
        self.acknowledged.lock().unwrap().clone()
    }

    /// How many were acknowledged.
    pub fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// How many were refused, and of how many nobody knows.
    pub fn others(&self) -> (u64, u64) {
        (self.refused.load(Ordering::Relaxed), self.unknown.load(Ordering::Relaxed))
    }
}
