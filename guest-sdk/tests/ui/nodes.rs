use walker_sdk::prelude::*;

struct City;

#[walker]
struct Sample {}

#[walker]
impl Sample {
    #[entry]
    fn nowhere(&mut self) {}

    #[exit]
    fn nowhere_again(&mut self, _run: &mut Run) {}

    #[entry(Root)]
    fn twice(&mut self, _here: &Root) {}

    #[entry = Root]
    fn without_brackets(&mut self) {}

    #[entry("Root")]
    fn in_quotes(&mut self) {}

    #[entry(Root, Node)]
    fn both(&mut self, _here: &Node) {}
}

#[walker]
struct Visitor {}

#[walker]
impl Visitor {
    #[entry]
    fn undeclared(&mut self, _here: &City) {}

    #[entry(Root, City)]
    fn undeclared_again(&mut self) {}
}

fn main() {}
