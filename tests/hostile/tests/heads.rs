//! Requests whose head is too large, is no HTTP, or comes with a body that nobody asked for.

use crate::scene;
use crate::wire::{Wire, head};

#[tokio::test]
async fn a_head_has_its_bounds() {
    let host = scene::host_with("").await;
    let client = &host.client;
    let path = |length: usize| format!("GET /walkers/{}", "x".repeat(length));
    let header = |count: usize, length: usize| format!("x-{}: a\r\n", "y".repeat(length)).repeat(count);
    for (what, request, headers, status, code) in [
        ("a long path", path(8_000), String::new(), 404, "walker.not_found"),
        ("a longer path", path(9_000), String::new(), 414, "uri.too_long"),
        ("a path beyond all", path(70_000), String::new(), 414, "uri.too_long"),
        ("large headers", path(1), header(2, 12_000), 404, "walker.not_found"),
        ("larger headers", path(1), header(3, 12_000), 431, "headers.too_large"),
        ("headers beyond all", path(1), header(90, 10_000), 431, "headers.too_large"),
        ("too many headers", path(1), header(120, 1), 431, "headers.too_large"),
    ] {
        let mut wire = Wire::to(&host).await;
        let _ = wire.try_send([head(client, &request, &headers), b"\r\n".to_vec()].concat()).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(answer.body.contains(&format!("\"code\":\"{code}\"")), "{what}: {answer:?}");
    }
    for garbage in [
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".as_slice(),
        b"GET / HTTP/1.1\r\nhost x\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked, identity\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut wire = Wire::to(&host).await;
        wire.send(garbage).await;
        let end = wire.end().await;
        // Who begins with what is another version's beginning would not understand an answer.
        let expect = !garbage.starts_with(b"PRI");
        let is_told = end.starts_with("HTTP/1.1 400 ") && end.contains(r#""code":"request.malformed""#);
        assert!(if expect { is_told } else { end.is_empty() }, "{:?}: {end}", String::from_utf8_lossy(garbage));
    }
    scene::still_serves(client).await;
    host.stop().await;
}

#[tokio::test]
async fn a_stranger_sends_no_more_than_is_worth_an_answer() {
    let host = scene::host_with("").await;
    let client = &host.client;
    let open = client.with_token(None);
    let announced = |length: u64| format!("content-length: {length}\r\n\r\n");
    for (what, client, request, length, status, code) in [
        ("no token", &open, "POST /walker/sample", 16 << 20, 401, "token.missing"),
        ("no token", &open, "POST /walker/nobody", 16 << 20, 401, "token.missing"),
        ("no token", &open, "PUT /modules/x", 64 << 20, 401, "token.missing"),
        ("a wrong token", &open.with_token(Some("wk_x")), "PUT /modules/x", 64 << 20, 401, "token.invalid"),
        ("nowhere", &open, "POST /nowhere", 1 << 30, 404, "route.not_found"),
        ("no password is so long", &open, "POST /user/login", 1 << 20, 413, "body.too_large"),
        ("more than a module", client, "PUT /modules/x", (64 << 20) + 1, 413, "body.too_large"),
        ("more than the universe", client, "POST /walker/sample", u64::MAX / 2, 413, "body.too_large"),
    ] {
        let mut wire = Wire::to(&host).await;
        wire.send(head(client, request, &announced(length))).await;
        // The answer does not wait for a body that never comes.
        let answer = wire.answer().await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(answer.body.contains(code), "{what}: {answer:?}");
        assert!(answer.head.to_ascii_lowercase().contains("connection: close"), "{what}: {answer:?}");
    }
    // One that does come, in pieces without end: the answer is there all the same.
    let mut wire = Wire::to(&host).await;
    wire.send(head(&open, "POST /walker/sample", "transfer-encoding: chunked\r\n\r\n")).await;
    let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut sent = 0;
    while sent < 64 << 20 && wire.try_send(&piece).await.is_ok() {
        sent += piece.len();
    }
    assert!(sent < 32 << 20, "the host went on reading: {sent}");
    // Who asks first is told before anything is sent, or told to go on.
    let body = b"{}";
    for (client, status) in [(&open, 401), (client, 200)] {
        let mut wire = Wire::to(&host).await;
        let headers = format!("expect: 100-continue\r\n{}", announced(body.len() as u64));
        wire.send(head(client, "POST /walker/sample", &headers)).await;
        let mut answer = wire.answer().await;
        if status == 200 {
            assert_eq!(answer.status, 100, "{answer:?}");
            wire.send(body).await;
            answer = wire.answer().await;
        }
        assert_eq!(answer.status, status, "{answer:?}");
    }
    scene::still_serves(client).await;
    host.stop().await;
}
