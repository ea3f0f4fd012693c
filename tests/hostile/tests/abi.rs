//! Guests that break the ABI between component and host, or use it in ways that no compiler would.

use serde_json::json;

use crate::guest::{DESCRIPTION, Guest, OK, SPIN, call, data, guest};
use crate::scene::{self, Attack};

const TRAP: Option<(&str, u16)> = Some(("guest.trap", 500));
/// Not UTF-8: a byte that never occurs in it, half a character, a surrogate, too many bytes for one character.
const NOT_UTF8: [&[u8]; 4] = [b"\"\xff\"", b"\"\xc3", b"\"\xed\xa0\x80\"", b"\"\xf8\x88\x80\x80\x80\""];
/// The import that only this needs.
const CALL: &str =
    r#"(import "walker:guest/walkers@0.1.0" "call" (func $import-call (param i32 i32 i32 i32 i32 i32 i32 i32)))"#;

#[tokio::test]
async fn a_broken_abi_is_the_guests_own_trap() {
    let host = scene::host_with("").await;
    let client = &host.client;
    let polite = guest("breaks");
    for bytes in NOT_UTF8 {
        for import in ["report", "save", "custom", "read"] {
            let run = format!("(drop {}) {OK}", call(import, 4096, bytes.len()));
            let guest = Guest { parts: data(4096, bytes), run, ..polite.clone() };
            scene::ends(client, Attack { what: import, guest, ends: TRAP, said: "utf-8" }).await;
        }
        // Where a call takes several texts: each of them.
        let bad = format!("(i32.const 4096) (i32.const {})", bytes.len());
        let bad = bad.as_str();
        let good = "(i32.const 2048) (i32.const 2)";
        for (what, [walker, fields, node]) in
            [("walker", [bad, good, good]), ("fields", [good, bad, good]), ("node", [good, good, bad])]
        {
            for import in ["spawn", "call"] {
                let run =
                    format!("(call $import-{import} {walker} {fields} (i32.const 1) {node} (i32.const 544)) {OK}");
                let guest = Guest { parts: data(4096, bytes), imports: CALL.into(), run, ..polite.clone() };
                scene::ends(client, Attack { what, guest, ends: TRAP, said: "utf-8" }).await;
            }
        }
        for (what, texts) in [("a panic's message", [bad, good]), ("a panic's file", [good, bad])] {
            let run = format!("(call $panicked {} (i32.const 1)) {OK}", texts.join(" "));
            let guest = Guest { parts: data(4096, bytes), run, ..polite.clone() };
            scene::ends(client, Attack { what, guest, ends: TRAP, said: "utf-8" }).await;
        }
        for discriminant in [0, 1] {
            let run = format!("(call $answer (i32.const {discriminant}) (i32.const 4096) (i32.const {}))", bytes.len());
            let guest = Guest { parts: data(4096, bytes), run, ..polite.clone() };
            scene::ends(client, Attack { what: "answer", guest, ends: TRAP, said: "utf-8" }).await;
        }
    }
    let answer = |parts: &str| format!("(call $answer {parts})");
    for (what, run) in [
        ("a text outside memory", format!("(drop {}) {OK}", call("report", 0x7fff_0000, 8))),
        ("a text that wraps around", format!("(drop {}) {OK}", call("report", 0xffff_fff0, 64))),
        (
            "a result area outside memory",
            "(call $import-report (i32.const 2048) (i32.const 2) (i32.const -4)) unreachable".into(),
        ),
        (
            "a result area out of line",
            "(call $import-report (i32.const 2048) (i32.const 2) (i32.const 545)) unreachable".into(),
        ),
        ("an answer outside memory", "(i32.const -4)".into()),
        ("an answer out of line", "(i32.const 513)".into()),
        ("a variant that does not exist", answer("(i32.const 7) (i32.const 2048) (i32.const 2)")),
        ("fields outside memory", answer("(i32.const 0) (i32.const -16) (i32.const 64)")),
        ("fields as long as everything", answer("(i32.const 0) (i32.const 0) (i32.const -1)")),
    ] {
        scene::ends(client, Attack { what, guest: Guest { run, ..polite.clone() }, ends: TRAP, said: "" }).await;
    }
    for (what, realloc) in [
        ("memory for the host outside memory", "(i32.const -8)"),
        ("memory for the host that reaches outside", "(i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 1))"),
        ("a trap in cabi_realloc", "unreachable"),
        ("a call of the host in cabi_realloc", "(drop (call $report (i32.const 2048) (i32.const 2))) unreachable"),
    ] {
        let guest = Guest { realloc: realloc.into(), ..polite.clone() };
        scene::ends(client, Attack { what, guest, ends: TRAP, said: "" }).await;
    }
    for (what, post) in [
        ("a trap in cabi_post", "unreachable"),
        ("a call of the host in cabi_post", "(drop (call $report (i32.const 2048) (i32.const 2)))"),
    ] {
        let guest = Guest { post: post.into(), ..polite.clone() };
        scene::ends(client, Attack { what, guest, ends: TRAP, said: "" }).await;
    }
    // Over what it holds, but never outside: that harms the guest alone.
    let guest = Guest { realloc: "(i32.const 0)".into(), ..polite.clone() };
    scene::ends(client, Attack { what: "all allocations in one place", guest, ends: None, said: "" }).await;
    host.stop().await;
}

#[tokio::test]
async fn work_after_the_answer_is_work_all_the_same() {
    let host = scene::host_with("[limits]\nfuel = 1000000000").await;
    let client = &host.client;
    let post = "(local $left i32) (local.set $left (i32.const 10000000))
        (loop (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))";
    let guest = Guest { post: post.into(), ..guest("works") };
    let view = scene::ends(client, Attack { what: "a little work", guest: guest.clone(), ends: None, said: "" }).await;
    assert!(view["run"]["usage"]["fuel"].as_u64().unwrap() > 30_000_000, "it is metered: {view}");
    let guest = Guest { post: SPIN.replace("unreachable", ""), ..guest };
    let said = "used up its";
    scene::ends(client, Attack { what: "endless work", guest, ends: Some(("limit.fuel", 500)), said }).await;
    host.stop().await;
}

#[tokio::test]
async fn exit_is_no_way_out() {
    let host = scene::host_with("").await;
    let client = &host.client;
    for code in [0, 1, 255, -1] {
        let run = format!("(call $exit (i32.const {code})) unreachable");
        let attack = Attack {
            what: "exit in run",
            guest: Guest { run, ..guest("leaves") },
            ends: Some(("guest.exit", 500)),
            said: "called exit",
        };
        scene::ends(client, attack).await;
    }
    let exits = "(call $exit (i32.const 0))";
    // Before a module has started, there is nothing yet that it could call.
    for (what, guest, said) in [
        ("exit in start", Guest { start: exits.into(), ..guest("leaves") }, "uninitialized element"),
        ("exit in describe", Guest { describe: format!("{exits} {DESCRIPTION}"), ..guest("leaves") }, "exit"),
    ] {
        scene::refuses(client, what, guest.core(), said).await;
    }
    // As Rust's own library does it.
    let view = client.run("exits", &json!({"code": 0})).await;
    assert_eq!(view["run"]["failure"]["code"], "guest.exit", "{view}");
    host.stop().await;
}
