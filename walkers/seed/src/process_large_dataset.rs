//! Long work in the background: saves as it goes, so that others see its progress and a restart resumes from it.

use walker_sdk::prelude::*;

/// How many items lie between two saves: often enough to be watched, rare enough to cost nothing.
const ITEMS_PER_SAVE: u64 = 100;

/// Works through a dataset of a given size.
#[walker(async)]
pub(crate) struct ProcessLargeDataset {
    /// How many items the dataset has.
    #[has(default = 1000)]
    pub(crate) size: u64,
    /// How many of them are done.
    #[has(default = 0)]
    pub(crate) processed: u64,
    /// The same in percent.
    #[has(default = 0.0)]
    pub(crate) progress: f64,
    /// The same in words.
    #[has(default = "pending")]
    pub(crate) status_text: String,
    /// What the items done so far add up to.
    #[has(default = 0)]
    total: u64,
}

#[walker]
impl ProcessLargeDataset {
    #[entry]
    fn process(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        if run.attempt() > 1 {
            println!("resuming after {} of {} items", self.processed, self.size);
        }
        let resumed_from = self.processed;
        while self.processed < self.size {
            self.total = self.total.wrapping_add(item(self.processed));
            self.processed += 1;
            if self.processed.is_multiple_of(ITEMS_PER_SAVE) {
                self.progress = self.processed as f64 / self.size as f64 * 100.0;
                self.status_text = format!("processed {} of {} items", self.processed, self.size);
                run.save(self)?;
            }
        }
        self.progress = 100.0;
        self.status_text = "completed".into();
        run.report(json!({"processed": self.processed, "total": self.total, "resumed_from": resumed_from}))
    }
}

/// The dataset's item at a place: made up, always the same.
fn item(place: u64) -> u64 {
    place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54
}

#[cfg(test)]
mod tests {
    use walker_sdk::testing::World;

    use super::*;

    fn begin(size: u64) -> ProcessLargeDataset {
        ProcessLargeDataset { size, processed: 0, progress: 0.0, status_text: "pending".into(), total: 0 }
    }

    #[test]
    fn saves_as_it_goes() -> Result<()> {
        let done = walker_sdk::testing::run(begin(250))?;
        let progress: Vec<_> = done.saved.iter().map(|fields| fields["progress"].clone()).collect();
        assert_eq!(progress, [40.0, 80.0]);
        assert_eq!((done.fields.processed, done.fields.progress), (250, 100.0));
        assert_eq!(done.fields.status_text, "completed");
        Ok(())
    }

    #[test]
    fn resumes_to_the_same_total() -> Result<()> {
        let whole = walker_sdk::testing::run(begin(250))?;
        let saved: ProcessLargeDataset = walker_sdk::serde_json::from_value(whole.saved[0].clone())?;
        let resumed = World::new().attempt(2).run(saved)?;
        assert_eq!(resumed.fields.total, whole.fields.total);
        assert_eq!(resumed.reports[0]["resumed_from"], 100);
        Ok(())
    }

    #[test]
    fn an_empty_dataset_is_done_at_once() -> Result<()> {
        let done = walker_sdk::testing::run(begin(0))?;
        assert_eq!((done.saved.len(), done.fields.progress), (0, 100.0));
        Ok(())
    }
}
