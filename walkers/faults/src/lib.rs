//! Walkers that fail in every way there is, and a few that lean on others: for the host's end-to-end tests.
//!
//! All that fail report `"before"` and save `stage: "saved"` first, so that a test can see what is kept.

mod failing;
mod flooding;
mod greedy;
mod leaning;
mod waiting;

use walker_sdk::prelude::*;

/// What a failing walker's `stage` is until it has saved.
const BEGUN: &str = "begun";
/// What it is from then on.
const SAVED: &str = "saved";

/// What a test may count on after the failure. `stage` is already [`SAVED`] in `walker`.
fn leave_traces<W: Walker>(walker: &W, run: &mut Run) -> Result<()> {
    run.report("before")?;
    run.save(walker)
}
