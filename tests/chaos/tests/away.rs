//! A database that does not answer, and callers that go on as if it did.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio_postgres::NoTls;
use walker_chaos::EXPECTED_LOG;
use walker_harness::{Host, Options, Proxy, Server};

/// Longer than anybody waits for a commit.
const AWAY: Duration = Duration::from_secs(15);
/// Together some 600 MB, of which the host takes 64.
const CALLERS: usize = 300;
const BODY: usize = 2 << 20;
/// Batches of the most walkers, more than may wait to be stored.
const BATCHES: usize = 40;
const BATCH: usize = 1_000;
const CONFIG: &str = "bodies_memory_bytes = '64MiB'";

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_silent_callers_are_told_to_come_back_and_memory_is_bounded() {
    let server = Server::start("away").await;
    let (admin, connection) = server.config("postgres").connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    admin.batch_execute("create database away").await.unwrap();
    let proxy = Proxy::start(&server.socket_dir()).await;
    let options = Options {
        database_url: Some(server.url("away", proxy.address.port())),
        config: CONFIG.to_owned(),
        expected_log: EXPECTED_LOG.to_vec(),
        ..Options::default()
    };
    let host = Host::with_modules(options, &["seed", "faults"]).await;
    let client = &host.client;
    // What it needs to know of walker and tenant it knows.
    client.run("echo_later", &json!({"value": 1})).await;
    let body: &'static [u8] = format!("{{\"value\":\"{}\"}}", "x".repeat(BODY)).into_bytes().leak();
    // Once to forget what starting took.
    host.peak_kib();
    let before = host.peak_kib();
    let send = || client.send(client.request(Method::POST, "/walker/echo_later").body(body));
    let small = async {
        // Some are small, and need no room.
        join_all((0..20).map(async |value| client.post("/walker/echo_later", &json!({"value": value})).await)).await
    };
    let batch = json!({"walkers": vec![json!({"value": 1}); BATCH]});
    let batches = join_all((0..BATCHES).map(|_| client.post("/walker/echo_later/batch", &batch)));
    let ((), large, small, batches) =
        tokio::join!(proxy.stall(AWAY), join_all((0..CALLERS).map(|_| send())), small, batches);
    let grown = host.peak_kib() - before;
    let mut accepted = Vec::new();
    let (mut away, mut busy) = (0, 0);
    let turned_away = batches.iter().filter(|answer| answer.text.contains("host.busy")).count();
    assert!((1..BATCHES).contains(&turned_away), "{turned_away} of {BATCHES} batches");
    let of_batches = batches.iter().filter(|answer| answer.status == 200);
    let ids = of_batches.flat_map(|answer| serde_json::from_value::<Vec<String>>(answer.json()["walker_ids"].clone()));
    accepted.extend(ids.flatten());
    for answer in large.into_iter().chain(small).chain(batches.into_iter().filter(|answer| answer.status != 200)) {
        if answer.status == 200 {
            accepted.push(answer.expect(200)["walker_id"].as_str().unwrap().to_owned());
            continue;
        }
        assert!(answer.status == 503 && answer.headers.contains_key("retry-after"), "{answer:?}");
        match answer.json()["code"].as_str().unwrap() {
            "database.unavailable" => away += 1,
            "host.busy" => busy += 1,
            other => panic!("{other}: {}", answer.text),
        }
    }
    assert!(
        away > 0 && busy > 0,
        "{} accepted, {away} told that it is away, {busy} that there is no room",
        accepted.len()
    );
    assert!(grown < 256 << 10, "{grown} KiB more");
    // It is back, and what was taken is there.
    accepted.push(client.start("echo_later", &json!({"value": 2})).await);
    for id in accepted {
        assert_eq!(client.ended(&id).await["schedule"]["status"], "completed", "{id}");
    }
    client.send(client.request(Method::POST, "/walker/echo_later").body(body)).await.expect(200);
    host.stop().await;
}
