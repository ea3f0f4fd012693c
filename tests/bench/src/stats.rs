//! Medians and percentiles of what was measured.
//!
//! Knows nothing of what was measured.

use std::time::Duration;

/// What one side of a comparison did in one round.
#[derive(Debug, Default, Clone)]
pub(crate) struct Samples {
    times: Vec<Duration>,
    elapsed: Duration,
}

impl Samples {
    /// All that was timed within `elapsed`.
    pub(crate) fn new(mut times: Vec<Duration>, elapsed: Duration) -> Self {
        times.sort_unstable();
        Self { times, elapsed }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// How many there are for each second.
    pub(crate) fn rate(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The time that this part of them stays below, in seconds.
    pub(crate) fn percentile(&self, part: f64) -> f64 {
        let at = (self.times.len() as f64 * part) as usize;
        self.times.get(at.min(self.times.len().saturating_sub(1))).map_or(f64::NAN, Duration::as_secs_f64)
    }
}

/// The medians over all rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) rate: f64,
    /// In seconds, as the next.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Summary {
    /// The medians over `rounds`.
    pub(crate) fn of(rounds: &[Samples]) -> Self {
        Self {
            rate: median(rounds.iter().map(Samples::rate)),
            p50: median(rounds.iter().map(|round| round.percentile(0.50))),
            p99: median(rounds.iter().map(|round| round.percentile(0.99))),
        }
    }
}

/// The middle value; the mean of the two in the middle of an even number; NaN of none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => (values[even / 2 - 1] + values[even / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_middle() {
        for (values, expect) in [(vec![3.0, 1.0, 2.0], 2.0), (vec![1.0, 4.0], 2.5), (vec![7.0], 7.0)] {
            assert_eq!(median(values.into_iter()), expect);
        }
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn counts_and_ranks() {
        let samples = Samples::new((1..=100).rev().map(Duration::from_secs).collect(), Duration::from_secs(50));
        assert_eq!((samples.rate(), samples.percentile(0.50), samples.percentile(0.99)), (2.0, 51.0, 100.0));
        assert!(Samples::default().percentile(0.5).is_nan());
    }
}
