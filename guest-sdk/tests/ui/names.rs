use walker_sdk::prelude::*;

#[walker]
struct Größe {}

#[walker]
impl Größe {
    #[entry]
    fn enter(&mut self, _here: &Root) {}
}

fn main() {}
