//! Who looks after a tenant's users.

use reqwest::Method;
use serde_json::{Value, json};
use walker_harness::Client;

use crate::identity::{PASSWORD, key, user};
use crate::scene::{self, keys};

#[tokio::test]
async fn administrators_look_after_users_and_nobody_else_does() {
    let host = scene::host().await;
    let ((ada, _), (bob, bob_root)) = (user(&host, "ada@example.org").await, user(&host, "bob@example.org").await);
    let patch = async |client: &Client, id: &str, body: &Value| {
        client.send(client.request(Method::PATCH, &format!("/users/{id}")).json(body)).await
    };
    // The first administrator is made with a key.
    let listed = host.client.get("/users").await.expect(200)["users"].take();
    let ids: Vec<&str> = listed.as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap()).collect();
    let [ada_id, bob_id] = ids[..] else { panic!("{listed}") };
    assert_eq!(keys(&listed[1]), ["created_at", "email", "id", "role", "root_id"]);
    assert_eq!((&listed[1]["role"], &listed[1]["root_id"]), (&json!("none"), &json!(bob_root)));
    ada.get("/users").await.problem(403, "role.missing");
    patch(&ada, ada_id, &json!({"role": "admin"})).await.problem(403, "role.missing");
    assert_eq!(patch(&host.client, ada_id, &json!({"role": "admin"})).await.expect(200)["role"], "admin");
    let page = ada.get("/users?limit=1").await.expect(200);
    let next = ada.get(&format!("/users?limit=1&cursor={}", page["cursor"].as_str().unwrap())).await.expect(200);
    assert_eq!(
        (&page["users"][0]["role"], &next["users"][0], &next["cursor"]),
        (&json!("admin"), &listed[1], &Value::Null)
    );

    // It sees no more of others' walkers than before.
    let secret = bob.run("sample", &json!({})).await["id"].as_str().unwrap().to_owned();
    ada.get(&format!("/walkers/{secret}")).await.problem(404, "walker.not_found");
    assert_eq!(patch(&ada, bob_id, &json!({"role": "admin"})).await.expect(200)["role"], "admin");
    bob.get("/users").await.expect(200);
    assert_eq!(patch(&ada, bob_id, &json!({"role": "none"})).await.expect(200)["role"], "none");
    bob.get("/users").await.problem(403, "role.missing");
    assert_eq!(ada.delete(&format!("/users/{bob_id}/sessions")).await.status, 204);
    bob.get("/walkers").await.problem(401, "token.invalid");

    for (body, pointer) in
        [(json!({"role": "king"}), "/role"), (json!({}), "/role"), (json!({"role": "none", "x": 1}), "/x")]
    {
        let problem = patch(&ada, bob_id, &body).await.problem(422, "fields.invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let nobody = "550e8400-e29b-41d4-a716-446655440000";
    for id in [nobody, "nobody"] {
        patch(&ada, id, &json!({"role": "none"})).await.problem(404, "user.not_found");
        ada.delete(&format!("/users/{id}")).await.problem(404, "user.not_found");
        ada.delete(&format!("/users/{id}/sessions")).await.problem(404, "user.not_found");
    }
    host.operator().post("/tenants", &json!({"name": "acme"})).await.expect(201);
    let (stranger, _) = key(&host, "acme", json!({"name": "d", "scopes": ["deploy"]})).await;
    patch(&stranger, bob_id, &json!({"role": "admin"})).await.problem(404, "user.not_found");

    let open = host.client.with_token(None);
    let credentials = json!({"email": "bob@example.org", "password": PASSWORD});
    open.post("/user/login", &credentials).await.expect(200);
    assert_eq!(ada.delete(&format!("/users/{bob_id}")).await.status, 204);
    open.post("/user/login", &credentials).await.problem(401, "login.failed");
    // What it started stays the tenant's; who registers anew is somebody else.
    host.client.get(&format!("/walkers/{secret}")).await.expect(200);
    let (again, root) = user(&host, "bob@example.org").await;
    assert_ne!(root, bob_root);
    again.get(&format!("/walkers/{secret}")).await.problem(404, "walker.not_found");
    host.stop().await;
}
