//! What large modules that are taken cost the host itself: next to nothing, from their upload to the end of their first run.

use serde_json::json;

use crate::guest::{Guest, guest};
use crate::scene;

/// What one may cost the host, in KiB, and all of them together.
const MAX_GROWTH_KIB: u64 = 64 << 10;

#[tokio::test]
async fn large_modules_cost_the_host_little() {
    let host = scene::host_with("").await;
    let client = &host.client;
    scene::still_serves(client).await;
    let function = "(func (result i32) (i32.load (i32.const 0)))";
    let full = "x".repeat(30 << 20);
    let large = [
        ("100,000 functions", Guest { parts: function.repeat(100_000), ..guest("many") }),
        (
            "30 MB of data",
            Guest { parts: format!(r#"(data (i32.const 131072) "{full}")"#), pages: 500, ..guest("full") },
        ),
    ];
    host.peak_kib();
    let before = host.peak_kib();
    for (what, guest) in large {
        let name = String::from_utf8(guest.name.clone()).unwrap();
        let code = guest.core();
        let size = code.len();
        client.put_module(&name, code).await.expect(201);
        let view = client.run(&name, &json!({})).await;
        assert_eq!(view["schedule"]["status"], "completed", "{what}: {view}");
        let grown = host.peak_kib().saturating_sub(before);
        scene::say(&format!("{what}, {size} bytes: the host has grown by {grown} KiB"));
        assert!(grown <= MAX_GROWTH_KIB, "{what}: the host itself grew by {grown} KiB");
    }
    scene::still_serves(client).await;
    host.stop().await;
}
