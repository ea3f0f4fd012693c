//! The smallest background walker: prints, changes a field, saves it and reports.

use walker_sdk::prelude::*;

/// Adds one and says so.
#[walker(async)]
pub(crate) struct Sample {
    /// 1 once it has run.
    #[has(default = 0)]
    pub(crate) value: i64,
}

#[walker]
impl Sample {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        println!("test");
        self.value = 1;
        run.save(self)?;
        run.report(json!({"done": true}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_with_one() -> Result<()> {
        let done = walker_sdk::testing::run(Sample { value: 0 })?;
        assert_eq!(done.fields.value, 1);
        assert_eq!(done.saved, [json!({"value": 1})]);
        assert_eq!(done.reports, [json!({"done": true})]);
        Ok(())
    }
}
