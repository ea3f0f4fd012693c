//! Placeholder
use walker_sdk::prelude::*;
/// Reports its field.
#[walker]
struct Echo { value: Value }
#[walker]
impl Echo {
    #[entry]
    fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> { run.report(&self.value) }
}
