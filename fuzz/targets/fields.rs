//! A field's schema and, in the next line, a value for it, both anything: checked as invocations check them.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Some((schema, value)) = text.split_once('\n') {
        walker_server::fuzzing::fields(schema, value);
    }
});
