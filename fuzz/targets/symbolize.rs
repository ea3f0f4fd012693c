//! Any bytes as debug information: resolved without a jail around.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| walker_sandbox::fuzzing::debug_information(bytes));
