//! How fast a run may print: a bucket that holds what one second brings.
//!
//! Knows nothing of lines.

use std::time::Duration;

/// After a gap, printing goes on once the bucket is this full: one marker a gap, and few gaps.
const RESUME: f64 = 0.25;

/// A bucket of bytes that time fills.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: f64,
    left: f64,
    filled_at: Duration,
    is_empty: bool,
}

impl Bucket {
    /// Full to begin with.
    pub(super) fn new(per_second: u64) -> Self {
        let per_second = per_second as f64;
        Self { per_second, left: per_second, filled_at: Duration::ZERO, is_empty: false }
    }

    /// Takes so many bytes at this time of the run's; `false` when they come too fast.
    pub(super) fn take(&mut self, bytes: u64, now: Duration) -> bool {
        let since = now.saturating_sub(self.filled_at).as_secs_f64();
        self.left = (self.left + since * self.per_second).min(self.per_second);
        self.filled_at = now;
        if self.is_empty && self.left < self.per_second * RESUME {
            return false;
        }
        let bytes = bytes as f64;
        self.is_empty = bytes > self.left;
        if !self.is_empty {
            self.left -= bytes;
        }
        !self.is_empty
    }
}

/// The most that was printed within one second.
#[derive(Debug, Default)]
pub(super) struct Peak {
    second: u64,
    bytes: u64,
    most: u64,
}

impl Peak {
    pub(super) fn add(&mut self, bytes: u64, now: Duration) {
        if now.as_secs() != self.second {
            *self = Self { second: now.as_secs(), bytes: 0, most: self.most };
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.most = self.most.max(self.bytes);
    }

    pub(super) fn most(&self) -> u64 {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_a_second_and_fills_with_time() {
        let mut bucket = Bucket::new(100);
        let mut check = |ms, bytes, expect| {
            assert_eq!(bucket.take(bytes, Duration::from_millis(ms)), expect, "{bytes} at {ms} ms");
        };
        check(0, 60, true);
        check(0, 40, true);
        check(0, 1, false);
        // 24 of 25.
        check(240, 1, false);
        check(250, 20, true);
        check(250, 10, false);
        // Never more than a second's worth.
        check(60_000, 101, false);
        check(60_000, 100, true);
    }

    #[test]
    fn the_peak_is_that_of_the_fastest_second() {
        let mut peak = Peak::default();
        for (ms, bytes) in [(0, 1), (999, 2), (1_000, 5), (1_500, 1), (3_000, 4)] {
            peak.add(bytes, Duration::from_millis(ms));
        }
        assert_eq!(peak.most(), 6);
    }
}
