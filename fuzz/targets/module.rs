//! Any bytes as an upload: read, counted, validated, made a component, compiled and asked, without a jail around.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| walker_sandbox::fuzzing::upload(bytes));
