//! Several memories in one component: what counts is their sum.

use crate::guest::{Guest, OK, guest};
use crate::scene::{self, Attack};

/// Grows a memory page by page until it is refused, and goes on.
fn eat(memory: &str) -> String {
    format!("(loop (br_if 0 (i32.ne (memory.grow {memory} (i32.const 16)) (i32.const -1))))")
}

#[tokio::test]
async fn the_sum_of_all_memories_is_bounded() {
    let host = scene::host_with("[limits]\nmemory_bytes = 33554432").await;
    let client = &host.client;
    let parts = "(memory $second 1) (memory $third 1)";
    let all = ["0", "$second", "$third"].map(eat).concat();
    let hungry = Guest { parts: parts.into(), run: format!("{all} unreachable"), ..guest("hungry") };
    for (what, code) in [("a core module", hungry.core()), ("a component", hungry.component())] {
        client.put_module("attack", code).await;
        let view = client.run("hungry", &serde_json::json!({})).await;
        assert_eq!(view["run"]["failure"]["code"], "limit.memory", "{what}: {view}");
        assert_eq!(view["schedule"]["http_status"], 507, "{what}: {view}");
        let peak = view["run"]["usage"]["memory_peak_bytes"].as_u64().unwrap();
        assert!((30 << 20..=32 << 20).contains(&peak), "{what}: {peak}");
        scene::still_serves(client).await;
    }
    // To be refused is not yet a failure.
    let copes = Guest { run: format!("{all} {OK}"), ..hungry.clone() };
    scene::ends(client, Attack { what: "one that copes", guest: copes, ends: None, said: "" }).await;
    // The adapter brings a memory of its own.
    let parts = "(memory 1) (memory 1) (memory 1) (memory 1)";
    scene::refuses(client, "too many memories", Guest { parts: parts.into(), ..guest("hungry") }.core(), "memories")
        .await;
    let parts = "(memory $large 65536)";
    scene::refuses(client, "four gigabytes to begin with", Guest { parts: parts.into(), ..guest("hungry") }.core(), "")
        .await;
    host.stop().await;
}
