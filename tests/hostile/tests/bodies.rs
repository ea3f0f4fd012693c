//! Bodies that come in without end, and without ever being whole.

use serde_json::json;
use walker_harness::Host;

use crate::scene;
use crate::wire::{Wire, head};

/// Each is one byte short of this.
const BODY: usize = 7 << 20;
/// Together some 450 MB.
const CONNECTIONS: usize = 64;
const CONFIG: &str = "bodies_memory_bytes = '64MiB'\ntransfer_timeout = '10m'\n[limits]\nfields_bytes = '8MiB'";
/// Of 64 MiB one tenant may hold two thirds: six bodies. Of one more so little may be missing when there is no room for it that the
/// host takes the rest before it says so.
const FIT: usize = 7;

/// What a process has of memory, in bytes.
fn resident(host: &Host) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", host.pid().as_raw_nonzero())).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * rustix::param::page_size()
}

/// Opens a request and sends all of its body but the last byte, or as much as is taken.
async fn one_byte_short(host: &Host, request: &str) -> Wire {
    let mut wire = Wire::to(host).await;
    wire.send(head(&host.client, request, &format!("content-length: {BODY}\r\n\r\n"))).await;
    wire.send_until_answered(&vec![b' '; BODY - 1]).await;
    wire
}

#[tokio::test]
async fn all_bodies_together_are_bounded_and_nobody_holds_all_of_that() {
    let host = scene::host_with(CONFIG).await;
    let client = &host.client;
    let neighbour = scene::neighbour(&host).await;
    let before = resident(&host);
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(one_byte_short(&host, "POST /walker/echo").await);
    }
    let mut waiting = Vec::new();
    let mut refused = 0;
    while refused < CONNECTIONS - FIT {
        for mut wire in std::mem::take(&mut open).into_iter().chain(std::mem::take(&mut waiting)) {
            if !wire.has_answered().await {
                waiting.push(wire);
                continue;
            }
            let answer = wire.answer().await;
            assert!(answer.status == 503 && answer.body.contains("host.busy"), "{answer:?}");
            assert!(answer.head.to_ascii_lowercase().contains("retry-after: 1"), "{answer:?}");
            refused += 1;
        }
    }
    assert_eq!(waiting.len() + refused, CONNECTIONS);
    assert!(!waiting.is_empty(), "some fit");
    let grown = resident(&host).saturating_sub(before);
    scene::say(&format!("{refused} of {CONNECTIONS} refused; {} MiB more in memory", grown >> 20));
    assert!(grown < 256 << 20, "{grown} bytes more");
    // What is small needs no room, and others have some.
    scene::still_serves(client).await;
    let large = json!({"value": "x".repeat(4 << 20)});
    neighbour.post("/walker/echo", &large).await.expect(200);
    // Gone, they hold nothing.
    drop(waiting);
    while client.post("/walker/echo", &large).await.status == 503 {}
    let most = json!({"value": "x".repeat(BODY)});
    client.post("/walker/echo", &most).await.expect(200);
    host.stop().await;
}
