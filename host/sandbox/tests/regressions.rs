//! What fuzzing found before is not found again.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

#[test]
fn what_was_found_before_is_not_found_again() {
    type Try = fn(&[u8]);
    let targets: [(&str, Try); 2] =
        [("module", walker_sandbox::fuzzing::upload), ("symbolize", walker_sandbox::fuzzing::debug_information)];
    for (target, try_again) in targets {
        let folder = format!("{}/../../fuzz/regressions/{target}", env!("CARGO_MANIFEST_DIR"));
        for entry in fs::read_dir(folder).unwrap() {
            try_again(&fs::read(entry.unwrap().path()).unwrap());
        }
    }
}
