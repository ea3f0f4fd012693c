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

/// Posts `sample` for a while; answers the ids that were acknowledged. Whatever is refused is refused clearly.
async fn acknowledged(client: walker_harness::Client) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..40 {
        let answers = join_all((0..10).map(|_| {
            let request = client.request(reqwest::Method::POST, "/walker/sample").json(&json!({}));
            client.try_send(request)
        }));
        for answer in answers.await.into_iter().map(Result::unwrap) {
            match answer.status.as_u16() {
                200 => ids.push(answer.json()["walker_id"].as_str().unwrap().to_owned()),
                // Said clearly, with a time to come back.
                503 => assert!(answer.headers.contains_key("retry-after"), "{}", answer.text),
                _ => panic!("{} {}", answer.status, answer.text),
            }
        }
    }
    ids
}

/// What a host may complain of while its database is away.
const DATABASE_GONE: [&str; 9] = [
    "deadpool.postgres",
    "PostgreSQL",
    "database",
    "lease",
    "waiting walkers",
    "dead hosts",
    "an effect failed",
    "could not be run",
    "could not give walker",
];

#[tokio::test]
async fn cut_connections_lose_nothing_acknowledged_and_double_nothing() {
    let database = scene::database().await;
    let options =
        Options { database_url: Some(database.clone()), expected_log: DATABASE_GONE.to_vec(), ..Options::default() };
    let host = walker_harness::Host::with_modules(options, &["seed", "faults"]).await;
    let load = tokio::spawn(acknowledged(host.client.clone()));
    let (admin, connection) = tokio_postgres::connect(&database, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    while !load.is_finished() {
        admin
            .execute(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()",
                &[],
            )
            .await
            .unwrap();
        // Long enough for some statements to get through, in each state of the protocol now and then.
        admin.execute("select pg_sleep(0.05)", &[]).await.unwrap();
    }
    let ids = load.await.unwrap();
    assert!(ids.len() > 100, "{}", ids.len());
    for id in &ids {
        let view = host.client.ended(id).await;
        assert_eq!(view["schedule"]["status"], "completed", "{view}");
        assert_eq!(view["context"], json!({"value": 1}));
    }
    // One result each, and nothing left behind.
    let counts = "select (select count(*) from queue), (select count(*) from results), (select count(*) from walkers)";
    loop {
        let row = admin.query_one(counts, &[]).await.unwrap();
        let (queued, results, walkers): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(queued + results, walkers);
        assert!(walkers >= ids.len() as i64);
        // Those whose answer was lost end, too.
        if queued == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    drop(admin);
    driver.await.unwrap().unwrap();
    host.stop().await;
}

#[tokio::test]
async fn postgres_killed_under_a_running_host_comes_back_and_nothing_acknowledged_is_lost() {
    let options = Options { expected_log: DATABASE_GONE.to_vec(), ..Options::default() };
    let host = walker_harness::Host::with_modules(options, &["seed", "faults"]).await;
    let load = tokio::spawn(acknowledged(host.client.clone()));
    let early = host.client.start("sample", &json!({})).await;
    rustix::process::kill_process(host.postmaster(), rustix::process::Signal::KILL).unwrap();
    let mut ids = load.await.unwrap();
    ids.push(early);
    // The host is ready again by itself.
    while host.client.get("/readyz").await.status != 200 {
        tokio::task::yield_now().await;
    }
    ids.push(host.client.start("sample", &json!({})).await);
    for id in &ids {
        let view = host.client.ended(id).await;
        assert_eq!(view["schedule"]["status"], "completed", "{view}");
        assert_eq!(view["context"], json!({"value": 1}));
    }
    host.stop().await;
}

#[tokio::test]
async fn a_result_that_the_database_refuses_ends_its_walker_once_and_nobody_elses() {
    let database = scene::database().await;
    let options = Options { database_url: Some(database.clone()), expected_log: vec!["refused"], ..Options::default() };
    let host = walker_harness::Host::with_modules(options, &["seed", "faults"]).await;
    let (admin, connection) = tokio_postgres::connect(&database, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    admin
        .batch_execute("alter table results add constraint picky check (reports::text not like '%refuse me%')")
        .await
        .unwrap();
    let values = ["one", "refuse me", "three"];
    let ended = join_all(values.map(async |value| host.client.run("echo_later", &json!({"value": value})).await)).await;
    for (value, view) in values.iter().zip(&ended) {
        assert_eq!(view["run"]["attempt"], 1, "{view}");
        if *value == "refuse me" {
            assert_eq!(view["schedule"]["status"], "failed", "{view}");
            assert_eq!(view["run"]["failure"]["code"], "limit.output", "{view}");
            assert_eq!(view["schedule"]["reports"], json!([]), "{view}");
        } else {
            assert_eq!(view["schedule"]["status"], "completed", "{view}");
            assert_eq!(view["schedule"]["reports"], json!([value]), "{view}");
        }
    }
    let queued: i64 = admin.query_one("select count(*) from queue", &[]).await.unwrap().get(0);
    assert_eq!(queued, 0);
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
    assert!(!host.log().iter().any(|line| line.contains("compiling a module")), "nothing is compiled twice");
    host.stop().await;
}
