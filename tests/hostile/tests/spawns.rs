//! Walkers that make more walkers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use walker_harness::Client;

use crate::guest::{Guest, OK, SPIN, call, data, guest};
use crate::scene;

/// A walker that spawns others by name, so many; refused, it fails with the code that it was told.
fn spawner(name: &str, spawned: &str, times: u32) -> Guest {
    let spawn = call("spawn", 4096, spawned.len());
    let told = "(call $answer (i32.const 1) (i32.load (i32.const 548)) (i32.load (i32.const 552)))";
    let run = format!(
        "(local $left i32) (local.set $left (i32.const {times}))
         (loop (if {spawn} (then (return {told})))
           (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1))))) {OK}"
    );
    Guest { parts: data(4096, spawned.as_bytes()), run, ..guest(name) }
}

/// Every walker of a name.
async fn all(client: &Client, name: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/walkers?name={name}&limit=500{cursor}")).await.expect(200);
        all.extend(page["walkers"].as_array().unwrap().iter().cloned());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// Every walker of some names, once all have ended: how many ended with which code, status and words.
async fn ends(client: &Client, names: &[&str], count: usize) -> BTreeMap<String, usize> {
    loop {
        let mut walkers = Vec::new();
        for name in names {
            walkers.extend(all(client, name).await);
        }
        let ended = |view: &Value| !matches!(view["schedule"]["status"].as_str(), Some("pending" | "running"));
        if walkers.len() < count || !walkers.iter().all(ended) {
            continue;
        }
        let mut ends = BTreeMap::new();
        for view in &walkers {
            let (schedule, failure) = (&view["schedule"], &view["run"]["failure"]);
            let end = match failure["code"].as_str() {
                None => format!("{} {}", schedule["http_status"], schedule["status"].as_str().unwrap()),
                Some(code) => format!("{} {code} {}", schedule["http_status"], schedule["error"].as_str().unwrap()),
            };
            *ends.entry(end).or_default() += 1;
        }
        return ends;
    }
}

#[tokio::test]
async fn a_bomb_and_a_cycle_come_to_their_end() {
    let host = scene::host_with("[limits]\nspawns = 5\nspawn_depth = 4").await;
    let client = &host.client;
    for (module, guest) in [
        ("bomb", spawner("bomb", "bomb", 1_000)),
        ("there", spawner("there", "back", 1)),
        ("back", spawner("back", "there", 1)),
    ] {
        client.put_module(module, guest.core()).await.expect(201);
    }
    client.start("there", &json!({})).await;
    let expect = |ends: &[(&str, usize)]| -> BTreeMap<String, usize> {
        ends.iter().map(|(end, count)| ((*end).to_owned(), *count)).collect()
    };
    let cycle = expect(&[("200 completed", 4), ("500 guest.error limit.spawn_depth", 1)]);
    assert_eq!(ends(client, &["there", "back"], 5).await, cycle);
    scene::still_serves(client).await;
    // Five of each generation's, but for the last, which may spawn none.
    client.start("bomb", &json!({})).await;
    let bomb =
        expect(&[("500 guest.error limit.spawn_depth", 625), ("500 guest.error limit.spawns", 1 + 5 + 25 + 125)]);
    assert_eq!(ends(client, &["bomb"], 781).await, bomb);
    scene::still_serves(client).await;
    host.stop().await;
}

#[tokio::test]
async fn a_flood_ends_with_what_its_tenant_may_have_at_once() {
    let host = scene::host_with("[limits]\nlive_walkers = 20").await;
    let client = &host.client;
    let neighbour = scene::neighbour(&host).await;
    let spinner = Guest { run: SPIN.into(), settings: r#"{"timeout_ms":3000}"#.into(), ..guest("whirls") };
    client.put_module("whirls", spinner.core()).await.expect(201);
    client.put_module("flood", spawner("flood", "whirls", 1_000).core()).await.expect(201);
    let view = client.run("flood", &json!({})).await;
    assert_eq!(
        (&view["run"]["failure"]["code"], &view["schedule"]["http_status"], &view["schedule"]["error"]),
        (&json!("guest.error"), &json!(500), &json!("quota.walkers")),
        "{view}"
    );
    let spawned = view["run"]["usage"]["spawns"].as_u64().unwrap();
    assert!((15..=20).contains(&spawned), "{view}");
    scene::still_serves(&neighbour).await;
    let expect = BTreeMap::from([("504 limit.time".to_owned(), spawned as usize)]);
    let mut got = BTreeMap::new();
    for (end, count) in ends(client, &["whirls"], spawned as usize).await {
        *got.entry(end.split(' ').take(2).collect::<Vec<_>>().join(" ")).or_default() += count;
    }
    assert_eq!(got, expect);
    scene::still_serves(client).await;
    host.stop().await;
}

#[tokio::test]
async fn a_bomb_and_a_cycle_keep_no_neighbour_waiting() {
    let host = scene::host_with("").await;
    let client = &host.client;
    let neighbour = scene::neighbour(&host).await;
    for (module, guest) in [
        ("bomb", spawner("bomb", "bomb", 10)),
        ("there", spawner("there", "back", 1)),
        ("back", spawner("back", "there", 1)),
    ] {
        client.put_module(module, guest.core()).await.expect(201);
    }
    // The cycle first: behind the bomb's children it would wait, for they are of the same tenant.
    for walker in ["there", "bomb"] {
        client.start(walker, &json!({})).await;
        while client.get(&format!("/walkers?name={walker}&limit=5")).await.expect(200)["walkers"]
            .as_array()
            .unwrap()
            .len()
            < 5
        {}
    }
    for _ in 0..5 {
        scene::still_serves(&neighbour).await;
    }
    host.stop().await;
}
