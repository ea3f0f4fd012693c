use walker_sdk::prelude::*;

#[walker(asink, timeout = 30, fuel = "many", memory = "64MB", name = "a b", public = true, async, async)]
struct Sample {}

#[walker]
impl Sample {
    #[entry]
    fn enter(&mut self, _here: &Root) {}
}

#[walker(timeout = "0s" memory)]
struct Other {}

#[walker(async)]
impl Other {
    #[entry]
    fn enter(&mut self, _here: &Root) {}
}

#[walker("async")]
struct Third {}

#[walker]
impl Third {
    #[entry]
    fn enter(&mut self, _here: &Root) {}
}

#[walker(retries = 101, backoff = 2, max_backoff = "2d", async)]
struct Fourth {}

#[walker]
impl Fourth {
    #[entry]
    fn enter(&mut self, _here: &Root) {}
}

#[walker(retries = 3, backoff = "2s", max_backoff = "1s")]
struct Fifth {}

#[walker]
impl Fifth {
    #[entry]
    fn enter(&mut self, _here: &Root) {}
}

#[walker(async, backoff = "2s")]
struct Sixth {}

#[walker]
impl Sixth {
    #[entry]
    fn enter(&mut self, _here: &Root) {}
}

fn main() {
    // What was written wrongly is told once: it still is a walker.
    let _ = (Sample::NAME, Other::NAME, Third::NAME, Fourth::NAME, Fifth::NAME, Sixth::NAME);
}
