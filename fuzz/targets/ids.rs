//! Any text as an id: what is taken reads back as it was.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| walker_model::fuzzing::ids(text));
