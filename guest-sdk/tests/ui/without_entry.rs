use walker_sdk::prelude::*;

#[walker]
struct Sample {}

#[walker]
impl Sample {
    #[exit]
    fn leave(&mut self, _here: &Root) {}

    fn enter(&mut self, _here: &Root) {}
}

fn main() {}
