//! Walkers that lean on others: spawn, call, read; what is refused is a problem that they can handle.

use serde_json::{Value, json};
use walker_harness::Client;

use crate::scene;

/// Starts one walker from inside another; answers what came of it.
async fn starts(client: &Client, how: &str, walker: &str, fields: Value) -> Value {
    let fields = json!({"how": how, "walker": walker, "fields": fields});
    client.post("/walker/starts", &fields).await.expect(200)["reports"][0].take()
}

#[tokio::test]
async fn a_parent_spawns_one_and_calls_another() {
    let host = scene::host().await;
    let (client, root) = (&host.client, scene::root(&host).await);
    let value = json!({"deep": [1, "ä", null]});
    let parent = client.run("parent", &json!({"value": value})).await;
    assert_eq!(parent["schedule"]["status"], "completed", "{parent}");
    let spawned = parent["schedule"]["reports"][0]["spawned"].as_str().unwrap();
    assert_eq!(parent["schedule"]["reports"][1], json!({"called": [value]}));
    let spawned = client.ended(spawned).await;
    assert_eq!(spawned["schedule"]["status"], "completed", "{spawned}");
    assert_eq!((&spawned["context"]["value"], &spawned["schedule"]["reports"]), (&value, &json!([value])));
    // The called one is a walker like any other.
    let called = client.get("/walkers?name=echo").await.expect(200)["walkers"][0].take();
    assert_eq!(called["schedule"]["reports"], json!([value]));
    for view in [parent, spawned, called] {
        assert_eq!((&view["schedule"]["root_id"], &view["schedule"]["node_id"]), (&json!(root), &json!(root)));
    }
    host.stop().await;
}

#[tokio::test]
async fn calls_end_at_a_depth() {
    let host = scene::host_with(walker_harness::Options {
        config: "[limits]\ncall_depth = 4".to_owned(),
        ..walker_harness::Options::default()
    })
    .await;
    let client = &host.client;
    let answer = client.post("/walker/calls_itself", &json!({"depth": 4})).await.expect(200);
    assert_eq!(answer["reports"], json!([1, 2, 3, 4]));
    let listed = client.get("/walkers?name=calls_itself").await.expect(200);
    assert_eq!(listed["walkers"].as_array().unwrap().len(), 4, "each is a walker of its own");

    let problem = client.post("/walker/calls_itself", &json!({"depth": 5})).await.problem(500, "guest.error");
    assert!(problem["detail"].as_str().unwrap().contains("more than 4 deep"), "{problem}");
    // More chains than there are slots: none waits for a slot that another holds.
    let fields = json!({"depth": 4});
    let chains = (0..100).map(|_| client.post("/walker/calls_itself", &fields));
    for answer in futures::future::join_all(chains).await {
        assert_eq!(answer.expect(200)["reports"], json!([1, 2, 3, 4]));
    }
    host.stop().await;
}

#[tokio::test]
async fn what_is_refused_is_a_problem_that_a_walker_can_handle() {
    let host = scene::host().await;
    let client = &host.client;
    assert_eq!(starts(client, "Call", "echo", json!({"value": 7})).await, json!({"called": [7]}));
    let spawned = starts(client, "Spawn", "sample", json!({})).await;
    let spawned = client.ended(spawned["spawned"].as_str().unwrap()).await;
    assert_eq!(spawned["context"], json!({"value": 1}), "of another module of the tenant");

    let nobody = "w:sample:550e8400-e29b-41d4-a716-446655440000";
    for (how, walker, fields, code, said) in [
        ("Spawn", "nobody", json!({}), "walker.not_found", "nobody"),
        ("Call", "nobody", json!({}), "walker.not_found", "nobody"),
        ("Call", "no name", json!({}), "walker.not_found", "no name"),
        ("Spawn", "echo", json!({}), "walker.not_async", "call it"),
        ("Call", "sample", json!({}), "walker.not_sync", "spawn it"),
        ("Spawn", "sample", json!({"value": "x"}), "fields.invalid", "/value"),
        ("Spawn", "sample", json!({"valu": 1}), "fields.invalid", "/valu"),
        ("Call", "reads", json!({}), "fields.invalid", "/walker_id"),
        ("Spawn", "sample", json!([]), "body.malformed", "object"),
        ("Call", "reads", json!({"walker_id": nobody}), "guest.error", nobody),
    ] {
        let refused = starts(client, how, walker, fields.clone()).await;
        assert_eq!(refused["code"], code, "{how} {walker} {fields}: {refused}");
        assert!(refused["message"].as_str().unwrap().contains(said), "{how} {walker} {fields}: {refused}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_running_walker_is_read_as_it_was_saved_last() {
    let host = scene::host().await;
    let client = &host.client;
    let id = client.start("waits_for_save", &json!({"ms": 2000})).await;
    let seen = loop {
        let answer = client.post("/walker/reads", &json!({"walker_id": id})).await.expect(200);
        let seen = answer["reports"][0].clone();
        if seen["fields"]["step"] == 1 {
            break seen;
        }
    };
    let view = client.get(&format!("/walkers/{id}")).await.expect(200)["walker"].take();
    assert_eq!(seen["schedule"], view["schedule"], "a guest sees the schedule that its user sees");
    assert_eq!(seen["fields"], view["context"]);
    assert_eq!(seen["schedule"]["status"], "running");
    assert_eq!(seen["schedule"]["reports"], json!([{"attempt": 1, "began_at": 0}]));
    let ended = client.ended(&id).await;
    let answer = client.post("/walker/reads", &json!({"walker_id": id})).await.expect(200);
    assert_eq!(answer["reports"][0], json!({"fields": {"step": 2, "ms": 2000}, "schedule": ended["schedule"]}));
    host.stop().await;
}
