//! A field that is a dictionary: the answer stays behind in the walker itself.

use walker_sdk::prelude::*;

/// Sums up a list of numbers.
#[walker(async)]
struct AnalyzeData {
    /// The numbers.
    data: Vec<f64>,
    /// Their count, mean, least and greatest, once it has run.
    #[has(default = json!({}))]
    summary: Value,
}

#[walker]
impl AnalyzeData {
    #[entry]
    fn analyze(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        let count = self.data.len();
        ensure!(count > 0, "there is nothing to analyze: data is empty");
        let min = self.data.iter().copied().fold(f64::INFINITY, f64::min);
        let max = self.data.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = self.data.iter().sum::<f64>() / count as f64;
        self.summary = json!({"count": count, "mean": mean, "min": min, "max": max});
        run.report(&self.summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn analyze(data: &[f64]) -> Result<walker_sdk::testing::Done<AnalyzeData>> {
        walker_sdk::testing::run(AnalyzeData { data: data.to_vec(), summary: json!({}) })
    }

    #[test]
    fn keeps_its_summary() -> Result<()> {
        let done = analyze(&[4.0, 1.0, 2.5, 0.5])?;
        let expect = json!({"count": 4, "mean": 2.0, "min": 0.5, "max": 4.0});
        assert_eq!(done.fields.summary, expect);
        assert_eq!(done.reports, [expect]);
        Ok(())
    }

    #[test]
    fn has_nothing_to_say_about_nothing() -> Result<()> {
        let done = analyze(&[])?;
        assert_eq!(done.error.expect("no data").to_string(), "there is nothing to analyze: data is empty");
        assert_eq!(done.fields.summary, json!({}));
        Ok(())
    }
}
