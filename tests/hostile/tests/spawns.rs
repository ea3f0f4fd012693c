//! Walkers that make more walkers.

use serde_json::json;
use walker_harness::Client;

use crate::guest::{Guest, OK, call, data, guest};
use crate::scene;

/// A walker that spawns others by name, so many at once.
fn spawner(name: &str, spawned: &str, times: u32) -> Guest {
    let spawn = call("spawn", 4096, spawned.len());
    let run = format!(
        "(local $left i32) (local.set $left (i32.const {times}))
         (loop (if {spawn} (then (return {OK})))
           (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1))))) {OK}"
    );
    Guest { parts: data(4096, spawned.as_bytes()), run, ..guest(name) }
}

/// How many walkers of a name there are, as far as one page tells.
async fn count(client: &Client, name: &str) -> usize {
    let page = client.get(&format!("/walkers?name={name}&limit=500")).await.expect(200);
    page["walkers"].as_array().unwrap().len()
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
        while count(client, walker).await < 5 {}
    }
    for _ in 0..5 {
        scene::still_serves(&neighbour).await;
    }
    host.stop().await;
}
