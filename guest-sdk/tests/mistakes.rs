//! What the macros say about each mistake, word for word.
//!
//! After a deliberate change: `TRYBUILD=overwrite cargo test --release -p walker-sdk --test mistakes`.

#[test]
fn every_mistake_is_told_where_it_is() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
