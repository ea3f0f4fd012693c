use walker_sdk::prelude::*;

#[walker]
struct Sample {
    #[has(default = "one")]
    value: i64,
    #[has(default = 1)]
    maybe: Option<i64>,
}

#[walker]
impl Sample {
    #[entry]
    fn enter(&mut self, _here: &Root) {}
}

fn main() {}
