//! Clients that take their time: with a head, with a body, with reading their answer, with the next request.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::scene;
use crate::wire::{Wire, head};

/// Short, so that the suite is; in proportion as by default.
const CONFIG: &str = "head_timeout = '1s'\nidle_timeout = '3s'\ntransfer_timeout = '2s'\ntransfer_min_bytes = 1000";

#[tokio::test]
async fn who_holds_a_connection_for_nothing_loses_it() {
    let host = scene::host_with(CONFIG).await;
    let client = &host.client;
    let began = Instant::now();
    let upload = |length: u64| head(client, "PUT /modules/slow", &format!("content-length: {length}\r\n\r\n"));
    let invoke = head(client, "POST /walker/sample", "transfer-encoding: chunked\r\n\r\n");
    let ask = [head(client, "GET /healthz", ""), b"\r\n".to_vec()].concat();
    for (what, first, trickle, expect) in [
        ("says nothing", Vec::new(), b"".as_slice(), ""),
        ("half a head, and no more", head(client, "GET /healthz", ""), b"", ""),
        ("a head without end", head(client, "GET /healthz", ""), b"x-slow: 1\r\n", ""),
        ("a body that stops", upload(1_000_000), b"", "408"),
        ("a body that trickles", upload(1_000_000), b"x", "408"),
        ("a chunked body that trickles", invoke, b"1\r\n \r\n", "408"),
        ("no further request", ask, b"", "200"),
    ] {
        let mut wire = Wire::to(&host).await;
        wire.send(first).await;
        let started = Instant::now();
        // A byte now and then keeps no connection open.
        let answer = if trickle.is_empty() {
            wire.end().await
        } else {
            while wire.try_send(trickle).await.is_ok() {
                assert!(started.elapsed() < Duration::from_secs(30), "{what}: it is still open");
                sleep(Duration::from_millis(50)).await;
                if wire.has_answered().await {
                    break;
                }
            }
            wire.end().await
        };
        assert_eq!(answer.split(' ').nth(1).unwrap_or_default(), expect, "{what}: {answer}");
        if expect == "408" {
            assert!(
                answer.contains("body.too_slow") && answer.to_lowercase().contains("connection: close"),
                "{what}: {answer}"
            );
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{what}: {:?}", started.elapsed());
    }
    assert!(began.elapsed() > Duration::from_secs(5), "each had its time");
    scene::still_serves(client).await;
    host.stop().await;
}

#[tokio::test]
async fn slow_but_steady_is_served() {
    let host = scene::host_with(CONFIG).await;
    let client = &host.client;
    let mut wire = Wire::to(&host).await;
    let body = format!("{}{{}}", " ".repeat(60_000));
    let headers = format!("content-length: {}\r\n\r\n", body.len());
    wire.send(head(client, "POST /walker/sample", &headers)).await;
    // Five seconds, which is longer than any of its time-outs.
    for piece in body.as_bytes().chunks(600) {
        wire.send(piece).await;
        sleep(Duration::from_millis(50)).await;
    }
    let answer = wire.answer().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    // A client may wait for an answer for longer than it may do nothing.
    wire.send(
        [head(client, "POST /walker/sleeps?wait=6s", "content-length: 12\r\n\r\n"), b"{\"ms\": 5000}".to_vec()]
            .concat(),
    )
    .await;
    let answer = wire.answer().await;
    assert!(answer.status == 200 && answer.body.contains("completed"), "{answer:?}");
    host.stop().await;
}

#[tokio::test]
async fn who_never_reads_an_answer_loses_it() {
    let host = scene::host_with(CONFIG).await;
    let client = &host.client;
    let big = "x".repeat(7 << 20);
    let id = client.run("echo_later", &serde_json::json!({"value": big})).await["id"].as_str().unwrap().to_owned();
    let mut wire = Wire::to(&host).await;
    // More than the kernel's buffers hold, asked for and not read.
    let ask = [head(client, &format!("GET /walkers/{id}"), ""), b"\r\n".to_vec()].concat();
    for _ in 0..4 {
        wire.send(&ask).await;
    }
    wire.is_given_up().await;
    scene::still_serves(client).await;
    host.stop().await;
}
