//! What callers know: which walkers were acknowledged and what must become of them, and how often they do not know.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// What must become of a walker that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It completes, however often it fails or its host dies before that.
    Completes,
    /// It was to be cancelled, and nobody knows whether that came in time.
    MayBeCancelled,
    /// A caller was told that it ends in no other way.
    Cancelled,
}

/// What callers know.
#[derive(Debug, Default)]
pub struct Ledger {
    acknowledged: Mutex<HashMap<Uuid, Fate>>,
    refused: AtomicU64,
    unknown: AtomicU64,
    lost_cancels: AtomicU64,
    odd: Mutex<Vec<String>>,
}

impl Ledger {
    /// A 200 came back, with this id (`w:name:uuid`).
    pub(crate) fn acknowledge(&self, id: &str) {
        let before = self.acknowledged.lock().unwrap().insert(uuid(id), Fate::Completes);
        if before.is_some() {
            self.wonder(format!("{id} was given twice"));
        }
    }

    /// Something else is to become of it.
    pub(crate) fn expect(&self, id: &str, fate: Fate) {
        self.acknowledged.lock().unwrap().insert(uuid(id), fate);
    }

    /// The host said that it did not take it, or may not have.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The connection ended without an answer.
    pub(crate) fn lose_answer(&self) {
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a cancel went through, nobody knows.
    pub(crate) fn lose_cancel(&self) {
        self.lost_cancels.fetch_add(1, Ordering::Relaxed);
    }

    /// Of how many cancels nobody knows whether they went through.
    pub fn lost_cancels(&self) -> u64 {
        self.lost_cancels.load(Ordering::Relaxed)
    }

    /// The host answered what no caller should see.
    pub(crate) fn wonder(&self, answer: String) {
        self.odd.lock().unwrap().push(answer);
    }

    /// Answers that no caller should have seen.
    pub(crate) fn odd(&self) -> Vec<String> {
        self.odd.lock().unwrap().clone()
    }

    /// All that were acknowledged, and what must become of them.
    pub(crate) fn acknowledged(&self) -> HashMap<Uuid, Fate> {
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

fn uuid(id: &str) -> Uuid {
    id.rsplit(':').next().unwrap().parse().unwrap()
}
