//! A database that is dumped while hosts run, and restored elsewhere.

use reqwest::Method;
use serde_json::json;
use walker_harness::{Cluster, Host, Options};

use crate::scene;

/// Runs one of Postgres' programs to its end.
async fn run(name: &str, args: &[&str]) {
    let mut program = Cluster::program(name);
    program.args(args);
    let done = tokio::task::spawn_blocking(move || program.output()).await.unwrap().unwrap();
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test]
async fn what_is_dumped_while_a_host_runs_goes_on_where_it_is_restored() {
    let database = scene::database().await;
    let options = |database: &str| Options {
        database_url: Some(database.to_owned()),
        expected_log: vec!["stopped answering", "will run again"],
        ..Options::default()
    };
    let mut host = Host::with_modules(options(&database), &["seed", "faults"]).await;
    let client = &host.client;
    let ended = client.run("sample", &json!({"value": 20})).await;
    let failed = client.run("returns_error", &json!({"message": "for the test"})).await;
    let later = client.request(Method::POST, "/walker/sample?delay=1h").json(&json!({}));
    let later = client.send(later).await.expect(200)["walker_id"].as_str().unwrap().to_owned();
    let runs = client.start("waits_for_save", &json!({"ms": 8_000})).await;
    while client.get(&format!("/walkers/{runs}")).await.expect(200)["walker"]["context"]["step"] != 1 {}

    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("walker.dump");
    let dump = dump.to_str().unwrap();
    run("pg_dump", &["--format=custom", "--file", dump, &database]).await;
    let too_late = client.run("sample", &json!({})).await["id"].as_str().unwrap().to_owned();
    let token = client.token().unwrap().to_owned();
    host.kill().await;

    let restored = scene::database().await;
    run("pg_restore", &["--exit-on-error", "--dbname", &restored, dump]).await;
    let host = Host::start(options(&restored)).await;
    let client = host.client.with_token(Some(&token));
    for before in [ended, failed] {
        let id = before["id"].as_str().unwrap();
        assert_eq!(client.get(&format!("/walkers/{id}")).await.expect(200)["walker"], before);
    }
    let view = client.ended(&runs).await;
    assert_eq!((&view["schedule"]["status"], &view["run"]["attempt"]), (&json!("completed"), &json!(2)), "{view}");
    let reports = json!([{"attempt": 1, "began_at": 0}, {"attempt": 2, "began_at": 1}]);
    assert_eq!((&view["schedule"]["reports"], &view["context"]["step"]), (&reports, &json!(2)), "{view}");
    let view = client.get(&format!("/walkers/{later}")).await.expect(200);
    assert_eq!(view["walker"]["schedule"]["status"], "pending", "{view}");
    client.get(&format!("/walkers/{too_late}")).await.problem(404, "walker.not_found");
    // It knows what was published, with whichever key, and takes in new walkers.
    host.client.put_module("seed", walker_harness::module("seed")).await.expect(200);
    assert_eq!(client.run("sample", &json!({})).await["schedule"]["status"], "completed");
    host.stop().await;
}
