//! Walkers that say too much.

use walker_sdk::prelude::*;

use crate::{BEGUN, SAVED, leave_traces};

/// Reports a lot.
#[walker(async)]
struct FloodsReports {
    /// `saved` once it was saved.
    #[has(default = BEGUN.to_owned())]
    stage: String,
    /// How many reports.
    #[has(default = 100_000)]
    count: u64,
    /// The length of each.
    #[has(default = 1_000)]
    bytes: usize,
}

#[walker]
impl FloodsReports {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        self.stage = SAVED.into();
        leave_traces(self, run)?;
        let text = "x".repeat(self.bytes);
        for _ in 0..self.count {
            run.report(&text)?;
        }
        Ok(())
    }
}

/// Prints a lot.
#[walker(async)]
struct FloodsLog {
    /// `saved` once it was saved.
    #[has(default = BEGUN.to_owned())]
    stage: String,
    /// How many lines.
    #[has(default = 100_000)]
    lines: u64,
    /// The length of each, without its end.
    #[has(default = 100)]
    bytes: usize,
}

#[walker]
impl FloodsLog {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        self.stage = SAVED.into();
        leave_traces(self, run)?;
        let line = "x".repeat(self.bytes);
        for _ in 0..self.lines {
            println!("{line}");
        }
        run.report("after")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_as_much_as_asked() -> Result<()> {
        let reports = walker_sdk::testing::run(FloodsReports { stage: BEGUN.into(), count: 2, bytes: 3 })?;
        assert_eq!(reports.reports, ["before", "xxx", "xxx"]);
        let log = walker_sdk::testing::run(FloodsLog { stage: BEGUN.into(), lines: 1, bytes: 1 })?;
        assert_eq!(log.reports, ["before", "after"]);
        Ok(())
    }
}
