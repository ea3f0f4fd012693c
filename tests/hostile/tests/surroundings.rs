//! What a guest learns of the machine around it: the time in steps that the operator sets, and chance.

use serde_json::json;

use crate::guest::{Guest, OK, guest};
use crate::scene::{self, Attack};

const CLOCK: &str = "
package hostile:clock;
world clock {
    include walker:guest/module@0.1.0;
    import wasi:clocks/monotonic-clock@0.2.0;
}
package wasi:clocks@0.2.0 {
    interface monotonic-clock {
        type instant = u64;
        type duration = u64;
        now: func() -> instant;
        resolution: func() -> duration;
    }
}";
const IMPORTS: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "resolution" (func $resolution (result i64)))"#;

#[tokio::test]
async fn clocks_go_in_the_operator_s_steps() {
    for (config, step_ns) in [("", 1_000_000), ("clock_resolution = '20ms'", 20_000_000)] {
        let host = scene::host_with(config).await;
        // Waits for a step, and traps unless it is as large as it should be.
        let run = format!(
            "(local $begun i64) (local $now i64)
             (if (i64.ne (call $resolution) (i64.const {step_ns})) (then unreachable))
             (local.set $begun (call $now))
             (loop
               (local.set $now (call $now))
               (br_if 0 (i64.eq (local.get $begun) (local.get $now))))
             (if (i64.ne (i64.rem_u (local.get $now) (i64.const {step_ns})) (i64.const 0)) (then unreachable))
             {OK}"
        );
        let guest = Guest { world: Some(CLOCK), imports: IMPORTS.into(), run, ..guest("looks") };
        scene::ends(&host.client, Attack { what: "the clock", guest, ends: None, said: "" }).await;
        host.stop().await;
    }
}

#[tokio::test]
async fn no_two_runs_draw_the_same() {
    let host = scene::host_with("").await;
    // Sixteen random letters.
    let run = format!(
        "(drop (call $random (i32.const 1040) (i32.const 16)))
         (v128.store (i32.const 1040) (v128.or (v128.const i64x2 0x4040404040404040 0x4040404040404040)
            (v128.and (v128.const i64x2 0x0f0f0f0f0f0f0f0f 0x0f0f0f0f0f0f0f0f) (v128.load (i32.const 1040)))))
         (i32.store8 (i32.const 1039) (i32.const 34))
         (i32.store8 (i32.const 1056) (i32.const 34))
         (drop (call $report (i32.const 1039) (i32.const 18)))
         {OK}"
    );
    host.client.put_module("attack", Guest { run, ..guest("draws") }.core()).await.expect(201);
    let mut drawn = Vec::new();
    for _ in 0..3 {
        let view = host.client.run("draws", &json!({})).await;
        let letters = view["schedule"]["reports"][0].as_str().unwrap_or_else(|| panic!("{view}")).to_owned();
        assert_eq!(letters.len(), 16);
        assert!(!drawn.contains(&letters), "{letters} again");
        drawn.push(letters);
    }
    host.stop().await;
}
