use walker_sdk::prelude::*;

struct Place {
    name: String,
}

#[data(json)]
struct City {
    name: String,
}

fn main() {
    // What `#[walker]` asks of the type of every field, without what the derives say after it.
    walker_sdk::__private::is_data::<Place>();
    walker_sdk::__private::is_data::<City>();
    let _ = (Place { name: String::new() }.name, City { name: String::new() }.name);
}
