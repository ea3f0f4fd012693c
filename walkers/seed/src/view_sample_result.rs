//! Reads another walker by its id: typed fields and the execution record.

use walker_sdk::prelude::*;

use crate::sample::Sample;

/// Shows what a `sample` has come to.
#[walker]
struct ViewSampleResult {
    /// The sample to look at.
    walker_id: WalkerId,
}

#[walker]
impl ViewSampleResult {
    #[entry]
    fn view(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        let sample = run.walker::<Sample>(&self.walker_id)?;
        println!("{}", sample.fields.value);
        println!("Status: {}", sample.schedule.status);
        println!("Executed at: {:?}", sample.schedule.executed_date);
        if let Some(error) = &sample.schedule.error {
            println!("Error: {error}");
        }
        run.report(json!({"value": sample.fields.value, "status": sample.schedule.status}))
    }
}

#[cfg(test)]
mod tests {
    use walker_sdk::testing::World;

    use super::*;

    #[test]
    fn reports_value_and_status() -> Result<()> {
        let id: WalkerId = "w:sample:550e8400-e29b-41d4-a716-446655440000".parse()?;
        let failed = Schedule { status: Status::Failed, error: Some("no luck".into()), ..Schedule::default() };
        let world = World::new().with_walker(id.clone(), Sample { value: 1 }, failed);
        let done = world.run(ViewSampleResult { walker_id: id })?;
        assert_eq!(done.reports, [json!({"value": 1, "status": "failed"})]);
        Ok(())
    }

    #[test]
    fn refuses_what_is_no_sample() -> Result<()> {
        let id = "w:other:550e8400-e29b-41d4-a716-446655440000".parse()?;
        let done = walker_sdk::testing::run(ViewSampleResult { walker_id: id })?;
        assert_eq!(done.error.expect("another walker").code(), "walker.mismatch");
        Ok(())
    }
}
