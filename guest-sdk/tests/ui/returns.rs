use walker_sdk::prelude::*;

#[walker]
struct Sample {}

#[walker]
impl Sample {
    #[entry]
    fn a_value(&mut self, _here: &Root) -> i64 {
        1
    }

    #[entry]
    fn a_result_with_a_value(&mut self, _here: &Root) -> Result<i64> {
        Ok(1)
    }

    #[entry]
    fn any_error_is_fine(&mut self, _here: &Root) -> Result<(), std::fmt::Error> {
        Ok(())
    }
}

fn main() {}
