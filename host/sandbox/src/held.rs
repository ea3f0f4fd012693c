//! What the host holds in memory for one run beside the run's own memories: taken from what all runs share.
//!
//! Knows nothing of how much there is, nor what it is for: reports, saved fields, what a call carries.

use std::sync::Arc;

use crate::Effects;
use crate::abort::Abort;

/// What a run holds for nothing, and what is taken at once beyond that: asking goes through a lock that all runs share, and
/// nearly all runs hold less than this.
const STEP_BYTES: u64 = 64 << 10;

/// Counts what is held, and gives it all back in the end.
pub(crate) struct Held {
    /// Where memory comes from.
    effects: Arc<dyn Effects>,
    /// Until the end of the run, or until it is forgotten.
    kept: u64,
    /// By the call that was made last. It may be over: what is not released cannot be forgotten to be.
    carried: u64,
    /// What was taken for both.
    taken: u64,
}

impl Held {
    pub(crate) fn new(effects: Arc<dyn Effects>) -> Self {
        Self { effects, kept: 0, carried: 0, taken: 0 }
    }

    /// Keeps so many bytes more.
    pub(crate) fn keep(&mut self, bytes: u64) -> Result<(), Abort> {
        self.kept = self.kept.saturating_add(bytes);
        self.settle()
    }

    /// Keeps so many bytes in place of others.
    pub(crate) fn replace(&mut self, old: u64, new: u64) -> Result<(), Abort> {
        self.kept = self.kept.saturating_sub(old);
        self.keep(new)
    }

    /// The call that is being made carries so many bytes, in place of what the one before it did.
    pub(crate) fn carry(&mut self, bytes: u64) -> Result<(), Abort> {
        self.carried = bytes;
        self.settle()
    }

    fn settle(&mut self) -> Result<(), Abort> {
        let held = self.kept.saturating_add(self.carried);
        let needed = held.saturating_sub(STEP_BYTES).checked_next_multiple_of(STEP_BYTES).unwrap_or(u64::MAX);
        if needed > self.taken && !self.effects.take_memory(needed - self.taken) {
            return Err(Abort::Memory);
        }
        if needed < self.taken {
            self.effects.put_back_memory(self.taken - needed);
        }
        self.taken = needed;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.taken > 0 {
            self.effects.put_back_memory(self.taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::limiter::tests::Left;

    #[test]
    fn takes_in_steps_and_gives_all_back() {
        let left = Arc::new(Left((3 * STEP_BYTES).into()));
        let mut held = Held::new(left.clone());
        let check = |held: Result<(), Abort>, steps_left: u64| {
            assert_eq!(left.0.load(Relaxed), steps_left * STEP_BYTES);
            held
        };
        // Small runs take nothing.
        assert_eq!(check(held.keep(1_000), 3), Ok(()));
        assert_eq!(check(held.carry(STEP_BYTES - 1_000), 3), Ok(()));
        assert_eq!(check(held.carry(STEP_BYTES - 999), 2), Ok(()));
        assert_eq!(check(held.carry(3 * STEP_BYTES - 1_000), 1), Ok(()));
        // The next call carries less.
        assert_eq!(check(held.carry(0), 3), Ok(()));
        assert_eq!(check(held.keep(4 * STEP_BYTES - 1_000), 0), Ok(()));
        assert_eq!(check(held.replace(STEP_BYTES, 0), 1), Ok(()));
        assert_eq!(check(held.keep(2 * STEP_BYTES), 1), Err(Abort::Memory));
        drop(held);
        assert_eq!(left.0.load(Relaxed), 3 * STEP_BYTES);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let left = Arc::new(Left(STEP_BYTES.into()));
        let mut held = Held::new(left.clone());
        assert_eq!((held.carry(u64::MAX), held.keep(u64::MAX)), (Err(Abort::Memory), Err(Abort::Memory)));
        drop(held);
        assert_eq!(left.0.load(Relaxed), STEP_BYTES);
    }
}
