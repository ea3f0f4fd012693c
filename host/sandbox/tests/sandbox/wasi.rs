//! WASI as a guest finds it: an empty world, coarse clocks, and nothing in it for nothing.

use walker_model::{Code, Ended, Json, Limits, Outcome};
use walker_sandbox::{Config, Job, Module, Sandbox, Stop};

use crate::Test;
use crate::guest::importing;
use crate::world::{RUNTIME, SANDBOX, World, admit, config, job, load};

pub(crate) const TESTS: &[Test] = &[
    ("the_system_is_empty", the_system_is_empty),
    ("clocks_go_in_steps", clocks_go_in_steps),
    ("every_call_costs_fuel", every_call_costs_fuel),
];

const FIELDS: &str = r#"(data (i32.const 2048) "{}")"#;
const OK: &str = "(call $ok (i32.const 2048) (i32.const 2))";

/// The part of WASI 0.2 that these guests use, without the adapter of preview 1 between.
const WASI: &str = "
package test:wasi;
world everything {
    include walker:guest/module@0.1.0;
    import wasi:io/poll@0.2.0;
    import wasi:io/streams@0.2.0;
    import wasi:clocks/monotonic-clock@0.2.0;
    import wasi:clocks/wall-clock@0.2.0;
    import wasi:random/random@0.2.0;
    import wasi:random/insecure@0.2.0;
    import wasi:random/insecure-seed@0.2.0;
    import wasi:cli/environment@0.2.0;
    import wasi:cli/stdin@0.2.0;
    import wasi:cli/stdout@0.2.0;
    import wasi:cli/stderr@0.2.0;
    import wasi:cli/terminal-stdin@0.2.0;
    import wasi:cli/terminal-stdout@0.2.0;
    import wasi:cli/terminal-stderr@0.2.0;
    import wasi:filesystem/preopens@0.2.0;
    import wasi:sockets/instance-network@0.2.0;
    import wasi:sockets/ip-name-lookup@0.2.0;
    import wasi:sockets/tcp-create-socket@0.2.0;
    import wasi:sockets/udp-create-socket@0.2.0;
}
package wasi:io@0.2.0 {
    interface error { resource error; }
    interface poll {
        resource pollable { ready: func() -> bool; block: func(); }
        poll: func(in: list<borrow<pollable>>) -> list<u32>;
    }
    interface streams {
        use error.{error};
        use poll.{pollable};
        variant stream-error { last-operation-failed(error), closed }
        resource input-stream {
            read: func(len: u64) -> result<list<u8>, stream-error>;
            subscribe: func() -> pollable;
        }
        resource output-stream {
            check-write: func() -> result<u64, stream-error>;
            flush: func() -> result<_, stream-error>;
            subscribe: func() -> pollable;
        }
    }
}
package wasi:clocks@0.2.0 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.0.{pollable};
        type instant = u64;
        type duration = u64;
        now: func() -> instant;
        resolution: func() -> duration;
        subscribe-instant: func(when: instant) -> pollable;
        subscribe-duration: func(when: duration) -> pollable;
    }
    interface wall-clock {
        record datetime { seconds: u64, nanoseconds: u32 }
        now: func() -> datetime;
        resolution: func() -> datetime;
    }
}
package wasi:random@0.2.0 {
    interface random { get-random-u64: func() -> u64; }
    interface insecure { get-insecure-random-u64: func() -> u64; }
    interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; }
}
package wasi:cli@0.2.0 {
    interface environment {
        get-environment: func() -> list<tuple<string, string>>;
        get-arguments: func() -> list<string>;
        initial-cwd: func() -> option<string>;
    }
    interface stdin { use wasi:io/streams@0.2.0.{input-stream}; get-stdin: func() -> input-stream; }
    interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }
    interface stderr { use wasi:io/streams@0.2.0.{output-stream}; get-stderr: func() -> output-stream; }
    interface terminal-input { resource terminal-input; }
    interface terminal-output { resource terminal-output; }
    interface terminal-stdin { use terminal-input.{terminal-input}; get-terminal-stdin: func() -> option<terminal-input>; }
    interface terminal-stdout {
        use terminal-output.{terminal-output};
        get-terminal-stdout: func() -> option<terminal-output>;
    }
    interface terminal-stderr {
        use terminal-output.{terminal-output};
        get-terminal-stderr: func() -> option<terminal-output>;
    }
}
package wasi:filesystem@0.2.0 {
    interface types { resource descriptor; }
    interface preopens { use types.{descriptor}; get-directories: func() -> list<tuple<descriptor, string>>; }
}
package wasi:sockets@0.2.0 {
    interface network {
        resource network;
        enum error-code {
            unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout, concurrency-conflict,
            not-in-progress, would-block, invalid-state, new-socket-limit, address-not-bindable, address-in-use,
            remote-unreachable, connection-refused, connection-reset, connection-aborted, datagram-too-large,
            name-unresolvable, temporary-resolver-failure, permanent-resolver-failure,
        }
        enum ip-address-family { ipv4, ipv6 }
    }
    interface instance-network { use network.{network}; instance-network: func() -> network; }
    interface ip-name-lookup {
        use network.{network, error-code};
        resource resolve-address-stream;
        resolve-addresses: func(network: borrow<network>, name: string) -> result<resolve-address-stream, error-code>;
    }
    interface tcp { resource tcp-socket; }
    interface tcp-create-socket {
        use network.{error-code, ip-address-family};
        use tcp.{tcp-socket};
        create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
    }
    interface udp { resource udp-socket; }
    interface udp-create-socket {
        use network.{error-code, ip-address-family};
        use udp.{udp-socket};
        create-udp-socket: func(address-family: ip-address-family) -> result<udp-socket, error-code>;
    }
}";

/// What of it a guest can call, each under its last name.
const IMPORTS: &str = r#"
    (import "wasi:io/poll@0.2.0" "poll" (func $poll-list (param i32 i32 i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.ready" (func $ready (param i32) (result i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop-pollable (param i32)))
    (import "wasi:io/streams@0.2.0" "[method]input-stream.read" (func $read-stream (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.0" "[resource-drop]input-stream" (func $drop-input (param i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.check-write" (func $check-write (param i32 i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.flush" (func $flush (param i32 i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.subscribe" (func $subscribe-output (param i32) (result i32)))
    (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop-output (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "resolution" (func $resolution (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-instant" (func $at (param i64) (result i32)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $in (param i64) (result i32)))
    (import "wasi:clocks/wall-clock@0.2.0" "now" (func $wall-now (param i32)))
    (import "wasi:clocks/wall-clock@0.2.0" "resolution" (func $wall-resolution (param i32)))
    (import "wasi:random/random@0.2.0" "get-random-u64" (func $random-u64 (result i64)))
    (import "wasi:random/insecure@0.2.0" "get-insecure-random-u64" (func $insecure-u64 (result i64)))
    (import "wasi:random/insecure-seed@0.2.0" "insecure-seed" (func $insecure-seed (param i32)))
    (import "wasi:cli/environment@0.2.0" "get-environment" (func $environment (param i32)))
    (import "wasi:cli/environment@0.2.0" "get-arguments" (func $arguments (param i32)))
    (import "wasi:cli/environment@0.2.0" "initial-cwd" (func $cwd (param i32)))
    (import "wasi:cli/stdin@0.2.0" "get-stdin" (func $stdin (result i32)))
    (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
    (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
    (import "wasi:cli/terminal-stdin@0.2.0" "get-terminal-stdin" (func $terminal-stdin (param i32)))
    (import "wasi:cli/terminal-stdout@0.2.0" "get-terminal-stdout" (func $terminal-stdout (param i32)))
    (import "wasi:cli/terminal-stderr@0.2.0" "get-terminal-stderr" (func $terminal-stderr (param i32)))
    (import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $directories (param i32)))
    (import "wasi:sockets/instance-network@0.2.0" "instance-network" (func $network (result i32)))
    (import "wasi:sockets/network@0.2.0" "[resource-drop]network" (func $drop-network (param i32)))
    (import "wasi:sockets/ip-name-lookup@0.2.0" "resolve-addresses" (func $resolve (param i32 i32 i32 i32)))
    (import "wasi:sockets/tcp-create-socket@0.2.0" "create-tcp-socket" (func $tcp (param i32 i32)))
    (import "wasi:sockets/udp-create-socket@0.2.0" "create-udp-socket" (func $udp (param i32 i32)))"#;

fn the_system_is_empty() {
    // Each traps when there is anything.
    let no_list =
        |call: &str| format!("(call {call} (i32.const 800)) (if (i32.load (i32.const 804)) (then unreachable))");
    let none =
        |call: &str| format!("(call {call} (i32.const 800)) (if (i32.load8_u (i32.const 800)) (then unreachable))");
    // An error of this number in its enumeration.
    let refused = |call: &str, code: u8| {
        format!(
            "{call} (if (i32.ne (i32.load8_u (i32.const 800)) (i32.const 1)) (then unreachable))
             (if (i32.ne (i32.load8_u (i32.const 804)) (i32.const {code})) (then unreachable))"
        )
    };
    let (access_denied, permanent_resolver_failure, closed) = (1, 20, 1);
    let bodies = [
        no_list("$environment"),
        no_list("$arguments"),
        no_list("$directories"),
        none("$cwd"),
        none("$terminal-stdin"),
        none("$terminal-stdout"),
        none("$terminal-stderr"),
        refused("(call $read-stream (call $stdin) (i64.const 100) (i32.const 800))", closed),
        refused("(call $tcp (i32.const 0) (i32.const 800))", access_denied),
        refused("(call $tcp (i32.const 1) (i32.const 800))", access_denied),
        refused("(call $udp (i32.const 0) (i32.const 800))", access_denied),
        refused("(call $udp (i32.const 1) (i32.const 800))", access_denied),
        refused(
            "(call $resolve (call $network) (i32.const 2052) (i32.const 9) (i32.const 800))",
            permanent_resolver_failure,
        ),
    ];
    let parts = format!(r#"{FIELDS} (data (i32.const 2052) "localhost")"#);
    let module = load(importing(WASI, IMPORTS, &parts, &format!("{} {OK}", one_of(&bodies))));
    for (case, body) in bodies.iter().enumerate() {
        let outcome = run_case(&module, case, 0, Limits::default());
        assert_eq!(outcome.ended, Ended::Completed, "{body}");
    }
}

/// One of these, by the number of the attempt: one module to compile instead of many.
fn one_of(bodies: &[String]) -> String {
    let case =
        |(case, body): (usize, &String)| format!("(if (i32.eq (local.get $attempt) (i32.const {case})) (then {body}))");
    bodies.iter().enumerate().map(case).collect()
}

/// Runs such a module, with fields of so many bytes at least.
fn run_case(module: &Module, case: usize, bytes: usize, limits: Limits) -> Outcome {
    let fields = format!("{:?}", "x".repeat(bytes.saturating_sub(2)));
    let job = Job { attempt: case as u16, fields: Json::parse(fields).unwrap(), ..job(limits) };
    RUNTIME.block_on(SANDBOX.run(module, job, World::saving(), Stop::default())).unwrap()
}

fn clocks_go_in_steps() {
    for step_us in [1_000, 20_000] {
        let step = step_us * 1_000;
        let is_whole = |time: &str| {
            format!("(if (i64.ne (i64.rem_u {time} (i64.const {step})) (i64.const 0)) (then unreachable))")
        };
        let wall = "(i64.extend_i32_u (i32.load (i32.const 808)))";
        let body = format!(
            "(local $begun i64) (local $now i64)
             (if (i64.ne (call $resolution) (i64.const {step})) (then unreachable))
             (call $wall-resolution (i32.const 800))
             (if (i64.ne {wall} (i64.const {step})) (then unreachable))
             ;; From one step to the next, whatever lies between.
             (local.set $begun (call $now))
             (loop
               (local.set $now (call $now))
               {now_is_whole}
               (call $wall-now (i32.const 800))
               {wall_is_whole}
               (br_if 0 (i64.eq (local.get $begun) (local.get $now))))
             {OK}",
            now_is_whole = is_whole("(local.get $now)"),
            wall_is_whole = is_whole(wall),
        );
        let sandbox = Sandbox::new(Config { clock_resolution_us: step_us, ..config() }).unwrap();
        let module = sandbox.load(&admit(importing(WASI, IMPORTS, FIELDS, &body)).unwrap().artifact).unwrap();
        let outcome = RUNTIME.block_on(sandbox.run(&module, job(Limits::default()), World::saving(), Stop::default()));
        assert_eq!(outcome.unwrap().ended, Ended::Completed, "{step_us}");
    }
}

/// Called more often than its fuel pays for: alone, the loop burns a twentieth of it.
fn every_call_costs_fuel() {
    let limits = Limits { fuel: 5_000_000, ..Limits::default() };
    // What happens once, the call, how often it can be made, and how often it cannot.
    let mut cases: Vec<(String, String, usize, usize)> = Vec::new();
    let mut call = |once: &str, call: String| cases.push((once.into(), call, 2_000, 5_100));
    for name in [
        "$wall-now",
        "$wall-resolution",
        "$insecure-seed",
        "$environment",
        "$arguments",
        "$cwd",
        "$terminal-stdin",
        "$terminal-stdout",
        "$terminal-stderr",
        "$directories",
    ] {
        call("", format!("(call {name} (i32.const 800))"));
    }
    for name in ["$now", "$resolution", "$random-u64", "$insecure-u64"] {
        call("", format!("(drop (call {name}))"));
    }
    let timer = "(local.set $handle (call $in (i64.const 0)))";
    call(timer, "(drop (call $ready (local.get $handle)))".into());
    call(timer, "(call $block (local.get $handle))".into());
    let stdout = "(local.set $handle (call $stdout))";
    call(stdout, "(call $check-write (local.get $handle) (i32.const 800))".into());
    call(stdout, "(call $flush (local.get $handle) (i32.const 800))".into());
    let stdin = "(local.set $handle (call $stdin))";
    call(stdin, "(call $read-stream (local.get $handle) (i64.const 1) (i32.const 800))".into());
    for name in ["$tcp", "$udp"] {
        call("", format!("(call {name} (i32.const 0) (i32.const 800))"));
    }
    // What hands out a handle, and dropping that: each a call.
    for (drop, make) in [
        ("$drop-pollable", "(call $at (i64.const 0))"),
        ("$drop-pollable", "(call $in (i64.const 0))"),
        ("$drop-input", "(call $stdin)"),
        ("$drop-output", "(call $stdout)"),
        ("$drop-output", "(call $stderr)"),
        ("$drop-network", "(call $network)"),
    ] {
        cases.push((String::new(), format!("(call {drop} {make})"), 1_000, 2_600));
    }
    // By what they carry: the same timer five hundred times, and a name of 10,000 bytes.
    let listed = format!(
        "{timer}
         (loop
            (i32.store (i32.add (i32.const 32768) (i32.mul (local.get $at) (i32.const 4))) (local.get $handle))
            (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 500))))"
    );
    // The answer is always put in the same place.
    let poll =
        "(global.set $next (i32.const 65536)) (call $poll-list (i32.const 32768) (i32.const 500) (i32.const 800))";
    cases.push((listed, poll.into(), 8, 20));
    let named = "(local.set $handle (call $network)) (memory.fill (i32.const 32768) (i32.const 97) (i32.const 10000))";
    let resolve = "(call $resolve (local.get $handle) (i32.const 32768) (i32.const 10000) (i32.const 800))";
    cases.push((named.into(), resolve.into(), 100, 200));

    let bodies: Vec<String> = cases
        .iter()
        .map(|(once, call, ..)| {
            format!("{once} (loop {call} (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))")
        })
        .collect();
    let body = format!(
        "(local $left i32) (local $handle i32) (local $at i32) (local.set $left (local.get $fields-len)) {} {OK}",
        one_of(&bodies)
    );
    let module = load(importing(WASI, IMPORTS, FIELDS, &body));
    for (case, (_, call, few, many)) in cases.iter().enumerate() {
        let ended = |times| run_case(&module, case, times, limits).failure().map(|failure| failure.code);
        assert_eq!(ended(*few), None, "{call}: it can be called");
        assert_eq!(ended(*many), Some(Code::LimitFuel), "{call}");
    }
}
