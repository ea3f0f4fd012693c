//! Once and whole: idempotency keys and batches, across hosts and their deaths.

use std::collections::HashSet;

use futures::future::join_all;
use serde_json::{Value, json};
use walker_harness::{Client, Host, Options};

use crate::control::keyed;
use crate::scene;

async fn count(client: &Client, name: &str) -> usize {
    let page = client.get(&format!("/walkers?limit=1000&name={name}")).await.expect(200);
    page["walkers"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_key_gives_its_first_answer_again_at_once_and_on_every_host() {
    let one = scene::host().await;
    let second = Host::start(Options { database_url: one.options().database_url.clone(), ..Options::default() }).await;
    let other = Client::new(&second.url, one.client.token());
    for round in 0..5 {
        let key = format!("order-{round}");
        let asked = (0..20).map(|at| {
            let client = if at % 2 == 0 { &one.client } else { &other };
            client.send(keyed(client, "/walker/sample", &key, &json!({"value": 7})))
        });
        let answers = join_all(asked).await;
        let ids: HashSet<String> =
            answers.iter().map(|answer| answer.expect(200)["walker_id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids.len(), 1);
        let replayed = answers.iter().filter(|answer| answer.headers.contains_key("idempotent-replayed")).count();
        assert_eq!(replayed, 19);
        assert!(answers.iter().all(|answer| answer.headers.contains_key("location")));
    }
    assert_eq!(count(&one.client, "sample").await, 5);

    let client = &one.client;
    let send = async |path: &str, key: &str, body: &Value| client.send(keyed(client, path, key, body)).await;
    for (path, body) in [
        ("/walker/sample", json!({"value": 8})),
        ("/walker/sample?delay=1s", json!({"value": 7})),
        ("/walker/echo_later", json!({"value": 7})),
        ("/walker/echo", json!({"value": 7})),
        ("/walker/sample/batch", json!({"walkers": [{"value": 7}]})),
    ] {
        send(path, "order-0", &body).await.problem(422, "idempotency.key_reused");
    }
    for bad in ["", "a b", &"x".repeat(256)] {
        send("/walker/sample", bad, &json!({})).await.problem(422, "idempotency.key_invalid");
    }
    // A refused request keeps no key.
    send("/walker/sample", "fixed", &json!({"value": "one"})).await.problem(422, "fields.invalid");
    send("/walker/sample", "fixed", &json!({"value": 1})).await.expect(200);
    // A replay waits as asked.
    let first = send("/walker/sample?wait=30s", "waits", &json!({})).await.expect(200);
    assert_eq!(first["walker"]["schedule"]["status"], "completed");
    assert_eq!(send("/walker/sample?wait=30s", "waits", &json!({})).await.expect(200), first);
    let without = send("/walker/sample", "waits", &json!({})).await;
    assert_eq!(without.expect(200)["walker_id"], first["walker"]["id"]);
    assert!(without.headers.contains_key("idempotent-replayed"), "waiting is no part of the request");
    // What was accepted is answered again even after its module is gone.
    client.delete("/modules/seed").await;
    let again = send("/walker/sample", "order-0", &json!({"value": 7})).await;
    assert_eq!(again.expect(200)["walker_id"].as_str().unwrap().split(':').nth(1), Some("sample"));
    send("/walker/sample", "new", &json!({"value": 7})).await.problem(404, "walker.not_found");
    second.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn a_synchronous_walker_runs_once_for_a_key() {
    let one = scene::host().await;
    let second = Host::start(Options { database_url: one.options().database_url.clone(), ..Options::default() }).await;
    let other = Client::new(&second.url, one.client.token());
    let asked = (0..10).map(|at| {
        let client = if at % 2 == 0 { &one.client } else { &other };
        client.send(keyed(client, "/walker/echo", "k", &json!({"value": [1, "two"]})))
    });
    let mut first = None;
    for answer in join_all(asked).await {
        if answer.status == 409 {
            answer.problem(409, "idempotency.in_progress");
            assert!(answer.headers.contains_key("retry-after"));
        } else if !answer.headers.contains_key("idempotent-replayed") {
            assert!(first.replace(answer.expect(200)).is_none(), "it ran twice");
        }
    }
    let first = first.unwrap();
    assert_eq!(first["reports"], json!([[1, "two"]]));
    for client in [&one.client, &other] {
        let again = client.send(keyed(client, "/walker/echo", "k", &json!({"value": [1, "two"]}))).await;
        assert_eq!(again.expect(200), first);
        assert_eq!(again.headers["idempotent-replayed"], "true");
    }
    assert_eq!(count(&one.client, "echo").await, 1);
    // The walker's own status and its failure are answered again, too.
    let status = json!({"http_status": 418, "custom": null});
    let first = one.client.send(keyed(&one.client, "/walker/sets_status", "teapot", &status)).await.expect(418);
    assert_eq!(other.send(keyed(&other, "/walker/sets_status", "teapot", &status)).await.expect(418), first);
    let nobody = json!({"walker_id": "w:sample:550e8400-e29b-41d4-a716-446655440000"});
    let failed = one.client.send(keyed(&one.client, "/walker/reads", "fails", &nobody)).await;
    let failed = failed.problem(500, "guest.error");
    let again = other.send(keyed(&other, "/walker/reads", "fails", &nobody)).await;
    assert_eq!(again.headers["idempotent-replayed"], "true");
    let again = again.problem(500, "guest.error");
    assert_eq!((&again["walker_id"], &again["detail"]), (&failed["walker_id"], &failed["detail"]));
    // Once it is forgotten, there is no answer left.
    let id = failed["walker_id"].as_str().unwrap();
    assert_eq!(one.client.delete(&format!("/walkers/{id}")).await.status, 204);
    one.client.send(keyed(&one.client, "/walker/reads", "fails", &nobody)).await.problem(404, "walker.not_found");
    second.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn a_batch_is_accepted_whole_or_not_at_all() {
    let host = scene::host().await;
    let client = &host.client;
    let fields: Vec<Value> = (0..1_000).map(|value| json!({"value": value})).collect();
    let answer = client.post("/walker/echo_later/batch", &json!({"walkers": fields})).await.expect(200);
    assert_eq!(scene::keys(&answer), ["status", "walker_ids"]);
    let ids = answer["walker_ids"].as_array().unwrap();
    assert_eq!(ids.len(), 1_000);
    for (value, id) in ids.iter().enumerate().step_by(97) {
        let view = client.ended(id.as_str().unwrap()).await;
        assert_eq!(view["schedule"]["reports"], json!([value]), "in the order of the request: {view}");
    }
    let batch = |walkers: Value| json!({"walkers": walkers});
    for (path, body, status, code, pointers) in [
        (
            "sample",
            batch(json!([{}, {"value": "x"}, {}, {"valu": 1}])),
            422,
            "fields.invalid",
            vec!["/walkers/1/value", "/walkers/3/valu"],
        ),
        ("sample", batch(json!([{}, 1])), 422, "fields.invalid", vec!["/walkers/1"]),
        ("sample", batch(json!([])), 422, "fields.invalid", vec!["/walkers"]),
        ("sample", batch(json!(vec![json!({}); 1_001])), 422, "fields.invalid", vec!["/walkers"]),
        ("sample", json!({"walker": []}), 422, "fields.invalid", vec![""]),
        ("nobody", batch(json!([{}])), 404, "walker.not_found", vec![]),
        ("echo", batch(json!([{}])), 422, "walker.not_async", vec![]),
    ] {
        let problem = client.post(&format!("/walker/{path}/batch"), &body).await.problem(status, code);
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        let found: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(found, pointers, "{problem}");
    }
    client.post("/walker/sample/batch?wait=1s", &batch(json!([{}]))).await.problem(400, "query.invalid");
    client.with_token(None).post("/walker/sample/batch", &batch(json!([{}]))).await.problem(401, "token.missing");
    assert_eq!(count(client, "sample").await, 0);
    // With a key, and what they all share.
    let body = batch(json!([{}, {"value": 2}]));
    let send = async || {
        let request = keyed(client, "/walker/sample/batch?delay=1h", "b", &body).header("Walker-Custom", "{\"a\":1}");
        client.send(request).await
    };
    let first = send().await.expect(200);
    let again = send().await;
    assert_eq!((again.expect(200), &again.headers["idempotent-replayed"]), (first.clone(), &"true".parse().unwrap()));
    let id = first["walker_ids"][1].as_str().unwrap();
    let view = client.get(&format!("/walkers/{id}")).await.expect(200);
    assert_eq!(view["walker"]["schedule"]["custom"], json!({"a": 1}));
    assert_eq!(view["walker"]["context"], json!({"value": 2}));
    assert_eq!(count(client, "sample").await, 2);
    client.post("/walkers/cancel", &json!({})).await.expect(200);
    host.stop().await;
}

#[tokio::test]
async fn keyed_batches_sent_until_they_are_answered_survive_their_hosts_deaths_once_and_whole() {
    let mut host =
        scene::host_with(Options { expected_log: vec!["stopped answering", "will run again"], ..Options::default() })
            .await;
    let token = host.client.token().map(str::to_owned);
    let (urls, url) = tokio::sync::watch::channel(host.url.clone());
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let (url, token) = (url.clone(), token.clone());
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for batch in 0..25 {
                    let body = json!({"walkers": vec![json!({"value": sender}); 20]});
                    let key = format!("{sender}-{batch}");
                    // As a careful caller does: the same again until there is an answer.
                    let answer = loop {
                        let client = Client::new(&url.borrow().clone(), token.as_deref());
                        match client.try_send(keyed(&client, "/walker/echo_later/batch", &key, &body)).await {
                            Ok(answer) if answer.status == 200 => break answer.json(),
                            Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text),
                            Err(_) => tokio::task::yield_now().await,
                        }
                    };
                    ids.extend(answer["walker_ids"].as_array().unwrap().clone());
                }
                ids
            })
        })
        .collect();
    for _ in 0..3 {
        let before = count(&host.client, "echo_later").await;
        while count(&host.client, "echo_later").await < (before + 100).min(1_000)
            && !senders.iter().all(tokio::task::JoinHandle::is_finished)
        {}
        host.kill().await;
        host = host.restart().await;
        urls.send(host.url.clone()).unwrap();
    }
    let mut all = HashSet::new();
    for sender in senders {
        all.extend(sender.await.unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
    }
    assert_eq!(all.len(), 2_000, "no id twice");
    for id in &all {
        let view = host.client.ended(id).await;
        assert_eq!(view["schedule"]["status"], "completed", "{view}");
        assert_eq!(view["schedule"]["reports"].as_array().unwrap().len(), 1, "{view}");
    }
    let (admin, connection) =
        tokio_postgres::connect(host.options().database_url.as_ref().unwrap(), tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let counts = "select (select count(*) from walkers), (select count(*) from results), (select count(*) from queue)";
    let row = admin.query_one(counts, &[]).await.unwrap();
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)),
        (2_000, 2_000, 0),
        "and none besides"
    );
    drop(admin);
    driver.await.unwrap().unwrap();
    host.stop().await;
}
