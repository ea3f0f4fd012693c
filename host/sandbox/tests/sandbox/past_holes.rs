//! What went wrong in wasmtime before, tried again: see `docs/advisories.md`.

use walker_model::{Code, Ended, Limits};
use walker_sandbox::Stop;

use crate::Test;
use crate::admission::rejected;
use crate::guest::{contracted, core, text};
use crate::world::{RUNTIME, SANDBOX, World, admit, job, load, run};

pub(crate) const TESTS: &[Test] = &[
    ("a_trap_behind_tail_calls_has_a_backtrace", a_trap_behind_tail_calls_has_a_backtrace),
    ("reads_nothing_beside_what_an_operator_needs", reads_nothing_beside_what_an_operator_needs),
    ("leaves_nothing_to_the_next_run", leaves_nothing_to_the_next_run),
    ("refuses_a_table_beyond_all_bounds", refuses_a_table_beyond_all_bounds),
    ("looks_at_nothing", looks_at_nothing),
    ("limits_what_wasi_gives", limits_what_wasi_gives),
];

/// Fields to end with.
const FIELDS: &str = r#"(data (i32.const 2048) "{}")"#;
const OK: &str = "(call $ok (i32.const 2048) (i32.const 2))";

fn a_trap_behind_tail_calls_has_a_backtrace() {
    let parts = "(func $down (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then unreachable))
        (return_call $down (i32.sub (local.get 0) (i32.const 1))))
      (func $in (param i32) (result i32) (i32.add (call $down (local.get 0)) (i32.const 1)))";
    for depth in [0, 1, 100_000] {
        let outcome = run(core(parts, &format!("(call $in (i32.const {depth}))")), Limits::default());
        let failure = outcome.failure().unwrap();
        assert_eq!(failure.code, Code::GuestTrap);
        let names: Vec<_> = failure.frames.iter().filter_map(|frame| frame.function.as_deref()).collect();
        assert!(names.starts_with(&["down", "in"]), "{depth}: {names:?}");
    }
}

/// The last eight bytes of a memory: what reads sixteen instead faults.
fn reads_nothing_beside_what_an_operator_needs() {
    let check = |operation: &str| {
        let body = format!("(local $last i32) (local.set $last (i32.const 262136)) {operation} {OK}");
        let outcome = run(core(FIELDS, &body), Limits::default());
        assert_eq!(outcome.ended, Ended::Completed, "{operation}");
    };
    let last = "(f64.load (local.get $last))";
    check(&format!("(drop (f64.copysign (f64.const 1) {last}))"));
    check(&format!("(drop (f64.copysign {last} (f64.const 1)))"));
    check(&format!("(drop (f64x2.extract_lane 1 (f64x2.splat {last})))"));
    check(&format!("(drop (f64x2.extract_lane 0 (f64x2.replace_lane 1 (v128.const i64x2 0 0) {last})))"));
    check("(drop (i64x2.extract_lane 1 (v128.load64_splat (local.get $last))))");
    check("(drop (i64x2.extract_lane 0 (v128.load64_zero (local.get $last))))");
    check("(drop (f64.promote_f32 (f32.load (i32.add (local.get $last) (i32.const 4)))))");
}

fn leaves_nothing_to_the_next_run() {
    // Traps when it finds anything, then fills all it can have.
    let parts = "(table $t 10 funcref) (elem declare func $f) (func $f)
      (global $seen (mut i32) (i32.const 0))
      (func $look (local $at i32)
        (if (global.get $seen) (then unreachable))
        (global.set $seen (i32.const 1))
        (drop (memory.grow (i32.const 12)))
        (local.set $at (i32.const 16384))
        (loop
          (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (br_if 0 (i32.lt_u (local.get $at) (i32.const 1048576))))
        (memory.fill (i32.const 16384) (i32.const 0xaa) (i32.const 1032192))
        (drop (table.grow $t (ref.null func) (i32.const 50)))
        (local.set $at (i32.const 0))
        (loop
          (if (i32.eqz (ref.is_null (table.get $t (local.get $at)))) (then unreachable))
          (table.set $t (local.get $at) (ref.func $f))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br_if 0 (i32.lt_u (local.get $at) (i32.const 60)))))";
    let module = load(core(&format!("{FIELDS} {parts}"), &format!("(call $look) {OK}")));
    // More often than there are slots, so that each is used again.
    for _ in 0..100 {
        let outcome =
            RUNTIME.block_on(SANDBOX.run(&module, job(Limits::default()), World::saving(), Stop::default())).unwrap();
        assert_eq!(outcome.ended, Ended::Completed);
    }
}

fn refuses_a_table_beyond_all_bounds() {
    rejected(core("(table 4294967295 funcref)", OK), "table");
    rejected(core("(table 200000 funcref)", OK), "table");
    assert!(admit(core("(table 1000 4294967295 funcref)", OK)).is_ok(), "a large maximum is only a wish");
}

fn looks_at_nothing() {
    let imports = r#"(module
      (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
      (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))"#;
    let bad_descriptor = "(i32.const 8)";
    let body = format!(
        r#"(local $fd i32)
        (loop
          (if (i32.ne (call $prestat (local.get $fd) (i32.const 800)) {bad_descriptor}) (then unreachable))
          (if (i32.eqz (call $open (local.get $fd) (i32.const 0) (i32.const 256) (i32.const 4) (i32.const 0) (i64.const 0)
              (i64.const 0) (i32.const 0) (i32.const 800))) (then unreachable))
          (if (i32.eqz (call $list (local.get $fd) (i32.const 900) (i32.const 100) (i64.const 0) (i32.const 800)))
            (then unreachable))
          (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
          (br_if 0 (i32.lt_u (local.get $fd) (i32.const 16))))
        (drop (call $environ (i32.const 800) (i32.const 804)))
        (if (i32.load (i32.const 800)) (then unreachable))
        {OK}"#
    );
    let wasm = contracted(&text("{}", FIELDS, &body).replacen("(module", imports, 1));
    let outcome = run(wasm, Limits::default());
    assert_eq!(outcome.ended, Ended::Completed, "{:?}", outcome.failure());
}

fn limits_what_wasi_gives() {
    let limits = Limits { host_calls: 1000, fuel: 2_000_000_000, log_bytes: 10_000, ..Limits::default() };
    let again = |call: &str| format!("(loop {call} br 0) (i32.const 0)");
    for (call, codes) in [
        // So many at once are more than the adapter takes.
        ("(drop (call $random (i32.const 16384) (i32.const 200000)))", &[Code::GuestTrap][..]),
        ("(drop (call $random (i32.const 16384) (i32.const 1024)))", &[Code::LimitCalls, Code::LimitFuel]),
        ("(call $print (i32.const 0) (i32.const 200000))", &[Code::LimitCalls, Code::LimitFuel, Code::LimitTime]),
        ("(call $sleep (i64.const 0))", &[Code::LimitCalls, Code::LimitFuel, Code::LimitTime]),
    ] {
        let outcome = run(core("", &again(call)), limits);
        let code = outcome.failure().unwrap().code;
        assert!(codes.contains(&code), "{call}: {code:?}");
    }
}
