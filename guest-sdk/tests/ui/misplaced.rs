use walker_sdk::prelude::*;

struct Sample {}

impl Sample {
    #[entry]
    fn enter(&mut self, _here: &Root) {}

    #[exit]
    fn leave(&mut self, _here: &Root) {}
}

fn main() {}
