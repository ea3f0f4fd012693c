//! Letters of all kinds, and NUL, in every place that takes a text.

use reqwest::Method;
use serde_json::{Value, json};
use walker_harness::Client;

use crate::scene;

/// Texts that upset programs: as they are, and as they stand in a path or a query.
fn odd() -> Vec<(String, String)> {
    let texts = [
        "\0",
        "a\0b",
        "\u{1}\u{1f}\u{7f}",
        "\u{202e}drow",
        "\u{feff}",
        "\u{200b}",
        "\u{fffd}",
        "\u{10ffff}",
        "ß",
        "İ",
        "ﬁ",
        "e\u{301}",
        "日本語",
        "👩‍👩‍👧‍👦",
        "'; drop table walkers; --",
        "<script>alert(1)</script>",
        "{{7*7}}",
        "%s%n%x",
        "../../etc/passwd",
        "\r\nSet-Cookie: a=b",
        "a\tb",
        "\\u0000",
        "\"",
        "$(id)",
    ];
    let long = ["n".repeat(2_000), "é".repeat(800)];
    let all = texts.into_iter().map(str::to_owned).chain(long);
    all.map(|text| {
        let encoded = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        (text, encoded)
    })
    .collect()
}

async fn check(client: &Client, method: Method, path: &str, body: Option<Value>, (status, code): (u16, &str)) {
    let request = client.request(method.clone(), path);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let answer = client.send(request).await;
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
    answer.problem(status, code);
}

#[tokio::test]
async fn odd_texts_are_told_apart_from_names_and_never_a_fault() {
    let host = scene::host_with("").await;
    let client = &host.client;
    let (open, operator) = (client.with_token(None), host.operator());
    let get = Method::GET;
    let post = Method::POST;
    for (text, encoded) in odd() {
        check(client, post.clone(), &format!("/walker/{encoded}"), Some(json!({})), (404, "walker.not_found")).await;
        check(client, post.clone(), &format!("/walker/sample/{encoded}"), Some(json!({})), (404, "node.not_found"))
            .await;
        check(client, get.clone(), &format!("/walkers/{encoded}"), None, (404, "walker.not_found")).await;
        check(client, get.clone(), &format!("/modules/{encoded}"), None, (404, "module.not_found")).await;
        check(client, Method::PUT, &format!("/modules/{encoded}"), Some(json!({})), (422, "module.name_invalid")).await;
        check(client, Method::DELETE, &format!("/modules/{encoded}"), None, (404, "module.not_found")).await;
        check(&operator, get.clone(), &format!("/tenants/{encoded}"), None, (404, "tenant.not_found")).await;
        check(&operator, post.clone(), "/tenants", Some(json!({"name": text})), (422, "fields.invalid")).await;
        check(client, get.clone(), &format!("/walkers?cursor={encoded}"), None, (400, "query.invalid")).await;
        check(client, get.clone(), &format!("/walkers?status={encoded}"), None, (400, "query.invalid")).await;
        check(client, get.clone(), &format!("/walkers?{encoded}=1"), None, (400, "query.invalid")).await;
        check(client, get.clone(), &format!("/walkers?name={encoded}"), None, (400, "query.invalid")).await;
        check(client, post.clone(), &format!("/walker/sample?wait={encoded}"), Some(json!({})), (400, "query.invalid"))
            .await;
        let member = json!({text.clone(): 1});
        check(client, post.clone(), "/walker/sample", Some(member), (422, "fields.invalid")).await;
        let credentials = json!({"email": text, "password": "correct horse"});
        check(&open, post.clone(), "/user/register", Some(credentials.clone()), (422, "fields.invalid")).await;
        check(&open, post.clone(), "/user/login", Some(credentials), (401, "login.failed")).await;
        let key = json!({"name": text, "scopes": [text]});
        check(&operator, post.clone(), "/tenants/default/keys", Some(key), (422, "fields.invalid")).await;
        let started = json!({"how": "Spawn", "walker": text, "fields": {}});
        let answer = client.post("/walker/starts", &started).await.expect(200);
        assert_eq!(answer["reports"][0]["code"], "walker.not_found", "{text:?}: {answer}");
        // As a value it is anybody's business, and comes back as it went.
        let echoed = client.post("/walker/echo", &json!({"value": {text.clone(): text}})).await.expect(200);
        assert_eq!(echoed["reports"], json!([{text.clone(): text}]));
        let view = client.run("echo_later", &json!({"value": text})).await;
        assert_eq!((&view["context"]["value"], &view["schedule"]["reports"][0]), (&json!(text), &json!(text)));
        let view = client.run("returns_error", &json!({"message": text})).await;
        let told = text.replace('\0', "\u{fffd}");
        assert_eq!(view["schedule"]["error"], told.as_str());
        let custom = serde_json::to_string(&text).unwrap();
        let custom: String = custom
            .encode_utf16()
            .map(|unit| match u8::try_from(unit) {
                Ok(byte @ 0x20..0x7f) => char::from(byte).to_string(),
                _ => format!("\\u{unit:04x}"),
            })
            .collect();
        if custom.len() <= 4096 {
            let request = client.request(post.clone(), "/walker/sample?wait=30s").header("Walker-Custom", &custom);
            let view = client.send(request).await.expect(200);
            assert_eq!(view["walker"]["schedule"]["custom"], json!(text), "{custom}");
        }
    }
    // Header values that are no text at all.
    for (name, value, status, code) in [
        ("walker-custom", b"\xff\xfe".as_slice(), 400, "header.invalid"),
        ("walker-custom", b"\"\xc3\xa4\"", 400, "header.invalid"),
        ("authorization", b"Bearer \xff\xfe", 401, "token.invalid"),
        ("walker-tenant", b"\xff", 401, "token.missing"),
    ] {
        let client = if name.starts_with("walker-custom") { client } else { &open };
        let request = client.request(post.clone(), "/walker/sample").header(name, value);
        client.send(request).await.problem(status, code);
    }
    scene::still_serves(client).await;
    host.stop().await;
}
