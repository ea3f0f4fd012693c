//! Ids of others, and ids that are not ids: both are nobody's.

use serde_json::json;
use walker_harness::{Client, Host};

use crate::scene;

const PASSWORD: &str = "correct horse battery staple";

async fn user(host: &Host, email: &str) -> Client {
    let open = host.client.with_token(None);
    let credentials = json!({"email": email, "password": PASSWORD});
    open.post("/user/register", &credentials).await.expect(201);
    let session = open.post("/user/login", &credentials).await.expect(200);
    open.with_token(session["token"].as_str())
}

/// A walker's id in every place that takes one.
async fn is_nobody(client: &Client, id: &str) {
    for path in [format!("/walkers/{id}"), format!("/walkers/{id}?wait=1s"), format!("/walkers/{id}/logs")] {
        client.get(&path).await.problem(404, "walker.not_found");
    }
}

#[tokio::test]
async fn what_belongs_to_others_is_not_there() {
    let host = scene::host_with("").await;
    let neighbour = scene::neighbour(&host).await;
    let (ada, bob) = (user(&host, "ada@example.org").await, user(&host, "bob@example.org").await);
    let of_ada = ada.run("sample", &json!({})).await["id"].as_str().unwrap().to_owned();
    let of_neighbour = neighbour.run("sample", &json!({})).await["id"].as_str().unwrap().to_owned();
    for (client, id) in [(&bob, &of_ada), (&neighbour, &of_ada), (&ada, &of_neighbour), (&host.client, &of_neighbour)] {
        is_nobody(client, id).await;
        // A walker of theirs sees no more than they do.
        let problem = client.post("/walker/reads", &json!({"walker_id": id})).await;
        problem.problem(500, "guest.error");
        assert!(problem.text.contains("there is no"), "{}", problem.text);
        let listed = client.get("/walkers?limit=500").await.expect(200);
        assert!(listed["walkers"].as_array().unwrap().iter().all(|walker| walker["id"] != id.as_str()), "{listed}");
    }
    // Without a token nobody learns even that.
    let open = host.client.with_token(None);
    for path in [format!("/walkers/{of_ada}"), "/walkers/w:sample:550e8400-e29b-41d4-a716-446655440000".to_owned()] {
        open.get(&path).await.problem(401, "token.missing");
    }
    // Nobody enters another's root.
    let root = host.operator().get("/tenants/neighbour").await.expect(200)["root_id"].as_str().unwrap().to_owned();
    for client in [&ada, &host.client] {
        client.post(&format!("/walker/sample/{root}"), &json!({})).await.problem(404, "node.not_found");
    }
    // Its owner still does, and so does whoever may read all of the tenant.
    for client in [&ada, &host.client] {
        assert_eq!(client.get(&format!("/walkers/{of_ada}")).await.expect(200)["walker"]["id"], of_ada.as_str());
    }
    host.stop().await;
}

/// Bytes that are no text, and so no path.
const NO_TEXTS: [&str; 2] = ["%C3%28", "%ED%A0%80"];

/// What somebody might send in the place of an id, as it stands in a path.
fn not_ids() -> Vec<String> {
    let uuid = "550e8400-e29b-41d4-a716-446655440000";
    let mut ids: Vec<String> = [
        "x",
        "w",
        "w:",
        "w::",
        "w:sample",
        "w:sample:",
        "0",
        "-1",
        "null",
        "%00",
        "%0A",
        "%F0%9F%90%95",
        "%C3%28",
        "%ED%A0%80",
        "..%2F..%2Fetc%2Fpasswd",
        "%2e%2e%2f",
        "'%20or%20'1'='1",
        "%22;drop%20table%20walkers;--",
        "w:sample:*",
        "w:%25:1",
        "${jndi:ldap:%2F%2Fx}",
        "w:sample:550e8400",
        "w:sample:zzze8400-e29b-41d4-a716-446655440000",
    ]
    .map(str::to_owned)
    .into();
    ids.extend([
        format!("w::{uuid}"),
        format!("n:sample:{uuid}"),
        format!("W:sample:{uuid}"),
        format!("w:sample:{uuid}:"),
        format!("w:sample:{uuid}%00"),
        format!("w:sample:{uuid}%20"),
        format!("%20w:sample:{uuid}"),
        format!("w:sample:{{{uuid}}}"),
        format!("w:sample:urn:uuid:{uuid}"),
        format!("w:1sample:{uuid}"),
        format!("w:s%C3%A4mple:{uuid}"),
        format!("w:sam%00ple:{uuid}"),
        format!("w:{}:{uuid}", "a".repeat(65)),
        format!("w:{}:{uuid}", "a".repeat(4_000)),
        uuid.to_owned(),
    ]);
    ids
}

#[tokio::test]
async fn what_is_no_id_names_nothing() {
    let host = scene::host_with("").await;
    let client = &host.client;
    for id in not_ids() {
        for (path, code) in [
            (format!("/walkers/{id}"), "walker.not_found"),
            (format!("/walkers/{id}/logs"), "walker.not_found"),
            (format!("/walker/sample/{id}"), "node.not_found"),
            (format!("/tenants/default/keys/{id}"), "key.not_found"),
        ] {
            let (caller, method) = match path.split('/').nth(1) {
                Some("tenants") => (host.operator(), "DELETE"),
                Some("walker") => (client.clone(), "POST"),
                _ => (client.clone(), "GET"),
            };
            let answer = caller.send(caller.request(method.parse().unwrap(), &path)).await;
            assert_eq!(answer.status, 404, "{path}: {}", answer.text);
            answer.problem(404, if NO_TEXTS.contains(&id.as_str()) { "route.not_found" } else { code });
        }
        scene::still_serves(client).await;
    }
    host.stop().await;
}
