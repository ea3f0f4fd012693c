//! Letting others read: one walker, all of a root's, and what runs in public.

use reqwest::Method;
use serde_json::{Value, json};
use walker_harness::{Client, Host};

use crate::identity::{key, user};
use crate::scene::{self, keys};

/// The ids of all pages of a list.
async fn listed(client: &Client, query: &str, limit: usize) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/walkers?limit={limit}{query}{cursor}")).await.expect(200);
        let walkers = page["walkers"].as_array().unwrap();
        ids.extend(walkers.iter().map(|walker| walker["id"].as_str().unwrap().to_owned()));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

async fn run(client: &Client, walker: &str) -> String {
    client.run(walker, &json!({})).await["id"].as_str().unwrap().to_owned()
}

async fn grant(client: &Client, body: Value) -> Value {
    let grant = client.post("/grants", &body).await.expect(201);
    assert_eq!(keys(&grant), ["created_at", "from", "id", "to", "walker_id"]);
    grant
}

/// The statuses of reading a walker, its logs, and of reading it from inside another.
async fn reads(client: &Client, id: &str) -> [u16; 3] {
    let inside = client.post("/walker/reads", &json!({"walker_id": id})).await;
    [client.get(&format!("/walkers/{id}")).await, client.get(&format!("/walkers/{id}/logs")).await, inside]
        .map(|answer| answer.status.as_u16())
}

const MAY: [u16; 3] = [200, 200, 200];
const MAY_NOT: [u16; 3] = [404, 404, 500];

async fn users(host: &Host) -> [(Client, String); 3] {
    [user(host, "ada@example.org").await, user(host, "bob@example.org").await, user(host, "eve@example.org").await]
}

#[tokio::test]
async fn what_is_granted_can_be_read_and_nothing_else_until_it_is_taken_back() {
    let host = scene::host().await;
    let [(ada, ada_root), (bob, bob_root), (eve, _)] = users(&host).await;
    let first = run(&ada, "returns_error").await;
    let bobs = run(&bob, "sample").await;
    let second = run(&ada, "sample").await;
    assert_eq!((reads(&bob, &first).await, reads(&bob, &second).await), (MAY_NOT, MAY_NOT));
    let own = listed(&bob, "&name=sample", 50).await;

    let one = grant(&ada, json!({"walker_id": first, "to": "Bob@Example.org"})).await;
    assert_eq!((&one["walker_id"], &one["from"], &one["to"]), (&json!(first), &json!(ada_root), &json!(bob_root)));
    assert_eq!(ada.post("/grants", &json!({"walker_id": first, "to": bob_root})).await.expect(200), one);
    assert_eq!((reads(&bob, &first).await, reads(&bob, &second).await), (MAY, MAY_NOT));
    assert_eq!(reads(&eve, &first).await, MAY_NOT);
    // Reading changes nothing.
    for (method, path) in [
        (Method::POST, format!("/walkers/{first}/cancel")),
        (Method::POST, format!("/walkers/{first}/retry")),
        (Method::DELETE, format!("/walkers/{first}")),
    ] {
        bob.send(bob.request(method, &path)).await.problem(404, "walker.not_found");
    }
    assert_eq!(listed(&bob, "&name=returns_error", 50).await, [first.as_str()]);
    assert_eq!(listed(&bob, "&name=returns_error&status=failed", 50).await, [first.as_str()]);
    assert_eq!(listed(&bob, "&name=sample", 50).await, own);

    let all = grant(&ada, json!({"to": bob_root})).await;
    assert_eq!(all["walker_id"], Value::Null);
    assert_eq!(reads(&bob, &second).await, MAY);
    let later = ada.post("/walker/sample?delay=1h", &json!({})).await.expect(200);
    let later = later["walker_id"].as_str().unwrap().to_owned();
    assert_eq!(listed(&bob, "&status=pending", 50).await, [later.as_str()]);
    // Own and granted ones in one order, each once.
    let expected = [&later, &second, &bobs].map(String::clone);
    for limit in [1, 2, 50] {
        assert_eq!(listed(&bob, "&name=sample", limit).await, expected, "by {limit}");
    }
    assert_eq!(listed(&eve, "&name=sample", 50).await, Vec::<String>::new());
    bob.post("/walkers/cancel", &json!({})).await.expect(200);
    assert_eq!(listed(&bob, "&status=pending", 50).await, [later], "of others nothing is cancelled");

    for client in [&ada, &bob] {
        let known = client.get("/grants").await.expect(200);
        assert_eq!((&known["grants"], &known["cursor"]), (&json!([one, all]), &Value::Null));
    }
    let page = ada.get("/grants?limit=1").await.expect(200);
    let next = ada.get(&format!("/grants?limit=1&cursor={}", page["cursor"].as_str().unwrap())).await.expect(200);
    assert_eq!((&page["grants"], &next["grants"]), (&json!([one]), &json!([all])));
    assert_eq!(eve.get("/grants").await.expect(200)["grants"], json!([]));

    let path = |grant: &Value| format!("/grants/{}", grant["id"].as_str().unwrap());
    eve.delete(&path(&all)).await.problem(404, "grant.not_found");
    ada.delete("/grants/nobody").await.problem(404, "grant.not_found");
    assert_eq!(ada.delete(&path(&all)).await.status, 204);
    assert_eq!((reads(&bob, &first).await, reads(&bob, &second).await), (MAY, MAY_NOT));
    // Who was given something may give it up.
    assert_eq!(bob.delete(&path(&one)).await.status, 204);
    assert_eq!(reads(&bob, &first).await, MAY_NOT);
    ada.delete(&path(&one)).await.problem(404, "grant.not_found");
    host.stop().await;
}

#[tokio::test]
async fn only_ones_own_can_be_granted_and_only_within_the_tenant() {
    let host = scene::host().await;
    let [(ada, ada_root), (bob, bob_root), _] = users(&host).await;
    let adas = run(&ada, "sample").await;
    host.operator().post("/tenants", &json!({"name": "acme"})).await.expect(201);
    let all = json!({"name": "all", "scopes": ["deploy", "read", "invoke"]});
    let (stranger, _) = key(&host, "acme", all).await;
    let nobody = "w:sample:550e8400-e29b-41d4-a716-446655440000";
    for (client, body, pointer) in [
        (&ada, json!({"to": ada_root}), "/to"),
        (&ada, json!({"to": "ada@example.org"}), "/to"),
        (&ada, json!({"to": "nobody@example.org"}), "/to"),
        (&ada, json!({"to": "n::550e8400-e29b-41d4-a716-446655440000"}), "/to"),
        (&ada, json!({"to": "a\0b"}), "/to"),
        (&ada, json!({}), "/to"),
        (&ada, json!({"to": bob_root, "walker_id": "sample"}), "/walker_id"),
        (&ada, json!({"to": bob_root, "walker_id": nobody}), "/walker_id"),
        (&bob, json!({"to": ada_root, "walker_id": adas}), "/walker_id"),
        // Not even a key that sees all of the tenant.
        (&host.client, json!({"to": bob_root, "walker_id": adas}), "/walker_id"),
        (&stranger, json!({"to": bob_root}), "/to"),
    ] {
        let problem = client.post("/grants", &body).await.problem(422, "fields.invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
    }

    // What a key started belongs to the tenant's own root, which may grant like any other.
    let ours = run(&host.client, "sample").await;
    assert_eq!(reads(&ada, &ours).await, MAY_NOT);
    let given = grant(&host.client, json!({"walker_id": ours, "to": "ada@example.org"})).await;
    assert_eq!(reads(&ada, &ours).await, MAY);
    stranger.delete(&format!("/grants/{}", given["id"].as_str().unwrap())).await.problem(404, "grant.not_found");
    // And the other way round, for what a key runs without the right to read everything.
    grant(&ada, json!({"to": scene::root(&host).await})).await;
    assert_eq!(host.client.post("/walker/reads", &json!({"walker_id": adas})).await.status, 200);
    // With a walker that is forgotten goes what was granted of it.
    assert_eq!(host.client.delete(&format!("/walkers/{ours}")).await.status, 204);
    assert_eq!(ada.get("/grants").await.expect(200)["grants"].as_array().unwrap().len(), 1);
    host.stop().await;
}

#[tokio::test]
async fn what_runs_in_public_is_read_by_whoever_holds_its_id() {
    let host = scene::host().await;
    let open = host.client.with_token(None);
    let (ada, _) = user(&host, "ada@example.org").await;
    host.operator().post("/tenants", &json!({"name": "acme"})).await.expect(201);
    let (stranger, _) = key(&host, "acme", json!({"name": "r", "scopes": ["read", "invoke"]})).await;
    let answer = open.post("/walker/open_echo", &json!({"value": "hi"})).await.expect(200);
    assert_eq!(answer["reports"], json!(["hi"]));
    let id = answer["walker_id"].as_str().unwrap();
    let path = format!("/walkers/{id}");
    let seen = open.get(&path).await.expect(200);
    assert_ne!(seen["walker"]["schedule"]["root_id"], scene::root(&host).await);
    for client in [&ada, &host.client] {
        assert_eq!(client.get(&path).await.expect(200), seen);
    }
    assert_eq!(ada.post("/walker/reads", &json!({"walker_id": id})).await.status, 200);
    stranger.get(&path).await.problem(404, "walker.not_found");
    let there = open.request(Method::GET, &path).header("Walker-Tenant", "acme");
    open.send(there).await.problem(401, "token.missing");
    // Its result, and nothing else of it.
    open.get(&format!("{path}/logs")).await.problem(401, "token.missing");
    ada.get(&format!("{path}/logs")).await.problem(404, "walker.not_found");
    ada.delete(&path).await.problem(404, "walker.not_found");
    assert_eq!(listed(&ada, "&name=open_echo", 50).await, Vec::<String>::new());
    // The same walker, called by a user, is the user's own.
    let own = ada.post("/walker/open_echo", &json!({})).await.expect(200);
    open.get(&format!("/walkers/{}", own["walker_id"].as_str().unwrap())).await.problem(401, "token.missing");
    host.stop().await;
}
