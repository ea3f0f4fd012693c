//! Walkers that want everything there is of something.

use serde_json::json;

use crate::guest::{Guest, OK, call, data, guest};
use crate::scene::{self, Attack};

/// Does something again and again, so many times.
fn times(count: u32, what: &str) -> String {
    format!(
        "(local $left i32) (local.set $left (i32.const {count}))
         (loop {what} (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1))))) {OK}"
    )
}

#[tokio::test]
async fn each_bomb_has_its_end() {
    let host = scene::host_with("[limits]\nfuel = 2000000000").await;
    let client = &host.client;
    let memory = "(loop (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then (br 1)))) unreachable";
    let table = "(loop (if (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)) (then (br 1)))) unreachable";
    let stack = "(func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))";
    let hundred_megabytes = 100_000_000;
    let fill = format!(
        "(i32.store8 (i32.const 4096) (i32.const 34))
         (memory.fill (i32.const 4097) (i32.const 120) (i32.const {hundred_megabytes}))
         (i32.store8 (i32.const {}) (i32.const 34))",
        4097 + hundred_megabytes
    );
    let bombs: [(&'static str, Guest, &'static str, u16, &'static str); 11] = [
        ("memory", Guest { run: memory.into(), ..guest("bomb") }, "limit.memory", 507, "bytes of memory"),
        (
            "table",
            Guest { parts: "(table $t 1 funcref)".into(), run: table.into(), ..guest("bomb") },
            "limit.memory",
            507,
            "table elements",
        ),
        (
            "stack",
            Guest { parts: stack.into(), run: "(call $deep (i32.const 0))".into(), ..guest("bomb") },
            "limit.stack",
            500,
            "nested too deeply",
        ),
        ("fuel", Guest { run: "(loop br 0) unreachable".into(), ..guest("bomb") }, "limit.fuel", 500, "units of fuel"),
        (
            "a million reports of one byte",
            Guest {
                parts: data(4096, b"1"),
                run: times(1_000_000, &format!("(drop {})", call("report", 4096, 1))),
                ..guest("bomb")
            },
            "limit.output",
            507,
            "reports",
        ),
        (
            "one report of 100 MB",
            Guest {
                pages: 1600,
                run: format!("{fill} (drop {}) {OK}", call("report", 4096, hundred_megabytes + 2)),
                ..guest("bomb")
            },
            "limit.output",
            507,
            "",
        ),
        (
            "one save of 100 MB",
            Guest {
                pages: 1600,
                run: format!("{fill} (drop {}) {OK}", call("save", 4096, hundred_megabytes + 2)),
                ..guest("bomb")
            },
            "limit.output",
            507,
            "",
        ),
        (
            "fields of 100 MB",
            Guest {
                pages: 1600,
                run: format!(
                    "{fill} (call $answer (i32.const 0) (i32.const 4096) (i32.const {}))",
                    hundred_megabytes + 2
                ),
                ..guest("bomb")
            },
            "limit.output",
            507,
            "",
        ),
        (
            "an error of 100 MB",
            Guest {
                pages: 1600,
                run: format!(
                    "{fill} (call $answer (i32.const 1) (i32.const 4096) (i32.const {}))",
                    hundred_megabytes + 2
                ),
                ..guest("bomb")
            },
            "limit.output",
            507,
            "",
        ),
        (
            "a custom value of 100 MB",
            Guest {
                pages: 1600,
                run: format!("{fill} (drop {}) {OK}", call("custom", 4096, hundred_megabytes + 2)),
                ..guest("bomb")
            },
            "limit.output",
            507,
            "",
        ),
        (
            "calls",
            Guest { run: times(1_000_000, "(drop (call $status (i32.const 200)))"), ..guest("bomb") },
            "limit.calls",
            500,
            "calls",
        ),
    ];
    for (what, guest, code, status, said) in bombs {
        scene::ends(client, Attack { what, guest, ends: Some((code, status)), said }).await;
    }
    host.stop().await;
}

/// Calls that each hand out a handle which is never dropped.
const HANDLES: &str = "
package hostile:handles;
world handles {
    include walker:guest/module@0.1.0;
    import wasi:clocks/monotonic-clock@0.2.0;
}
package wasi:io@0.2.0 { interface poll { resource pollable; } }
package wasi:clocks@0.2.0 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.0.{pollable};
        type duration = u64;
        subscribe-duration: func(when: duration) -> pollable;
    }
}";

#[tokio::test]
async fn handles_and_logs_are_bounded_too() {
    let host = scene::host_with("[limits]\nfuel = 5000000000").await;
    let client = &host.client;
    let handles = Guest {
        world: Some(HANDLES),
        imports: r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))"#.into(),
        run: times(1_000_000, "(drop (call $subscribe (i64.const 1000000000)))"),
        ..guest("bomb")
    };
    scene::ends(client, Attack { what: "handles", guest: handles, ends: Some(("limit.calls", 500)), said: "handles" })
        .await;
    // 256 MB without an end of line, in pieces of 64 KiB.
    let logs =
        Guest { pages: 4, run: times(4_000, "(call $print (i32.const 65536) (i32.const 65536))"), ..guest("bomb") };
    let view = scene::ends(client, Attack { what: "logs", guest: logs, ends: None, said: "" }).await;
    assert_eq!(view["run"]["usage"]["log_bytes"], 4_000 * 65_536, "all is counted: {view}");
    let id = view["id"].as_str().unwrap();
    let printed = client.printed(id).await;
    let kept: usize = printed.iter().map(String::len).sum();
    assert!(kept < 4 << 20, "{kept}");
    let mut after = 0;
    loop {
        let page = client.get(&format!("/walkers/{id}/logs?after={after}")).await.expect(200);
        let lines = page["logs"].as_array().unwrap().clone();
        let last = lines.last().expect("the marker comes before the end");
        after = last["seq"].as_i64().unwrap();
        if last["stream"] == json!("host") {
            break;
        }
    }
    host.stop().await;
}
