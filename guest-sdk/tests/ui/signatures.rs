use walker_sdk::prelude::*;

#[walker]
struct Sample {}

#[walker]
impl Sample {
    #[entry]
    async fn waits(&mut self, _here: &Root) {}

    #[entry]
    unsafe fn dares(&mut self, _here: &Root) {}

    #[entry]
    extern "C" fn speaks_c(&mut self, _here: &Root) {}

    #[entry]
    fn is_generic<T>(&mut self, _here: &Root) {}

    #[entry]
    fn consumes(self, _here: &Root) {}

    #[entry]
    fn has_no_self(_here: &Root) {}

    #[entry]
    fn takes_something_else(&mut self, _here: &Root, count: usize, run: Run) {}

    #[entry]
    fn takes_two_heres(&mut self, _here: &Root, _there: &Node) {}

    #[entry]
    fn takes_two_runs(&mut self, _here: &Root, _run: &mut Run, _again: &mut Run) {}

    #[entry]
    fn changes_the_node(&mut self, _here: &mut Root) {}

    #[entry]
    #[exit]
    fn cannot_ask(&mut self, _here: &Root, _run: &Run) {}
}

fn main() {}
