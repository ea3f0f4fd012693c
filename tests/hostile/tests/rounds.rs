//! The same attacks again and again: the host's memory does not grow with them.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use walker_harness::{Client, Host};

use crate::guest::{Guest, SPIN, call, data, guest};
use crate::scene;
use crate::wire::{Wire, head};

/// After the load, the host has so long to give memory back.
const SETTLED: Duration = Duration::from_secs(10);
/// In each round. The pool's slots are shared out to the threads, and keep some pages once they were touched: it takes a few
/// passes until each thread has run as many walkers at once as it ever will.
const PASSES: usize = 9;
const MOST_GROWTH: f64 = 1.1;

/// Resident memory of the host's own process, in bytes.
fn resident(host: &Host) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid().as_raw_nonzero())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// A bit of everything, some times; each round is the same.
async fn round(host: &Host) {
    let client = &host.client;
    for _ in 0..PASSES {
        join_all([bodies(client), uploads(client), runs(client), strangers(host)]).await;
    }
}

fn boxed<'a>(future: impl Future<Output = ()> + 'a) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>> {
    Box::pin(future)
}

fn bodies(client: &Client) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>> {
    boxed(async move {
        let many = format!("{{{}\"z\":1}}", "\"a\":1,".repeat(1_000_000)).into_bytes();
        for _ in 0..4 {
            for (body, status) in [(vec![b'['; 15 << 20], 400), (many.clone(), 422), (vec![b' '; 17 << 20], 413)] {
                let answer = client.send(client.request(Method::POST, "/walker/echo").body(body)).await;
                assert_eq!(answer.status.as_u16(), status);
            }
        }
        for depth in [1_000, 100_000] {
            let body = json!({"value": "x".repeat(depth)});
            join_all((0..20).map(|_| client.post("/walker/echo", &body))).await;
        }
    })
}

fn uploads(client: &Client) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>> {
    boxed(async move {
        for code in [vec![0; 60 << 20], walker_harness::module("seed")[..50_000].to_vec(), b"\0asm\x01\0\0\0".to_vec()]
        {
            for _ in 0..3 {
                client.put_module("attack", code.clone()).await.problem(422, "module.rejected");
            }
        }
    })
}

fn runs(client: &Client) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>> {
    boxed(async move {
        let reports = format!("(loop (drop {}) br 0) unreachable", call("report", 4096, 1));
        let grows = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (loop
            (i32.store8 (global.get $next) (i32.const 1))
            (global.set $next (i32.add (global.get $next) (i32.const 4096))) br 0) unreachable";
        for (name, guest, code) in [
            ("reports", Guest { parts: data(4096, b"1"), run: reports, ..guest("reports") }, "limit.output"),
            ("grows", Guest { run: grows.into(), ..guest("grows") }, "limit.memory"),
            (
                "loops_forever",
                Guest { run: SPIN.into(), settings: r#"{"fuel":100000000}"#.into(), ..guest("loops_forever") },
                "limit.fuel",
            ),
        ] {
            client.put_module(name, guest.core()).await;
            for view in join_all((0..16).map(|_| async { client.run(name, &json!({})).await })).await {
                assert_eq!(view["run"]["failure"]["code"], code, "{name}: {view}");
            }
        }
        for (walker, fields) in
            [("floods_log", json!({})), ("floods_reports", json!({})), ("overflows_stack", json!({}))]
        {
            join_all((0..8).map(|_| async { client.run(walker, &fields).await })).await;
        }
    })
}

fn strangers(host: &Host) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>> {
    boxed(async move {
        let open = host.client.with_token(None);
        join_all((0..200).map(|_| async {
            let mut wire = Wire::to(host).await;
            wire.send(head(&open, "POST /walker/sample", "content-length: 16000000\r\n\r\n")).await;
            wire.answer().await;
            let mut wire = Wire::to(host).await;
            wire.send(head(&open, "GET /", &format!("x: {}\r\n", "y".repeat(20_000)))).await;
        }))
        .await;
        for path in (0..200).map(|number| format!("/walkers/{number}{}", "x".repeat(1_000))) {
            host.client.get(&path).await.problem(404, "walker.not_found");
        }
    })
}

#[tokio::test]
async fn memory_comes_back() {
    let host = scene::host_with("").await;
    round(&host).await;
    tokio::time::sleep(SETTLED).await;
    let first = resident(&host);
    round(&host).await;
    tokio::time::sleep(SETTLED).await;
    let after = resident(&host);
    let growth = after as f64 / first as f64;
    let (from, to) = (first >> 20, after >> 20);
    scene::say(&format!("resident: {from} MiB, {to} MiB after another: {growth:.3}"));
    assert!(growth <= MOST_GROWTH, "{from} MiB after the first round, {to} MiB after another: {growth:.3}");
    scene::still_serves(&host.client).await;
    host.stop().await;
}
