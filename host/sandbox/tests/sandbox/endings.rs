//! Each way to end: its code, its sentence, and what is kept.

use walker_model::{Code, Ended, Limits};
use walker_sandbox::{HostFault, Problem, Refusal, Request, Stop};

use crate::Test;
use crate::guest::{core, importing};
use crate::world::{RUNTIME, SANDBOX, World, admit, job, run, try_run};

pub(crate) const TESTS: &[Test] = &[
    ("completes", completes),
    ("each_failure_has_its_code", each_failure_has_its_code),
    ("stack_is_told_and_bounded_below_the_engine_s", stack_is_told_and_bounded_below_the_engine_s),
    ("more_core_instances_than_allowed_never_begin", more_core_instances_than_allowed_never_begin),
    ("keeps_what_was_reported_and_saved", keeps_what_was_reported_and_saved),
    ("tells_a_guest_of_problems", tells_a_guest_of_problems),
    ("host_faults_are_not_outcomes", host_faults_are_not_outcomes),
    ("names_in_a_backtrace_are_cut", names_in_a_backtrace_are_cut),
    ("what_goes_wrong_in_the_start_is_the_guest_s_own", what_goes_wrong_in_the_start_is_the_guest_s_own),
    ("the_seed_decides_random_numbers", the_seed_decides_random_numbers),
];

const FIELDS: &str = r#"(data (i32.const 2048) "{\"value\":1}")"#;

fn completes() {
    let world = World::saving();
    let body = r#"
        (drop (call $report (local.get $id) (i32.const 0)))
        (drop (call $report (i32.const 2048) (i32.const 11)))
        (drop (call $status (i32.const 201)))
        (drop (call $custom (i32.const 2048) (i32.const 11)))
        (call $print (i32.const 256) (i32.const 4))
        (call $ok (i32.const 2048) (i32.const 11))"#;
    let outcome = try_run(core(FIELDS, body), job(Limits::default()), world.clone(), Stop::default()).unwrap();
    assert_eq!(outcome.ended, Ended::Completed);
    assert_eq!(outcome.fields.unwrap().as_str(), r#"{"value":1}"#);
    assert_eq!(outcome.reports.len(), 1, "an empty text is not JSON, and was refused");
    assert_eq!(outcome.http_status, Some(201));
    assert_eq!(outcome.custom.unwrap().as_str(), r#"{"value":1}"#);
    assert_eq!(world.printed(), ["test"]);
    let usage = outcome.usage;
    assert_eq!((usage.reports, usage.report_bytes, usage.host_calls, usage.log_bytes), (1, 11, 4, 4));
    assert!(usage.fuel > 0 && usage.duration_ms > 0.0);
    assert!((131_072..1_000_000).contains(&usage.memory_peak_bytes), "{usage:?}");
}

fn each_failure_has_its_code() {
    let check = |parts: &str, body: &str, code: Code, message: &str| {
        let limits = Limits { fuel: 50_000_000, memory_bytes: 1 << 20, table_elements: 100, ..Limits::default() };
        let outcome = run(core(parts, body), limits);
        let failure = outcome.failure().unwrap_or_else(|| panic!("{body} completed"));
        assert_eq!((failure.code, failure.message.as_str()), (code, message), "{body}");
        let framed = !matches!(code, Code::GuestError);
        assert_eq!(!failure.frames.is_empty(), framed, "{body}: {:?}", failure.frames);
    };
    let text = r#"(data (i32.const 2048) "no luckboom")"#;
    check(text, "(call $err (i32.const 2048) (i32.const 7))", Code::GuestError, "no luck");
    check(
        text,
        "(call $ok (i32.const 2048) (i32.const 7))",
        Code::GuestError,
        "returned fields that are not JSON: expected ident at line 1 column 2",
    );
    check(
        text,
        "(call $panicked (i32.const 2055) (i32.const 4) (i32.const 256) (i32.const 4) (i32.const 7)) unreachable",
        Code::GuestPanic,
        "panicked at test:7: boom",
    );
    check("", "unreachable", Code::GuestTrap, "trapped: it reached code that it holds unreachable (an abort, perhaps)");
    check("", "(i32.load (i32.const -8))", Code::GuestTrap, "trapped: it read or wrote outside its memory");
    check("", "(i32.div_u (i32.const 1) (i32.const 0))", Code::GuestTrap, "trapped: it divided by zero");
    check(
        "",
        "(call $exit (i32.const 3)) (i32.const 0)",
        Code::GuestExit,
        "called exit with a failure code instead of returning",
    );
    check(
        "",
        "(loop br 0) (i32.const 0)",
        Code::LimitFuel,
        "used up its 50000000 units of fuel; use less, or have limit fuel raised",
    );
    check(
        "(func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))",
        "(call $deep (i32.const 0))",
        Code::LimitStack,
        "its calls nested too deeply and used up its 1048576 bytes of stack; use less, or have limit stack_bytes raised",
    );
    check(
        "",
        "(if (i32.eq (memory.grow (i32.const 64)) (i32.const -1)) (then unreachable)) (i32.const 0)",
        Code::LimitMemory,
        "needed more than its 1048576 bytes of memory; use less, or have limit memory_bytes raised",
    );
    check(
        "(table $t 1 funcref)",
        "(if (i32.eq (table.grow $t (ref.null func) (i32.const 500)) (i32.const -1)) (then unreachable)) (i32.const 0)",
        Code::LimitMemory,
        "needed more than its 100 table elements; use less, or have limit table_elements raised",
    );
}

fn stack_is_told_and_bounded_below_the_engine_s() {
    let recursion = "(func $deep (param i32) (result i32)
        (if (result i32) (i32.eqz (local.get 0))
            (then (i32.const 0))
            (else (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (i32.const 1)))))";
    let deep = |depth: u32, stack_bytes| {
        let body = format!("(drop (call $deep (i32.const {depth}))) (call $ok (i32.const 2048) (i32.const 11))");
        let outcome = run(core(&format!("{FIELDS}{recursion}"), &body), Limits { stack_bytes, ..Limits::default() });
        (outcome.failure().map(|failure| failure.code), outcome.usage.stack_bytes)
    };
    assert_eq!(deep(10, 1 << 20), (None, 64 << 10), "what is always kept");
    let (ended, used) = deep(8_000, 1 << 20);
    assert_eq!(ended, None);
    assert!((128 << 10..1 << 20).contains(&used) && used % (4 << 10) == 0, "{used}");
    // The same run where less is allowed, and where exactly that is.
    assert_eq!(deep(8_000, used - 1), (Some(Code::LimitStack), used - 1));
    assert_eq!(deep(8_000, used), (None, used));
    let (ended, used) = deep(1 << 30, 1 << 20);
    assert!(ended == Some(Code::LimitStack) && (1_000 << 10..=1 << 20).contains(&used), "{ended:?} {used}");
    // Nothing of it is left for the next.
    assert_eq!(deep(10, 1 << 20), (None, 64 << 10));
}

fn more_core_instances_than_allowed_never_begin() {
    let limited = |core_instances| {
        run(core(FIELDS, "(call $ok (i32.const 2048) (i32.const 11))"), Limits { core_instances, ..Limits::default() })
    };
    let whole = limited(256);
    assert_eq!(whole.ended, Ended::Completed);
    // The module, and what adapts it to the component model.
    let count = whole.usage.core_instances;
    assert!((2..10).contains(&count), "{count}");
    assert_eq!(limited(count).ended, Ended::Completed);
    let failed = limited(count - 1);
    let failure = failed.failure().unwrap();
    let message = format!(
        "its module consists of {count} core instances, and may of {}; use less, or have limit core_instances raised",
        count - 1
    );
    assert_eq!((failure.code, &failure.message), (Code::LimitInstances, &message));
    assert_eq!((failed.usage.core_instances, failed.usage.fuel), (count, 0));
}

fn keeps_what_was_reported_and_saved() {
    let world = World::saving();
    let body = "
        (drop (call $report (i32.const 2048) (i32.const 11)))
        (drop (call $save (i32.const 2048) (i32.const 11)))
        (drop (call $report (i32.const 2057) (i32.const 1)))
        unreachable";
    let mut job = job(Limits::default());
    job.reports = vec![walker_model::Json::parse("0".into()).unwrap()];
    let outcome = try_run(core(FIELDS, body), job, world.clone(), Stop::default()).unwrap();
    assert_eq!(outcome.failure().unwrap().code, Code::GuestTrap);
    let reports: Vec<&str> = outcome.reports.iter().map(|report| report.as_str()).collect();
    assert_eq!(reports, ["0", r#"{"value":1}"#, "1"]);
    assert_eq!(outcome.fields.unwrap().as_str(), r#"{"value":1}"#);
    let asked = world.asked.lock().unwrap();
    let [Request::Save { fields, reports }] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((fields.as_str(), reports.len()), (r#"{"value":1}"#, 2));
}

fn tells_a_guest_of_problems() {
    // Completes only if every call was refused.
    let check = |call: &str| {
        let world = World::new(|_| {
            let problem = Problem { code: "walker.not_found".into(), message: "there is none".into() };
            Box::pin(async { Err(Refusal::Problem(problem)) })
        });
        let body = format!("(if (i32.eqz {call}) (then unreachable)) (call $ok (i32.const 2048) (i32.const 11))");
        let outcome = try_run(core(FIELDS, &body), job(Limits::default()), world, Stop::default()).unwrap();
        assert_eq!(outcome.ended, Ended::Completed, "{call}");
        assert_eq!((outcome.reports.len(), outcome.http_status, outcome.custom), (0, None, None), "{call}");
    };
    check("(call $read (i32.const 256) (i32.const 4))");
    check("(call $save (i32.const 2048) (i32.const 11))");
    check("(call $save (i32.const 2048) (i32.const 10))");
    check("(call $report (i32.const 2048) (i32.const 10))");
    check("(call $custom (i32.const 2048) (i32.const 10))");
    check("(call $status (i32.const 99))");
    check("(call $status (i32.const 600))");
}

fn host_faults_are_not_outcomes() {
    let body = "(drop (call $save (i32.const 2048) (i32.const 11))) (call $ok (i32.const 2048) (i32.const 11))";
    let run = |world| try_run(core(FIELDS, body), job(Limits::default()), world, Stop::default());
    let fault = run(World::new(|_| Box::pin(async { Err(Refusal::Fault("the database is gone".into())) })));
    assert!(matches!(fault, Err(HostFault::Failed(message)) if message == "the database is gone"));
    let fenced = run(World::new(|_| Box::pin(async { Err(Refusal::Fenced) })));
    assert!(matches!(fenced, Err(HostFault::Fenced)));
}

fn names_in_a_backtrace_are_cut() {
    // WebAssembly takes no names above 100,000 bytes.
    let name = "f".repeat(90_000);
    let parts = format!("(func ${name} unreachable)");
    let outcome = run(core(&parts, &format!("(call ${name}) (i32.const 0)")), Limits::default());
    let failure = outcome.failure().unwrap();
    let kept = failure.frames[0].function.as_deref().unwrap();
    assert!(kept.starts_with("fff") && kept.len() < 600, "{} bytes", kept.len());
}

/// A start function runs before anything is called, and may ask the host for what needs no memory. This one does its worst
/// in one of sixteen starts, since it cannot tell whether it is only being asked what it defines.
fn what_goes_wrong_in_the_start_is_the_guest_s_own() {
    let world = "
        package test:start;
        world start {
            include walker:guest/module@0.1.0;
            import wasi:random/random@0.2.0;
            import wasi:io/poll@0.2.0;
        }
        package wasi:random@0.2.0 { interface random { get-random-u64: func() -> u64; } }
        package wasi:io@0.2.0 { interface poll { resource pollable { block: func(); } } }";
    let imports = r#"
        (import "wasi:random/random@0.2.0" "get-random-u64" (func $dice (result i64)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#;
    let check = |worst: &str, code: Code, message: &str| {
        let parts = format!(
            "{FIELDS} (start $begin) (func $begin (if (i64.eqz (i64.and (call $dice) (i64.const 15))) (then {worst})))"
        );
        let wasm = importing(world, imports, &parts, "(call $ok (i32.const 2048) (i32.const 11))");
        // Three of four times it behaves when it is asked.
        let admitted = (0..40).find_map(|_| admit(wasm.clone()).ok()).expect("it behaves most of the time");
        let module = SANDBOX.load(&admitted.artifact).unwrap();
        let mut failures = 0;
        for seed in 0..100 {
            let mut job = job(Limits { fuel: 10_000_000, ..Limits::default() });
            job.seed = [seed; 32];
            let ended = RUNTIME.block_on(SANDBOX.run(&module, job, World::saving(), Stop::default()));
            if let Some(failure) = ended.unwrap_or_else(|fault| panic!("{worst}: {fault}")).failure() {
                assert_eq!(failure.code, code, "{worst}: {}", failure.message);
                assert!(failure.message.contains(message), "{worst}: {}", failure.message);
                failures += 1;
            }
        }
        assert!((1..50).contains(&failures), "{worst}: {failures} of 100");
    };
    check("(call $block (i32.const 999))", Code::GuestTrap, "unknown handle index 999");
    check("(loop br 0)", Code::LimitFuel, "used up its 10000000 units of fuel");
    check("unreachable", Code::GuestTrap, "it reached code that it holds unreachable");
}

fn the_seed_decides_random_numbers() {
    // Sixteen letters.
    let body = "
        (drop (call $random (i32.const 2064) (i32.const 16)))
        (v128.store (i32.const 2064) (v128.or (v128.const i64x2 0x4040404040404040 0x4040404040404040)
            (v128.and (v128.const i64x2 0x0f0f0f0f0f0f0f0f 0x0f0f0f0f0f0f0f0f) (v128.load (i32.const 2064)))))
        (i32.store8 (i32.const 2063) (i32.const 34))
        (i32.store8 (i32.const 2080) (i32.const 34))
        (call $ok (i32.const 2063) (i32.const 18))";
    let run = |seed| {
        let mut job = job(Limits::default());
        job.seed = seed;
        try_run(core("", body), job, World::saving(), Stop::default()).unwrap().fields.unwrap()
    };
    assert_eq!(run([1; 32]), run([1; 32]));
    // Each byte of it counts.
    for place in [0, 7, 8, 31] {
        let mut seed = [1; 32];
        seed[place] = 2;
        assert_ne!(run([1; 32]), run(seed), "{place}");
    }
}
