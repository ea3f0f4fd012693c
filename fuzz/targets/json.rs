//! Any text as JSON: what is taken is kept as it was, and can be read.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| walker_model::fuzzing::json(text));
