//! What answers tell browsers: what not to do with them, and which pages may call.

use reqwest::Method;
use serde_json::json;
use walker_harness::{Answer, Client, Host, Options};

use crate::scene;

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_answer_says_what_not_to_do_with_it() {
    let host = scene::host().await;
    let open = host.client.with_token(None);
    let nothing = "default-src 'none'; frame-ancestors 'none'";
    for (what, answer, status, policy, cache) in [
        ("data", host.client.get("/walkers").await, 200, nothing, "no-store"),
        ("a refusal", open.get("/walkers").await, 401, nothing, "no-store"),
        ("nothing", open.get("/nowhere").await, 404, nothing, "no-store"),
        ("no such method", open.post("/healthz", &json!({})).await, 405, nothing, "no-store"),
        ("too long", open.get(&format!("/walkers/{}", "x".repeat(9_000))).await, 414, nothing, "no-store"),
        ("bad fields", open.post("/user/login", &json!({"x": 1})).await, 422, nothing, "no-store"),
        ("a document", open.get("/openapi.json").await, 200, nothing, "no-cache"),
        ("a page", open.get("/docs").await, 200, "script-src 'unsafe-inline'", "no-cache"),
    ] {
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{what}");
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer", "{what}");
        assert_eq!(header(&answer, "cache-control"), cache, "{what}");
        let said = header(&answer, "content-security-policy");
        assert!(said.contains(policy) && said.contains("frame-ancestors 'none'"), "{what}: {said}");
        // The host does not know how it is reached.
        assert!(!answer.headers.contains_key("strict-transport-security"), "{what}");
    }
    host.stop().await;
}

/// What a browser asks before a page's call, and the call itself, as from a page of this site.
async fn asked_and_called(client: &Client, origin: &str) -> [Answer; 2] {
    let asked = client
        .with_token(None)
        .request(Method::OPTIONS, "/walkers")
        .header("origin", origin)
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization");
    let called = client.request(Method::GET, "/walkers").header("origin", origin);
    [client.send(asked).await, client.send(called).await]
}

#[tokio::test]
async fn pages_of_other_sites_may_call_only_where_they_are_named() {
    const NAMED: &str = "https://app.example";
    let host = scene::host().await;
    let [asked, called] = asked_and_called(&host.client, NAMED).await;
    asked.problem(405, "method.not_allowed");
    called.expect(200);
    assert!(asked.headers.keys().chain(called.headers.keys()).all(|name| !name.as_str().contains("access-control")));
    host.stop().await;

    let config = format!("cors_origins = ['{NAMED}', 'http://localhost:3000']");
    let host = Host::start(Options { database_url: Some(scene::database().await), config, ..Options::default() }).await;
    let [asked, called] = asked_and_called(&host.client, NAMED).await;
    assert_eq!(asked.status, 200, "before anybody asks who calls: {}", asked.text);
    assert!(header(&asked, "access-control-allow-methods").contains("PATCH"));
    for name in ["authorization", "idempotency-key", "walker-custom", "walker-tenant", "content-type"] {
        assert!(header(&asked, "access-control-allow-headers").contains(name), "{name}");
    }
    called.expect(200);
    assert!(header(&called, "access-control-expose-headers").contains("x-request-id"));
    let refused = asked_and_called(&host.client.with_token(None), NAMED).await;
    refused[1].problem(401, "token.missing");
    let lost = host.client.request(Method::GET, "/nowhere").header("origin", NAMED);
    let lost = host.client.send(lost).await;
    lost.problem(404, "route.not_found");
    // A page must be able to read refusals, too.
    for answer in [&asked, &called, &refused[1], &lost] {
        assert_eq!(header(answer, "access-control-allow-origin"), NAMED);
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
        assert!(header(answer, "vary").contains("origin"));
    }
    for other in ["https://app.example.evil", "http://app.example", "null"] {
        for answer in asked_and_called(&host.client, other).await {
            assert!(!answer.headers.contains_key("access-control-allow-origin"), "{other}");
        }
    }
    host.stop().await;
}
