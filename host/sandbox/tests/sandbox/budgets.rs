//! Budgets that are not wasmtime's: output, calls, logs, and the sum of memories.

use walker_model::{Code, Ended, Limits};
use walker_sandbox::{Stop, Stream};

use crate::Test;
use crate::guest::core;
use crate::world::{World, job, run, try_run};

pub(crate) const TESTS: &[Test] = &[
    ("output_and_calls_end_a_run", output_and_calls_end_a_run),
    ("logs_are_cut_and_the_run_goes_on", logs_are_cut_and_the_run_goes_on),
    ("memories_are_limited_in_sum", memories_are_limited_in_sum),
    ("a_memory_too_large_to_begin_with", a_memory_too_large_to_begin_with),
];

const FIELDS: &str = r#"(data (i32.const 2048) "{\"value\":1}")"#;

fn output_and_calls_end_a_run() {
    let check = |body: &str, limits: Limits, code: Code, message: &str| {
        let outcome = run(core(FIELDS, body), limits);
        let failure = outcome.failure().unwrap_or_else(|| panic!("{message}: completed"));
        assert_eq!((failure.code, failure.message.as_str()), (code, message));
    };
    let limits = Limits::default();
    let again = |call: &str| format!("(loop (drop {call}) br 0) (i32.const 0)");
    check(
        &again("(call $report (i32.const 2048) (i32.const 11))"),
        Limits { reports: 3, ..limits },
        Code::LimitOutput,
        "produced more than its 3 reports",
    );
    check(
        &again("(call $report (i32.const 2048) (i32.const 11))"),
        Limits { report_bytes: 100, ..limits },
        Code::LimitOutput,
        "produced more than its 100 bytes of reports",
    );
    check(
        &again("(call $save (i32.const 2048) (i32.const 11))"),
        Limits { fields_bytes: 10, ..limits },
        Code::LimitOutput,
        "produced more than its 10 bytes of fields",
    );
    check(
        "(call $ok (i32.const 2048) (i32.const 11))",
        Limits { fields_bytes: 10, ..limits },
        Code::LimitOutput,
        "produced more than its 10 bytes of fields",
    );
    check(
        &again("(call $custom (i32.const 2048) (i32.const 11))"),
        Limits { custom_bytes: 10, ..limits },
        Code::LimitOutput,
        "produced more than its 10 bytes of custom value",
    );
    check(
        &again("(call $status (i32.const 200))"),
        Limits { host_calls: 50, ..limits },
        Code::LimitCalls,
        "asked the host for more than its 50 calls",
    );
    check(
        "(drop (memory.grow (i32.const 64))) (drop (call $save (i32.const 0) (i32.const 4000000))) (i32.const 0)",
        Limits { fields_bytes: 1000, report_bytes: 1000, ..limits },
        Code::LimitOutput,
        "passed more to the host in one call than all of its output may be",
    );
}

fn logs_are_cut_and_the_run_goes_on() {
    let body = r#"
        (local $left i32)
        (local.set $left (i32.const 1000))
        (loop
            (call $print (i32.const 2060) (i32.const 10))
            (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (call $ok (i32.const 2048) (i32.const 11))"#;
    let parts = format!(r#"{FIELDS} (data (i32.const 2060) "123456789\n")"#);
    let world = World::saving();
    let limits = Limits { log_bytes: 25, ..Limits::default() };
    let outcome = try_run(core(&parts, body), job(limits), world.clone(), Stop::default()).unwrap();
    assert_eq!(outcome.ended, Ended::Completed);
    assert_eq!(outcome.usage.log_bytes, 10_000);
    let marker = "output cut: the first 25 bytes are kept, the rest is not";
    assert_eq!(world.printed(), ["123456789", "123456789", "12345", marker]);
    assert_eq!(world.lines.lock().unwrap().last().unwrap().stream, Stream::Host);
}

fn memories_are_limited_in_sum() {
    let body = "
        (if (i32.eq (memory.grow (i32.const 5)) (i32.const -1)) (then unreachable))
        (if (i32.eq (memory.grow $second (i32.const 5)) (i32.const -1)) (then unreachable))
        (call $ok (i32.const 2048) (i32.const 11))";
    let wasm = || core(&format!("{FIELDS} (memory $second 1)"), body);
    // Four and one pages to begin with, and ten grown.
    let enough = run(wasm(), Limits { memory_bytes: 20 << 16, ..Limits::default() });
    assert_eq!(enough.ended, Ended::Completed);
    let peak = enough.usage.memory_peak_bytes;
    assert!(peak >= 15 << 16, "{peak}");
    let exact = run(wasm(), Limits { memory_bytes: peak, ..Limits::default() });
    assert_eq!(exact.ended, Ended::Completed);
    let short = run(wasm(), Limits { memory_bytes: peak - 1, ..Limits::default() });
    assert_eq!(short.failure().unwrap().code, Code::LimitMemory);
}

fn a_memory_too_large_to_begin_with() {
    let outcome = run(core("", "(i32.const 0)"), Limits { memory_bytes: 1 << 16, ..Limits::default() });
    assert_eq!(outcome.failure().unwrap().code, Code::LimitMemory);
}
