//! The child that reads modules: what it may use, and that nothing else of the machine is in its reach.

use std::os::unix::net::UnixListener;

use walker_sandbox::{AdmitError, JailLimits};

use crate::Test;
use crate::admission::OK;
use crate::guest::core;
use crate::world::{RUNTIME, admit_within, jail};

pub(crate) const TESTS: &[Test] = &[
    ("refuses_everything_to_who_takes_it_over", refuses_everything_to_who_takes_it_over),
    ("ends_at_its_limits", ends_at_its_limits),
    ("holds_no_more_than_it_may_in_any_way", holds_no_more_than_it_may_in_any_way),
];

fn refuses_everything_to_who_takes_it_over() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let jail = jail(JailLimits::default());
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
    let jail = jail(JailLimits { memory_bytes: 128 << 20, artifact_bytes: 1 << 20, ..JailLimits::default() });
    let ended = RUNTIME.block_on(jail.hoard());
    assert!(ended.as_ref().is_err_and(|fault| fault.to_string().contains("more than 128 MiB of memory")), "{ended:?}");
}

fn ends_at_its_limits() {
    let check = |limits: JailLimits, expect: &str| {
        // Large enough to be compiled for a while.
        let function = "(func (param i32) (result i32)".to_owned()
            + &"(local.set 0 (i32.mul (local.get 0) (i32.const 3)))".repeat(400)
            + "(local.get 0))";
        let wasm = core(&function.repeat(500), OK);
        match admit_within(limits, &wasm) {
            Err(AdmitError::Rejected(message)) => assert!(message.contains(expect), "{message}\nlacks {expect:?}"),
            other => panic!("{expect}: {other:?}"),
        }
    };
    let limits = JailLimits::default();
    check(JailLimits { max_module_bytes: 1000, ..limits }, "at most 1000 are taken");
    check(JailLimits { memory_bytes: 48 << 20, ..limits }, "more than 48 MiB of memory");
    check(JailLimits { wall_seconds: 0, ..limits }, "more than 0 seconds");
    check(JailLimits { cpu_seconds: 0, ..limits }, "seconds of processor time");
    check(JailLimits { artifact_bytes: 100 << 10, ..limits }, "larger than 100 KiB");
}
