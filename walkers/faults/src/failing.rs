//! Ends of the walker's own making: an error, a panic, a trap, an exit.

use std::hint::black_box;

use walker_sdk::prelude::*;

use crate::{BEGUN, SAVED, leave_traces};

/// Returns an error.
#[walker(async)]
struct ReturnsError {
    /// `saved` once it was saved.
    #[has(default = BEGUN.to_owned())]
    stage: String,
    /// The error's text.
    #[has(default = "as asked")]
    message: String,
}

#[walker]
impl ReturnsError {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        self.stage = SAVED.into();
        leave_traces(self, run)?;
        self.stage = "lost".into();
        bail!("{}", self.message)
    }
}

/// Panics.
#[walker(async)]
#[derive(Debug)]
struct Panics {
    /// `saved` once it was saved.
    #[has(default = BEGUN.to_owned())]
    stage: String,
    /// The panic's text.
    #[has(default = "as asked")]
    message: String,
}

#[walker]
impl Panics {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        self.stage = SAVED.into();
        leave_traces(self, run)?;
        panic!("{}", self.message)
    }
}

/// Executes an `unreachable` instruction, two named functions deep.
#[walker(async)]
struct Traps {
    /// `saved` once it was saved.
    #[has(default = BEGUN.to_owned())]
    stage: String,
}

#[walker]
impl Traps {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        self.stage = SAVED.into();
        leave_traces(self, run)?;
        let depth = walks_into_a_trap(black_box(1));
        run.report(depth)
    }
}

// Both use what comes back, so that neither call can become a jump and vanish from the backtrace.

#[inline(never)]
fn walks_into_a_trap(depth: u32) -> u32 {
    black_box(springs_the_trap(black_box(depth + 1))) + 1
}

#[inline(never)]
fn springs_the_trap(depth: u32) -> u32 {
    if black_box(depth) > 0 {
        #[cfg(target_arch = "wasm32")]
        core::arch::wasm32::unreachable();
        #[cfg(not(target_arch = "wasm32"))]
        panic!("only WebAssembly has traps");
    }
    depth
}

/// Ends its process.
#[walker(async)]
struct Exits {
    /// `saved` once it was saved.
    #[has(default = BEGUN.to_owned())]
    stage: String,
    /// The exit code.
    #[has(default = 3)]
    code: i32,
}

#[walker]
impl Exits {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        self.stage = SAVED.into();
        leave_traces(self, run)?;
        std::process::exit(self.code)
    }
}

/// Fails in its first attempts, and is tried again.
#[walker(async, retries = 3, backoff = "20ms", max_backoff = "50ms")]
struct FailsFirst {
    /// In how many.
    #[has(default = 2)]
    times: u32,
    /// How many attempts there were, as saved by each.
    #[has(default = 0)]
    attempts: u32,
}

#[walker]
impl FailsFirst {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        println!("attempt {}", run.attempt());
        self.attempts += 1;
        run.report(run.attempt())?;
        run.save(self)?;
        run.report("not saved")?;
        if run.attempt() <= self.times {
            bail!("attempt {} fails", run.attempt());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn an_error_leaves_what_was_saved() -> Result<()> {
        let done = walker_sdk::testing::run(ReturnsError { stage: BEGUN.into(), message: "no luck".into() })?;
        assert_eq!(done.error.expect("an error").to_string(), "no luck");
        assert_eq!(done.fields.stage, SAVED);
        assert_eq!(done.reports, ["before"]);
        Ok(())
    }

    #[test]
    fn a_panic_is_the_tests_own() {
        let panics = || walker_sdk::testing::run(Panics { stage: BEGUN.into(), message: "no luck".into() });
        let payload = catch_unwind(AssertUnwindSafe(panics)).expect_err("a panic");
        assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("no luck"));
        let traps = || walker_sdk::testing::run(Traps { stage: BEGUN.into() });
        assert!(catch_unwind(AssertUnwindSafe(traps)).is_err());
    }

    #[test]
    fn fails_in_its_first_attempts() -> Result<()> {
        let fails =
            |attempt| walker_sdk::testing::World::new().attempt(attempt).run(FailsFirst { times: 2, attempts: 0 });
        assert_eq!(fails(2)?.error.expect("an error").to_string(), "attempt 2 fails");
        let done = fails(3)?;
        assert!(done.error.is_none());
        assert_eq!(done.reports, [json!(3), json!("not saved")]);
        Ok(())
    }

    #[test]
    fn every_fault_can_be_invoked_without_fields() {
        let check = |definition: walker_sdk::Definition| {
            assert!(definition.is_async && definition.fields.iter().all(|field| field.default.is_some()));
        };
        check(walker_sdk::Definition::of::<ReturnsError>());
        check(walker_sdk::Definition::of::<Panics>());
        check(walker_sdk::Definition::of::<Traps>());
        check(walker_sdk::Definition::of::<Exits>());
        check(walker_sdk::Definition::of::<FailsFirst>());
    }
}
