//! The one place where guests read clocks, coarsened.
//!
//! Knows nothing of deadlines, which are the host's own and exact.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clocks that one run reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    resolution: Duration,
}

impl Clock {
    pub(crate) fn new(started: Instant, resolution: Duration) -> Self {
        Self { started, resolution: resolution.max(Duration::from_nanos(1)) }
    }

    /// How coarse both clocks are.
    pub(crate) fn resolution(&self) -> Duration {
        self.resolution
    }

    /// Time since 1970.
    pub(crate) fn wall(&self) -> Duration {
        self.coarse(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// Time since the run started.
    pub(crate) fn monotonic(&self) -> Duration {
        self.coarse(self.started.elapsed())
    }

    /// When the monotonic clock will show `reading` or more; `None` where that is later than anyone can wait.
    pub(crate) fn when_shows(&self, reading: Duration) -> Option<Instant> {
        let coarse = self.coarse(reading);
        let rounded_up = if coarse == reading { coarse } else { coarse.checked_add(self.resolution)? };
        self.started.checked_add(rounded_up)
    }

    fn coarse(&self, exact: Duration) -> Duration {
        let rest = exact.as_nanos() % self.resolution.as_nanos();
        exact - Duration::from_nanos(u64::try_from(rest).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_whole_steps_only_and_wakes_nobody_early() {
        let clock = Clock::new(Instant::now(), Duration::from_millis(1));
        assert_eq!(clock.monotonic().subsec_nanos() % 1_000_000, 0);
        assert_eq!(clock.wall().subsec_nanos() % 1_000_000, 0);
        let after = |reading| clock.when_shows(reading).unwrap() - clock.started;
        assert_eq!(after(Duration::from_micros(1_001)), Duration::from_millis(2));
        assert_eq!(after(Duration::from_micros(2_000)), Duration::from_millis(2));
        assert_eq!(clock.when_shows(Duration::MAX), None);
    }
}
