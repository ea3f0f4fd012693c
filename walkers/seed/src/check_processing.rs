//! Watches a walker while it works.

use walker_sdk::prelude::*;

use crate::process_large_dataset::ProcessLargeDataset;

/// Reports how far a `process_large_dataset` has come.
#[walker]
struct CheckProcessing {
    /// The walker to look at.
    walker_id: WalkerId,
}

#[walker]
impl CheckProcessing {
    #[entry]
    fn check(&self, _here: &Root, run: &mut Run) -> Result<()> {
        let seen = run.walker::<ProcessLargeDataset>(&self.walker_id)?;
        println!("{}: {:.0} %, {}", seen.schedule.status, seen.fields.progress, seen.fields.status_text);
        run.report(json!({
            "status": seen.schedule.status,
            "progress": seen.fields.progress,
            "processed": seen.fields.processed,
            "status_text": seen.fields.status_text,
        }))
    }
}

#[cfg(test)]
mod tests {
    use walker_sdk::testing::World;

    use super::*;

    #[test]
    fn reports_progress() -> Result<()> {
        let id: WalkerId = "w:process_large_dataset:550e8400-e29b-41d4-a716-446655440000".parse()?;
        let fields = json!({"size": 10, "processed": 4, "progress": 40.0, "status_text": "on it"});
        let running = Schedule { status: Status::Running, http_status: None, ..Schedule::default() };
        let done = World::new().with_walker(id.clone(), fields, running).run(CheckProcessing { walker_id: id })?;
        let expect = json!({"status": "running", "progress": 40.0, "processed": 4, "status_text": "on it"});
        assert_eq!(done.reports, [expect]);
        Ok(())
    }
}
