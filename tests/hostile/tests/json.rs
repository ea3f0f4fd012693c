//! JSON that is deep, doubled, huge or not JSON, from callers and from guests.

use reqwest::Method;
use serde_json::{Value, json};

use crate::guest::{Guest, OK, call, data, guest};
use crate::scene::{self, Attack};

fn nested(depth: usize) -> String {
    format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
}

#[tokio::test]
async fn a_callers_json_is_taken_as_it_is_or_not_at_all() {
    let host = scene::host_with("").await;
    let client = &host.client;
    let with = |value: &str| format!(r#"{{"value":{value}}}"#).into_bytes();
    let doubled = br#"{"value":1,"value":2}"#.to_vec();
    let many = format!("{{{}\"z\":1}}", "\"a\":1,".repeat(1_000_000)).into_bytes();
    let cases: [(&str, Vec<u8>, u16, &str); 17] = [
        ("deep", with(&nested(100_000)), 400, "body.malformed"),
        ("a little too deep", with(&nested(127)), 400, "body.malformed"),
        ("deep objects", with(&format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000))), 400, "body.malformed"),
        ("never closed", vec![b'['; 1_000_000], 400, "body.malformed"),
        ("doubled", doubled, 422, "fields.invalid"),
        ("a million members", many, 422, "fields.invalid"),
        ("a number beyond all floats", with("1e999999999"), 422, "fields.invalid"),
        ("half a surrogate pair", with(r#""\ud800""#), 422, "fields.invalid"),
        ("NUL as it is", with("\"\0\""), 400, "body.malformed"),
        (
            "not UTF-8",
            with("\"?\"").iter().map(|byte| if *byte == b'?' { 0xff } else { *byte }).collect(),
            400,
            "body.malformed",
        ),
        (
            "a surrogate as bytes",
            [b"{\"value\":\"".as_slice(), b"\xed\xa0\x80", b"\"}"].concat(),
            400,
            "body.malformed",
        ),
        ("UTF-16", vec![0xff, 0xfe, b'{', 0, b'}', 0], 400, "body.malformed"),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec(), 400, "body.malformed"),
        ("a comment", b"{/* */}".to_vec(), 400, "body.malformed"),
        ("NaN", with("NaN"), 400, "body.malformed"),
        ("a list", b"[]".to_vec(), 400, "body.malformed"),
        ("larger than allowed", vec![b' '; (16 << 20) + 1], 413, "body.too_large"),
    ];
    for (what, body, status, code) in cases {
        let answer = client.send(client.request(Method::POST, "/walker/echo").body(body)).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {}", &answer.text[..answer.text.len().min(500)]);
        answer.problem(status, code);
        assert!(answer.text.len() < 64 << 10, "{what}: the answer is short");
        scene::still_serves(client).await;
    }
    // What is odd but well-formed comes back as it went.
    for value in
        [nested(125).as_str(), r#""\u0000\u001f""#, r#"{"":{"":[]}}"#, r#""👩‍👩‍👧‍👦\u202e""#, "12345678901234567", "-0.0"]
    {
        let request = client.request(Method::POST, "/walker/echo").body(with(value));
        let answer = client.send(request).await.expect(200);
        let sent: Value = serde_json::from_str(value).unwrap();
        assert_eq!(answer["reports"], json!([sent]), "{value}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_guests_json_is_held_to_the_same() {
    let host = scene::host_with("").await;
    let client = &host.client;
    let bad: [&[u8]; 7] = [b"", b"{", b"nul", b"1 2", b"\"\0\"", b"{\"a\":1,}", &nested(100_000).into_bytes()];
    for text in bad {
        let brings = |run: String| Guest { parts: data(1 << 17, text), pages: 6, run, ..guest("speaks") };
        // Told to the guest, which goes on: it ends well only if every call was refused.
        let refused = ["report", "save", "custom"]
            .map(|import| match (import, text.len() > 4096) {
                // A custom value of that length ends the run already.
                ("custom", true) => String::new(),
                _ => format!("(if (i32.eqz {}) (then unreachable))", call(import, 1 << 17, text.len())),
            })
            .concat();
        let attack = Attack { what: "calls", guest: brings(format!("{refused} {OK}")), ends: None, said: "" };
        let view = scene::ends(client, attack).await;
        assert_eq!(view["schedule"]["reports"], json!([]), "{view}");
        let answer = format!("(call $answer (i32.const 0) (i32.const {}) (i32.const {}))", 1 << 17, text.len());
        let said = "returned fields that are not JSON";
        scene::ends(client, Attack { what: "fields", guest: brings(answer), ends: Some(("guest.error", 500)), said })
            .await;
    }
    // Doubled keys are JSON, and come back as they were written.
    let text = br#"{"a":1,"a":{"\u0000":"\ud800"}}"#;
    let run = format!("(drop {}) {OK}", call("report", 4096, text.len()));
    let guest = Guest { parts: data(4096, text), run, ..guest("speaks") };
    client.put_module("attack", guest.core()).await.expect(201);
    let id = client.start("speaks", &json!({})).await;
    // Half a surrogate pair is more than most readers of JSON can read back, so the text is looked at.
    while !client.get(&format!("/walkers/{id}?wait=30s")).await.text.contains("\"completed\"") {}
    let page = client.get(&format!("/walkers/{id}")).await;
    assert!(page.text.contains(std::str::from_utf8(text).unwrap()), "{}", page.text);
    host.stop().await;
}
