//! Stopping and starting: nothing acknowledged is lost, and what prevents a start is said in one sentence.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;
use walker_harness::{Options, command};

use crate::scene;

#[tokio::test]
async fn what_outlasts_the_grace_period_is_handed_back_and_goes_on_after_the_restart() {
    let args = vec!["--grace".to_owned(), "1s".to_owned()];
    let mut host = scene::host_with(Options { args, ..Options::default() }).await;
    let id = host.client.start("waits_for_save", &json!({"ms": 6_000})).await;
    while host.client.get(&format!("/walkers/{id}")).await.expect(200)["walker"]["context"]["step"] != 1 {}
    let asked = Instant::now();
    host.end().await;
    assert!(asked.elapsed() < Duration::from_secs(5), "it did not wait for the walker: {:?}", asked.elapsed());
    let host = host.restart().await;
    let view = host.client.ended(&id).await;
    assert_eq!(view["schedule"]["status"], "completed", "{view}");
    assert_eq!((&view["run"]["attempt"], &view["run"]["attempts"]), (&json!(2), &json!(null)), "not failed: {view}");
    assert_eq!(view["context"]["step"], 2);
    // What it had reported when it saved is kept, and it went on from there.
    let reports = json!([{"attempt": 1, "began_at": 0}, {"attempt": 2, "began_at": 1}]);
    assert_eq!(view["schedule"]["reports"], reports, "{view}");
    host.stop().await;
}

#[tokio::test]
async fn within_the_grace_period_walkers_end_and_waiting_callers_are_answered() {
    let mut host = scene::host().await;
    let client = host.client.clone();
    let id = client.start("waits_for_save", &json!({"ms": 1_000})).await;
    let path = format!("/walkers/{id}?wait=30s");
    let waiting = tokio::spawn(async move { client.get(&path).await.expect(200) });
    while !host.client.get("/walkers?status=running").await.text.contains("\"step\":1") {}
    host.end().await;
    // However it stood then: the host does not keep a stop waiting for those who wait.
    let answer = waiting.await.unwrap();
    assert_eq!(answer["walker"]["id"], id.as_str(), "{answer}");
    let host = host.restart().await;
    let view = host.client.get(&format!("/walkers/{id}")).await.expect(200)["walker"].take();
    assert_eq!(view["schedule"]["status"], "completed", "it ended before its host did: {view}");
    assert_eq!(view["schedule"]["reports"], json!([{"attempt": 1, "began_at": 0}]), "it ran once: {view}");
    host.stop().await;
}

#[tokio::test]
async fn a_stop_under_load_loses_nothing_acknowledged() {
    let mut host = scene::host().await;
    let clients = (0..8).map(|_| {
        let client = host.client.clone();
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            loop {
                let request = client.request(reqwest::Method::POST, "/walker/sample").json(&json!({}));
                match client.try_send(request).await {
                    Ok(answer) if answer.status == 200 => {
                        acknowledged.push(answer.json()["walker_id"].as_str().unwrap().to_owned());
                    }
                    Ok(answer) => {
                        answer.problem(503, answer.json()["code"].as_str().unwrap());
                        return acknowledged;
                    }
                    // Nobody listens any more.
                    Err(_) => return acknowledged,
                }
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    while host.client.get("/walkers?limit=500").await.expect(200)["walkers"].as_array().unwrap().len() < 300 {}
    host.end().await;
    let acknowledged: Vec<String> = join_all(clients).await.into_iter().flat_map(Result::unwrap).collect();
    assert!(acknowledged.len() >= 300, "{}", acknowledged.len());
    let host = host.restart().await;
    for id in &acknowledged {
        let view = host.client.ended(id).await;
        assert_eq!(view["schedule"]["status"], "completed", "{view}");
        assert_eq!((&view["context"], &view["run"]["attempt"]), (&json!({"value": 1}), &json!(1)), "{view}");
    }
    host.stop().await;
}

/// Runs `walker serve` where it cannot; answers its exit code and what it said on stderr.
async fn refusal(folder: &Path, database: &str, args: &[&str]) -> (Option<i32>, String) {
    let mut serve = command(folder);
    serve.arg("serve").args(args).env("DATABASE_URL", database);
    let output = tokio::time::timeout(Duration::from_secs(60), serve.output()).await.expect("it gives up").unwrap();
    assert!(output.stdout.is_empty(), "stdout is data");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn what_prevents_a_start_is_said() {
    let host = scene::host().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let database = host.options().database_url.clone().unwrap();
    let address = host.url.strip_prefix("http://").unwrap();
    let nobody = "postgres://ada:open-sesame@127.0.0.1:1/nowhere";
    for (database, args, code, said) in [
        (database.as_str(), vec!["--listen", address], 1, vec![address, "another"]),
        (&database, vec!["--listen", "127.0.0.1:0", "--data-dir", "file/data"], 1, vec!["file/data", "folder"]),
        (&database, vec!["--listen", "127.0.0.1:0", "--data-dir", "/proc/walker"], 1, vec!["/proc/walker"]),
        (nobody, vec!["--listen", "127.0.0.1:0"], 1, vec!["database"]),
        ("nonsense", vec!["--listen", "nowhere", "--slots", "0"], 2, vec!["--listen", "--slots", "DATABASE_URL"]),
        (&database, vec!["--config", "missing.toml"], 1, vec!["missing.toml"]),
        (&database, vec!["--frobnicate"], 2, vec!["--frobnicate"]),
    ] {
        let (ended, stderr) = refusal(folder.path(), database, &args).await;
        assert_eq!(ended, Some(code), "{args:?}: {stderr}");
        for part in said {
            assert!(stderr.contains(part), "{args:?}: {stderr}");
        }
        assert!(!stderr.contains("panicked") && !stderr.contains("open-sesame"), "{args:?}: {stderr}");
    }
    // The host that was in the way never noticed.
    host.client.run("sample", &json!({})).await;
    host.stop().await;
}
