//! Walkers that want more than they may have: time, memory, stack.

use std::hint::black_box;
use std::time::Duration;

use walker_sdk::prelude::*;

use crate::{BEGUN, SAVED, leave_traces};

/// Computes forever.
#[walker(async)]
struct Spins {
    /// `saved` once it was saved.
    #[has(default = BEGUN.to_owned())]
    stage: String,
}

#[walker]
impl Spins {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        self.stage = SAVED.into();
        leave_traces(self, run)?;
        let mut turns = 0_u64;
        loop {
            turns = black_box(turns.wrapping_add(1));
        }
    }
}

/// Waits on the clock.
#[walker(async)]
struct Sleeps {
    /// `saved` once it was saved.
    #[has(default = BEGUN.to_owned())]
    stage: String,
    /// For how long, in milliseconds.
    #[has(default = 60_000)]
    ms: u64,
}

#[walker]
impl Sleeps {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        self.stage = SAVED.into();
        leave_traces(self, run)?;
        std::thread::sleep(Duration::from_millis(self.ms));
        run.report("after")
    }
}

/// Waits on the clock for longer than it gives itself.
#[walker(async, timeout = "300ms")]
struct Dawdles {
    /// `saved` once it was saved.
    #[has(default = BEGUN.to_owned())]
    stage: String,
    /// For how long, in milliseconds.
    #[has(default = 60_000)]
    ms: u64,
}

#[walker]
impl Dawdles {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        self.stage = SAVED.into();
        leave_traces(self, run)?;
        std::thread::sleep(Duration::from_millis(self.ms));
        Ok(())
    }
}

/// Allocates until it is refused.
#[walker(async)]
struct EatsMemory {
    /// `saved` once it was saved.
    #[has(default = BEGUN.to_owned())]
    stage: String,
    /// How much in all, in bytes.
    #[has(default = 4 << 30)]
    bytes: u64,
}

/// Small enough to come close to any limit.
const BITE: usize = 1 << 20;

#[walker]
impl EatsMemory {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        self.stage = SAVED.into();
        leave_traces(self, run)?;
        let mut eaten: Vec<Vec<u8>> = Vec::new();
        let mut left = self.bytes;
        while left > 0 {
            let bite = left.min(BITE as u64);
            // Written, not only reserved: the memory is really used.
            eaten.push(black_box(vec![1; bite as usize]));
            left -= bite;
        }
        run.report(json!({"eaten": eaten.iter().map(Vec::len).sum::<usize>()}))
    }
}

/// Calls itself without end.
#[walker(async)]
struct OverflowsStack {
    /// `saved` once it was saved.
    #[has(default = BEGUN.to_owned())]
    stage: String,
    /// How deep; deeper than any stack unless told otherwise.
    #[has(default = u64::MAX)]
    depth: u64,
}

#[walker]
impl OverflowsStack {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        self.stage = SAVED.into();
        leave_traces(self, run)?;
        run.report(descends(self.depth))
    }
}

/// Uses the engine's stack only: on the one in linear memory, the overflow would be an ordinary trap.
#[inline(never)]
fn descends(left: u64) -> u64 {
    if left == 0 {
        return 0;
    }
    // More than a tail call, whatever the optimiser makes of the sum.
    (descends(left - 1) ^ left.rotate_left(7)).wrapping_mul(31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moderate_appetites_are_satisfied() -> Result<()> {
        let eats = walker_sdk::testing::run(EatsMemory { stage: BEGUN.into(), bytes: (3 << 20) + 1 })?;
        assert_eq!(eats.reports, [json!("before"), json!({"eaten": 3_145_729})]);
        let sleeps = walker_sdk::testing::run(Sleeps { stage: BEGUN.into(), ms: 0 })?;
        assert_eq!((sleeps.reports.len(), sleeps.fields.stage.as_str()), (2, SAVED));
        let dawdles = walker_sdk::testing::run(Dawdles { stage: BEGUN.into(), ms: 0 })?;
        assert_eq!((dawdles.reports.len(), dawdles.fields.stage.as_str()), (1, SAVED));
        let sinks = walker_sdk::testing::run(OverflowsStack { stage: BEGUN.into(), depth: 10 })?;
        assert!(sinks.error.is_none());
        Ok(())
    }
}
