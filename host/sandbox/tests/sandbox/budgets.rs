//! Budgets that are not wasmtime's: output, calls, logs, and the sums of memories and tables.

use std::sync::LazyLock;

use walker_model::{Code, Ended, Limits};
use walker_sandbox::{Config, Reply, Sandbox, Stop, Stream};

use crate::Test;
use crate::guest::core;
use crate::world::{RUNTIME, World, admit, config, job, run, try_run};

pub(crate) const TESTS: &[Test] = &[
    ("output_and_calls_end_a_run", output_and_calls_end_a_run),
    ("what_the_host_does_for_a_run_costs_fuel", what_the_host_does_for_a_run_costs_fuel),
    ("saving_the_same_reports_again_is_paid_for", saving_the_same_reports_again_is_paid_for),
    ("a_run_spawns_so_many_and_no_more", a_run_spawns_so_many_and_no_more),
    ("a_refused_growth_is_no_end", a_refused_growth_is_no_end),
    ("tables_are_limited_in_sum", tables_are_limited_in_sum),
    ("usage_stands_beside_every_limit", usage_stands_beside_every_limit),
    ("logs_are_cut_and_the_run_goes_on", logs_are_cut_and_the_run_goes_on),
    ("memories_are_limited_in_sum", memories_are_limited_in_sum),
    ("all_slots_have_room_for_the_largest", all_slots_have_room_for_the_largest),
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
        "produced more than its 3 reports; use less, or have limit reports raised",
    );
    check(
        &again("(call $report (i32.const 2048) (i32.const 11))"),
        Limits { report_bytes: 100, ..limits },
        Code::LimitOutput,
        "produced more than its 100 bytes of reports; use less, or have limit report_bytes raised",
    );
    check(
        &again("(call $save (i32.const 2048) (i32.const 11))"),
        Limits { fields_bytes: 10, ..limits },
        Code::LimitOutput,
        "produced more than its 10 bytes of fields; use less, or have limit fields_bytes raised",
    );
    check(
        "(call $ok (i32.const 2048) (i32.const 11))",
        Limits { fields_bytes: 10, ..limits },
        Code::LimitOutput,
        "produced more than its 10 bytes of fields; use less, or have limit fields_bytes raised",
    );
    check(
        &again("(call $custom (i32.const 2048) (i32.const 11))"),
        Limits { custom_bytes: 10, ..limits },
        Code::LimitOutput,
        "produced more than its 10 bytes of custom value; use less, or have limit custom_bytes raised",
    );
    check(
        &again("(call $status (i32.const 200))"),
        Limits { host_calls: 50, ..limits },
        Code::LimitCalls,
        "asked the host more often than its 50 times; use less, or have limit host_calls raised",
    );
    check(
        "(drop (memory.grow (i32.const 64))) (drop (call $save (i32.const 0) (i32.const 4000000))) (i32.const 0)",
        Limits { host_call_bytes: 1000, ..limits },
        Code::LimitOutput,
        "passed more than 1000 bytes to the host in one call; use less, or have limit host_call_bytes raised",
    );
    // Twenty timers at once, each with a handle of its own.
    check(
        "(local $at i32)
         (local.set $at (i32.const 32768))
         (loop
            (i32.store offset=16 (local.get $at) (i32.const 1))
            (local.set $at (i32.add (local.get $at) (i32.const 48)))
            (br_if 0 (i32.lt_u (local.get $at) (i32.const 33728))))
         (call $poll (i32.const 32768) (i32.const 40960) (i32.const 20) (i32.const 760))",
        Limits { handles: 10, ..limits },
        Code::LimitCalls,
        "held more than its 10 handles; use less, or have limit handles raised",
    );
}

fn what_the_host_does_for_a_run_costs_fuel() {
    let fuel = |body: &str| {
        let outcome = run(core(FIELDS, &format!("{body} (call $ok (i32.const 2048) (i32.const 11))")), Limits::DEFAULT);
        assert_eq!(outcome.ended, Ended::Completed, "{body}");
        outcome.usage.fuel
    };
    let idle = fuel("");
    assert_eq!(idle, fuel(""), "deterministic");
    // Above a thousand for the call, and four for each byte.
    for (body, at_least) in [
        ("(drop (call $status (i32.const 200)))", 1_000),
        ("(drop (call $report (i32.const 2048) (i32.const 11)))", 1_044),
        ("(drop (call $save (i32.const 2048) (i32.const 11)))", 1_044),
        ("(call $print (i32.const 0) (i32.const 1000))", 5_000),
        ("(drop (call $random (i32.const 32768) (i32.const 100000)))", 401_000),
    ] {
        let used = fuel(body) - idle;
        assert!((at_least..at_least + 20_000).contains(&used), "{body}: {used}");
    }
    // A save carries the reports so far once more.
    let report = "(memory.fill (i32.const 32768) (i32.const 49) (i32.const 100000))
        (drop (call $report (i32.const 32768) (i32.const 100000)))";
    let save = "(drop (call $save (i32.const 2048) (i32.const 11)))";
    let used = fuel(&format!("{report} {save} {save}")) - fuel(&format!("{report} {save}"));
    assert!((401_044..421_044).contains(&used), "{used}");
    // A run that lets the host work for it ends where its fuel does, whether in a call or at its end.
    let random = "(drop (call $random (i32.const 32768) (i32.const 100000)))";
    let short = fuel(random) - 1;
    for body in
        [format!("(loop {random} br 0) (i32.const 0)"), format!("{random} (call $ok (i32.const 2048) (i32.const 11))")]
    {
        let outcome = run(core(FIELDS, &body), Limits { fuel: short, ..Limits::DEFAULT });
        let failure = outcome.failure().unwrap_or_else(|| panic!("{body} completed"));
        let message = format!("used up its {short} units of fuel; use less, or have limit fuel raised");
        assert_eq!((failure.code, &failure.message, outcome.usage.fuel), (Code::LimitFuel, &message, short));
    }
}

/// Few bytes from the guest, and many to be written: as many saves as its fuel pays for, not as many calls as it has.
fn saving_the_same_reports_again_is_paid_for() {
    let body = "
        (memory.fill (i32.const 32768) (i32.const 49) (i32.const 200000))
        (drop (call $report (i32.const 32768) (i32.const 200000)))
        (loop (drop (call $save (i32.const 2048) (i32.const 11))) br 0) (i32.const 0)";
    let world = World::saving();
    let outcome = try_run(
        core(FIELDS, body),
        job(Limits { fuel: 10_000_000, ..Limits::DEFAULT }),
        world.clone(),
        Stop::default(),
    )
    .unwrap();
    assert_eq!(outcome.failure().unwrap().code, Code::LimitFuel);
    let saves = world.asked.lock().unwrap().len();
    assert!((5..=12).contains(&saves), "{saves}");
}

fn a_run_spawns_so_many_and_no_more() {
    let world = World::new(|_| Box::pin(async { Ok(Reply::Spawned("w:a:1".into())) }));
    // Twice the host does it, the third time it refuses; then the guest goes on.
    let body = "
        (if (call $spawn (i32.const 2048) (i32.const 11)) (then unreachable))
        (if (call $spawn (i32.const 2048) (i32.const 11)) (then unreachable))
        (if (i32.eqz (call $spawn (i32.const 2048) (i32.const 11))) (then unreachable))
        (call $ok (i32.const 2048) (i32.const 11))";
    let limits = Limits { spawns: 2, ..Limits::DEFAULT };
    let outcome = try_run(core(FIELDS, body), job(limits), world.clone(), Stop::default()).unwrap();
    assert_eq!((outcome.ended, outcome.usage.spawns, outcome.usage.host_calls), (Ended::Completed, 2, 3));
    assert_eq!(world.asked.lock().unwrap().len(), 2);
}

fn a_refused_growth_is_no_end() {
    // Neither gets what it asks for, and both can do without.
    let body = "
        (if (i32.ne (memory.grow (i32.const 1000)) (i32.const -1)) (then unreachable))
        (if (i32.ne (table.grow $t (ref.null func) (i32.const 500)) (i32.const -1)) (then unreachable))
        (call $ok (i32.const 2048) (i32.const 11))";
    let limits = Limits { memory_bytes: 1 << 20, table_elements: 100, ..Limits::DEFAULT };
    let outcome = run(core(&format!("{FIELDS} (table $t 1 funcref)"), body), limits);
    assert_eq!(outcome.ended, Ended::Completed);
}

fn tables_are_limited_in_sum() {
    let body = "
        (if (i32.eq (table.grow $a (ref.null func) (i32.const 50)) (i32.const -1)) (then unreachable))
        (if (i32.eq (table.grow $b (ref.null func) (i32.const 50)) (i32.const -1)) (then unreachable))
        (call $ok (i32.const 2048) (i32.const 11))";
    let wasm = || core(&format!("{FIELDS} (table $a 0 funcref) (table $b 0 funcref)"), body);
    let peak = run(wasm(), Limits::DEFAULT).usage.table_elements;
    assert!((100..200).contains(&peak), "{peak}");
    assert_eq!(run(wasm(), Limits { table_elements: peak, ..Limits::DEFAULT }).ended, Ended::Completed);
    let short = run(wasm(), Limits { table_elements: peak - 1, ..Limits::DEFAULT });
    assert_eq!(short.failure().unwrap().code, Code::LimitMemory);
}

fn usage_stands_beside_every_limit() {
    let body = "
        (drop (call $report (i32.const 2048) (i32.const 11)))
        (drop (call $save (i32.const 2048) (i32.const 11)))
        (drop (call $custom (i32.const 2048) (i32.const 11)))
        (call $print (i32.const 0) (i32.const 1000))
        (call $ok (i32.const 2048) (i32.const 11))";
    let outcome = run(core(FIELDS, body), Limits::DEFAULT);
    assert_eq!(outcome.ended, Ended::Completed);
    let used = |name: &str| outcome.usage.get(name).unwrap();
    for limit in Limits::ALL {
        assert!(used(limit.name) <= limit.default, "{}: {:?}", limit.name, outcome.usage);
    }
    for (name, expect) in [
        ("reports", 1),
        ("report_bytes", 11),
        ("fields_bytes", 11),
        ("custom_bytes", 11),
        ("log_bytes", 1000),
        ("log_bytes_per_second", 1000),
        ("host_calls", 3),
        ("host_call_bytes", 11),
    ] {
        assert_eq!(used(name), expect, "{name}");
    }
    for name in ["fuel", "memory_bytes", "table_elements", "handles"] {
        assert!(used(name) > 0, "{name}");
    }
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
    let limits = Limits { log_bytes: 150, ..Limits::default() };
    let outcome = try_run(core(&parts, body), job(limits), world.clone(), Stop::default()).unwrap();
    assert_eq!(outcome.ended, Ended::Completed);
    assert_eq!(outcome.usage.log_bytes, 10_000);
    let marker = "output cut: limit log_bytes keeps 150 bytes, the rest is left out";
    // The third line would cost 64 of the 22 that are left, and keeps what its own bytes fill.
    assert_eq!(world.printed(), ["123456789", "123456789", "123456789", marker]);
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

/// Whoever fills their slots with components of many memories and tables must not stop the others' runs.
fn all_slots_have_room_for_the_largest() {
    const SLOTS: u32 = 8;
    static ALL_RUN: LazyLock<tokio::sync::Barrier> = LazyLock::new(|| tokio::sync::Barrier::new(SLOTS as usize));
    let waits_for_all = World::new(|_| {
        Box::pin(async {
            ALL_RUN.wait().await;
            Ok(Reply::Saved)
        })
    });
    let body = "(drop (call $save (i32.const 2048) (i32.const 11))) (call $ok (i32.const 2048) (i32.const 11))";
    let parts = format!("{FIELDS} (memory 1) (memory 1) {}", "(table 10 funcref)".repeat(10));
    let sandbox = Sandbox::new(Config { slots: SLOTS, ..config() }).unwrap();
    let module = sandbox.load(&admit(core(&parts, body)).unwrap().artifact).unwrap();
    let runs = (0..SLOTS).map(|_| {
        let (sandbox, module, world) = (sandbox.clone(), module.clone(), waits_for_all.clone());
        RUNTIME.spawn(async move { sandbox.run(&module, job(Limits::default()), world, Stop::default()).await })
    });
    for run in runs.collect::<Vec<_>>() {
        assert_eq!(RUNTIME.block_on(run).unwrap().unwrap().ended, Ended::Completed);
    }
}

fn a_memory_too_large_to_begin_with() {
    let outcome = run(core("", "(i32.const 0)"), Limits { memory_bytes: 1 << 16, ..Limits::default() });
    assert_eq!(outcome.failure().unwrap().code, Code::LimitMemory);
}
