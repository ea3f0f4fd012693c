use walker_sdk::prelude::*;

#[walker]
struct Sample {}

#[walker]
impl Sample {
    #[entry]
    fn enter(&mut self, _here: &Root) {}
}

#[walker]
impl Clone for Sample {
    fn clone(&self) -> Self {
        Self {}
    }
}

#[walker]
impl Sample {
    #[entry]
    fn once_more(&mut self, _here: &Root) {}
}

fn main() {}
