//! Makes cargo notice files that are added to the SDK: the carried copy would lack them.

fn main() {
    for part in ["Cargo.toml", "src", "macros", "wit"] {
        println!("cargo::rerun-if-changed=../../guest-sdk/{part}");
    }
}
