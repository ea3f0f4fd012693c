use walker_sdk::prelude::*;

#[walker]
struct Tuple(i64);

#[walker]
impl Tuple {
    #[entry]
    fn enter(&mut self, _here: &Root) {}
}

#[walker]
struct Unit;

#[walker]
impl Unit {
    #[entry]
    fn enter(&mut self, _here: &Root) {}
}

#[walker]
struct Generic<T> {
    #[has]
    value: T,
}

#[walker]
impl<T> Generic<T> {
    #[entry]
    fn enter(&mut self, _here: &Root) {}
}

#[walker]
enum Either {
    A,
    B,
}

#[walker]
fn function() {}

fn main() {
    let _ = (Either::A, Either::B);
    function();
}
