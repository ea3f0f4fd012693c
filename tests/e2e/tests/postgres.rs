//! What Postgres holds comes back unharmed, and its own death loses nothing.

use futures::future::join_all;
use serde_json::{Value, json};
use walker_harness::Options;

use crate::scene;

#[tokio::test]
async fn nul_characters_odd_numbers_and_four_megabytes_come_back_unharmed() {
    let host = scene::host().await;
    let large = "x".repeat(4_000_000);
    for value in [
        json!("a\u{0}b"),
        json!({"\u{0}": ["\u{0}\u{1}", "é\u{10ffff}"]}),
        json!({"large": large}),
        json!([9_007_199_254_740_993_i64, 1e300, -0.0, i64::MIN, u64::MAX]),
    ] {
        let view = host.client.run("echo_later", &json!({"value": value})).await;
        assert_eq!(view["schedule"]["status"], "completed", "{}", view["schedule"]["error"]);
        assert!(view["context"]["value"] == value && view["schedule"]["reports"][0] == value);
    }
    host.stop().await;
}

#[tokio::test]
async fn postgres_restarted_under_a_running_host_loses_nothing_acknowledged() {
    let database = scene::database().await;
    let options = Options {
        database_url: Some(database.clone()),
        expected_log: vec![
            "Connection error",
            "database",
            "Postgres",
            "lease",
            "waiting walkers",
            "dead hosts",
            "effect",
            "could not",
            "cannot",
        ],
        ..Options::default()
    };
    let host = walker_harness::Host::with_modules(options, &["seed", "faults"]).await;
    let client = host.client.clone();
    let load = tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        for _ in 0..40 {
            let answers = join_all((0..10).map(|_| {
                let request = client.request(reqwest::Method::POST, "/walker/sample").json(&json!({}));
                client.try_send(request)
            }));
            for answer in answers.await.into_iter().map(Result::unwrap) {
                match answer.status.as_u16() {
                    200 => acknowledged.push(answer.json()["walker_id"].as_str().unwrap().to_owned()),
                    // Said clearly, with a time to come back.
                    503 => assert!(answer.headers.contains_key("retry-after"), "{}", answer.text),
                    _ => panic!("{} {}", answer.status, answer.text),
                }
            }
        }
        acknowledged
    });
    let (admin, connection) = tokio_postgres::connect(&database, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    for _ in 0..20 {
        admin
            .execute(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()",
                &[],
            )
            .await
            .unwrap();
        tokio::task::yield_now().await;
    }
    let acknowledged = load.await.unwrap();
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    for id in &acknowledged {
        let view = host.client.ended(id).await;
        assert_eq!(view["schedule"]["status"], "completed", "{view}");
        assert_eq!(view["context"], json!({"value": 1}));
    }
    // One result each, and nothing left behind.
    let row = admin
        .query_one(
            "select (select count(*) from queue), (select count(*) from results), (select count(*) from walkers)",
            &[],
        )
        .await
        .unwrap();
    let (queued, results, walkers): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!((queued, results), (0, walkers));
    assert!(walkers >= acknowledged.len() as i64);
    drop(admin);
    driver.await.unwrap().unwrap();
    host.stop().await;
}

#[tokio::test]
async fn a_killed_host_loses_nothing_and_goes_on_from_the_last_save() {
    // With its own embedded Postgres, which outlives it.
    let options = Options { expected_log: vec!["stopped answering", "will run again"], ..Options::default() };
    let mut host = walker_harness::Host::with_modules(options, &["seed", "faults"]).await;
    let done = host.client.run("sample", &json!({})).await;
    let compiled = std::fs::read_dir(host.data_dir().join("compiled")).unwrap().count();
    let id = host.client.start("waits_for_save", &json!({"ms": 2_000})).await;
    let saved: Value = loop {
        let view = host.client.get(&format!("/walkers/{id}")).await.expect(200)["walker"].take();
        assert_eq!(view["schedule"]["http_status"], Value::Null, "{view}");
        if view["context"]["step"] == 1 {
            break view;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(saved["schedule"]["status"], "running");
    host.kill().await;
    let host = host.restart().await;
    let view = host.client.ended(&id).await;
    assert_eq!(view["schedule"]["status"], "completed", "{view}");
    assert_eq!(view["run"]["attempt"], 2, "{view}");
    let again = host.client.get(&format!("/walkers/{}", done["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(again["walker"], done, "what had ended reads as before");
    let now = std::fs::read_dir(host.data_dir().join("compiled")).unwrap().count();
    assert_eq!(now, compiled);
    assert!(!host.log().iter().any(|line| line.contains("compiling")), "nothing is compiled twice");
    host.stop().await;
}
