//! Schemas of fields that cost more than they are large, and values that cost more than they are worth.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::guest::{Guest, guest};
use crate::scene;

/// So many callers send at once what takes long to check.
const CALLERS: usize = 3;

/// A guest whose one field has this schema.
fn with(schema: &Value) -> Vec<u8> {
    Guest { field: Some(("value", schema.to_string())), ..guest("attack") }.core()
}

/// Schemas d0, d1, …, each made of references to the next.
fn chain(length: usize, of: impl Fn(Value) -> Value) -> Value {
    let named = (0..=length).map(|at| {
        let next = json!({"$ref": format!("#/$defs/d{}", at + 1)});
        (format!("d{at}"), if at < length { of(next) } else { json!({"type": "null"}) })
    });
    json!({"$ref": "#/$defs/d0", "$defs": named.collect::<Map<_, _>>()})
}

#[tokio::test]
async fn schemas_that_cost_without_bound_are_refused_at_upload() {
    let host = scene::host_with("").await;
    let pattern = |at: usize| (format!("^{at}{}", "x{1000}".repeat(20)), json!(true));
    for (what, schema, said) in [
        ("2^40 schemas", chain(40, |next| json!({"allOf": [next, next]})), "nests more than"),
        ("10^5 schemas", chain(5, |next| json!({"anyOf": vec![next; 10]})), "to 222222 schemas"),
        ("a circle", json!({"anyOf": [{"$ref": "#"}, {"not": {"$ref": "#"}}]}), "from itself"),
        (
            "many patterns",
            json!({"patternProperties": (0..1_000).map(pattern).collect::<Map<_, _>>()}),
            "1000 patterns",
        ),
        ("megabytes", json!({"enum": vec!["x".repeat(1_000); 3_000]}), "at most 262144"),
        ("another place", json!({"$ref": "http://127.0.0.1/schema"}), "refers to"),
        ("a file", json!({"$ref": "file:///etc/passwd"}), "refers to"),
        ("names", json!({"$dynamicRef": "#a", "$dynamicAnchor": "a"}), "holds $dynamic"),
    ] {
        scene::refuses(&host.client, what, with(&schema), said).await;
    }
    host.stop().await;
}

#[tokio::test]
async fn checking_ends_and_nobody_waits_for_it() {
    let host = scene::host_with("[limits]\nfields_bytes = '16MiB'").await;
    let client = &host.client;
    let list = |value: &str, count: usize| format!("[{}{value}]", format!("{value},").repeat(count - 1));
    let itself = json!({"$ref": "#"});
    for (what, schema, value) in [
        ("millions of mistakes", json!({"type": "array", "items": {"type": "number"}}), list("\"\"", 4_000_000)),
        (
            "one at the end",
            json!({"type": "array", "items": {"type": "number"}}),
            format!("[{}null]", "1,".repeat(4_000_000)),
        ),
        (
            "two ways down, each time",
            json!({"anyOf": [{"type": "array", "items": itself}, {"type": "array", "items": itself}]}),
            format!("{}1{}", "[".repeat(100), "]".repeat(100)),
        ),
        (
            "many schemas for many values",
            json!({"items": {"allOf": vec![json!({"maxLength": 3}); 900]}}),
            list("\"aaa\"", 1_000_000),
        ),
        (
            "one of many",
            json!({"items": {"enum": vec!["aaaaaaaaaaaaaaab"; 9_000]}}),
            list("\"aaaaaaaaaaaaaaaa\"", 500_000),
        ),
        (
            "a costly pattern",
            json!({"items": {"pattern": "^([a-z]{1,50}){1,10}$"}}),
            list(&format!("\"{}!\"", "a".repeat(1_000)), 4_000),
        ),
    ] {
        // Two have the same schema: that one is published already.
        let published = client.put_module("attack", with(&schema)).await;
        assert!(published.status.is_success(), "{what}: {}", published.text);
        let body = format!("{{\"value\":{value}}}");
        let send = || client.send(client.request(Method::POST, "/walker/attack").body(body.clone()));
        let mut heavy = std::pin::pin!(join_all((0..CALLERS).map(|_| send())));
        let mut answered = 0;
        let answers = loop {
            tokio::select! {
                biased;
                answers = &mut heavy => break answers,
                health = client.get("/healthz") => {
                    health.expect(200);
                    answered += 1;
                }
            }
        };
        scene::say(&format!("{what}: /healthz was answered {answered} times meanwhile"));
        for answer in answers {
            let problem = answer.problem(422, "fields.invalid");
            assert!(answer.text.len() < 16 << 10, "{what}: {problem}");
            assert_eq!(problem["errors"].as_array().map(Vec::len), Some(1), "{what}: {problem}");
        }
        scene::still_serves(client).await;
    }
    host.stop().await;
}
