use walker_sdk::prelude::*;

#[walker(async)]
struct Sample {
    #[has(default = 0)]
    value: i64,
}

fn main() {}
