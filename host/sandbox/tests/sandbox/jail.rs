//! The child that reads modules: what it may use, and that nothing else of the machine is in its reach.

use std::os::unix::net::UnixListener;

use walker_model::UploadCost;
use walker_sandbox::{AdmitError, JailLimits};

use crate::Test;
use crate::admission::OK;
use crate::guest::core;
use crate::world::{RUNTIME, admit_within, jail};

pub(crate) const TESTS: &[Test] = &[
    ("refuses_everything_to_who_takes_it_over", refuses_everything_to_who_takes_it_over),
    ("ends_at_its_limits", ends_at_its_limits),
    ("holds_no_more_than_it_may_in_any_way", holds_no_more_than_it_may_in_any_way),
    ("tells_too_little_memory_from_a_fault", tells_too_little_memory_from_a_fault),
];

fn refuses_everything_to_who_takes_it_over() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let jail = jail(JailLimits::default(), UploadCost::DEFAULT);
    let walls = RUNTIME.block_on(jail.walls()).unwrap();
    let attempts = RUNTIME.block_on(jail.attempts(&socket)).unwrap();
    assert!(attempts.len() >= 25, "{attempts:#?}");
    for attempt in &attempts {
        // Not for want of the file or of somebody who listens.
        let why = attempt.refused.as_deref().unwrap_or_else(|| panic!("a child can {}\n{walls:#?}", attempt.what));
        let refusals = ["not permitted", "denied", "not implemented", "Cannot allocate memory"];
        assert!(refusals.iter().any(|refusal| why.contains(refusal)), "{}: {why}", attempt.what);
    }
    let stands = |wall: &str| walls.standing.iter().any(|standing| standing.starts_with(wall));
    let told = |wall: &str| walls.missing.iter().any(|missing| missing.starts_with(wall));
    for wall in ["a user without rights", "landlock", "seccomp"] {
        assert!(stands(wall) != told(wall), "{walls:#?}");
    }
    assert!(stands("no new privileges") && stands("seccomp"), "every kernel that this is built for has it: {walls:#?}");
}

fn holds_no_more_than_it_may_in_any_way() {
    let most = UploadCost { compile_memory_bytes: 128 << 20, ..UploadCost::DEFAULT };
    let jail = jail(JailLimits { artifact_bytes: 1 << 20, ..JailLimits::default() }, most);
    let ended = RUNTIME.block_on(jail.hoard());
    assert!(ended.as_ref().is_err_and(|fault| fault.to_string().contains("more than 128 MiB of memory")), "{ended:?}");
}

/// Wherever it runs out: before there is a thread, an engine, a component, or its code.
fn tells_too_little_memory_from_a_fault() {
    let wasm = core(&"(func (result i32) (i32.const 1))".repeat(20_000), OK);
    let (mut refused, mut admitted) = (0, 0);
    for mib in (0..=320).step_by(16).chain([1 << 10]) {
        let most = UploadCost { compile_memory_bytes: mib << 20, ..UploadCost::DEFAULT };
        match admit_within(JailLimits::default(), most, &wasm) {
            Ok(_) => admitted += 1,
            Err(AdmitError::Rejected(message)) if message.contains("of memory") => refused += 1,
            Err(error) => panic!("{mib} MiB: {error:?}"),
        }
    }
    assert!(refused >= 5 && admitted >= 1, "{refused} {admitted}");
}

fn ends_at_its_limits() {
    let check = |limits: JailLimits, most: UploadCost, expect: &str| {
        // Large enough to be compiled for a while.
        let function = "(func (param i32) (result i32)".to_owned()
            + &"(local.set 0 (i32.mul (local.get 0) (i32.const 3)))".repeat(400)
            + "(local.get 0))";
        let wasm = core(&function.repeat(500), OK);
        match admit_within(limits, most, &wasm) {
            Err(AdmitError::Rejected(message)) => assert!(message.contains(expect), "{message}\nlacks {expect:?}"),
            other => panic!("{expect}: {other:?}"),
        }
    };
    let (limits, most) = (JailLimits::default(), UploadCost::DEFAULT);
    check(limits, UploadCost { module_bytes: 1000, ..most }, "at most 1000 are taken");
    check(limits, UploadCost { module_functions: 400, ..most }, "its limit (module_functions) is 400");
    check(limits, UploadCost { module_types: 0, ..most }, "its limit (module_types) is 0");
    check(
        limits,
        UploadCost { compile_memory_bytes: 48 << 20, ..most },
        "48 MiB of memory, its limit (compile_memory_bytes)",
    );
    check(limits, UploadCost { compile_ms: 0, ..most }, "0 seconds of processor time, its limit (compile_ms)");
    check(JailLimits { wall_seconds: 0, ..limits }, most, "more than 0 seconds");
    check(JailLimits { artifact_bytes: 100 << 10, ..limits }, most, "larger than 100 KiB");
}
