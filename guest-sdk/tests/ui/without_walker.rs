use walker_sdk::prelude::*;

struct Sample {
    value: i64,
}

#[walker]
impl Sample {
    #[entry]
    fn enter(&mut self, _here: &Root) {
        self.value = 1;
    }
}

fn main() {}
