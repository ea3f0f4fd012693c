//! A walker that handles its own failure: it completes, and a field says what went wrong.

use walker_sdk::prelude::*;

/// Halves a number that comes as text.
#[walker(async)]
struct SafeProcess {
    /// The number.
    #[has(default = "")]
    input: String,
    /// Its half, if that worked.
    result: Option<i64>,
    /// Why not, if it did not.
    error_message: Option<String>,
}

#[walker]
impl SafeProcess {
    #[entry]
    fn process(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        match half(&self.input) {
            Ok(half) => {
                self.result = Some(half);
                self.error_message = None;
            }
            Err(error) => {
                eprintln!("failed: {error}");
                self.error_message = Some(error.to_string());
            }
        }
        run.report(json!({"result": self.result, "error_message": self.error_message}))
    }
}

fn half(text: &str) -> Result<i64> {
    let number: i64 = text.parse().map_err(|cause| Error::from(cause).context(format!("reading {text:?}")))?;
    ensure!(number % 2 == 0, "{number} is odd");
    Ok(number / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completes_whatever_the_input() -> Result<()> {
        let check = |input: &str, result: Option<i64>, message: Option<&str>| -> Result<()> {
            let walker = SafeProcess { input: input.into(), result: None, error_message: None };
            let done = walker_sdk::testing::run(walker)?;
            assert!(done.error.is_none());
            assert_eq!((done.fields.result, done.fields.error_message.as_deref()), (result, message));
            Ok(())
        };
        check("42", Some(21), None)?;
        check("7", None, Some("7 is odd"))?;
        check("x", None, Some("reading \"x\": invalid digit found in string"))
    }
}
