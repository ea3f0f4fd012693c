//! Failures as data: each way to end has its own code, and what was reported and saved before is kept.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::scene;

/// Runs a faulty walker and checks how it ended; answers its whole view.
async fn check(client: &walker_harness::Client, walker: &str, fields: Value, code: &str, http_status: u16) -> Value {
    let view = client.run(walker, &fields).await;
    let (schedule, failure) = (&view["schedule"], &view["run"]["failure"]);
    assert_eq!(schedule["status"], "failed", "{walker}: {view}");
    assert_eq!(failure["code"], code, "{walker}: {view}");
    assert_eq!(schedule["http_status"], http_status, "{walker}: {view}");
    assert_eq!(schedule["error"], failure["message"], "{walker}: {view}");
    assert!(!schedule["error"].as_str().unwrap().is_empty(), "{walker}: {view}");
    assert_eq!(schedule["reports"][0], "before", "{walker}: {view}");
    assert_eq!(view["context"]["stage"], "saved", "{walker}: {view}");
    for date in ["execute_date", "executed_date"] {
        assert!(schedule[date].is_string(), "{walker}: {view}");
    }
    assert!(view["run"]["finished_date"].is_string(), "{walker}: {view}");
    assert!(view["run"]["usage"]["fuel"].as_u64().unwrap() > 0, "{walker}: {view}");
    view
}

#[tokio::test]
async fn every_way_to_fail_has_its_own_code_and_keeps_what_came_before() {
    let host = scene::host().await;
    let client = &host.client;
    // Beside all that follows, and untouched by it.
    let neighbour = client.start("waits_for_save", &json!({"ms": 3000})).await;

    let view = check(client, "returns_error", json!({"message": "out of luck"}), "guest.error", 500).await;
    assert_eq!(view["schedule"]["error"], "out of luck");

    let view = check(client, "panics", json!({"message": "oh no"}), "guest.panic", 500).await;
    let error = view["schedule"]["error"].as_str().unwrap();
    assert!(error.contains("oh no") && error.contains("src/failing.rs:"), "{error}");

    let view = check(client, "traps", json!({}), "guest.trap", 500).await;
    let line = |view: &Value| {
        let backtrace = view["run"]["failure"]["backtrace"].as_array().unwrap();
        let line = backtrace.iter().find(|line| line.as_str().unwrap().contains("walks_into_a_trap"));
        line.unwrap_or_else(|| panic!("{backtrace:?}")).as_str().unwrap().to_owned()
    };
    // A busy machine may give the first readers names alone.
    let (mut view, begun) = (view, Instant::now());
    while !line(&view).contains("src/failing.rs:") {
        assert!(begun.elapsed() < Duration::from_secs(60), "{view}");
        view = client.ended(view["id"].as_str().unwrap()).await;
    }

    check(client, "exits", json!({"code": 3}), "guest.exit", 500).await;
    check(client, "overflows_stack", json!({}), "limit.stack", 500).await;
    check(client, "spins", json!({}), "limit.fuel", 500).await;
    check(client, "eats_memory", json!({}), "limit.memory", 507).await;
    check(client, "floods_reports", json!({"count": 100_000, "bytes": 1}), "limit.output", 507).await;
    check(client, "floods_reports", json!({"count": 1, "bytes": 100_000_000}), "limit.memory", 507).await;
    check(client, "floods_reports", json!({"count": 20, "bytes": 1_000_000}), "limit.output", 507).await;

    let neighbour = client.ended(&neighbour).await;
    assert_eq!(neighbour["schedule"]["status"], "completed", "{neighbour}");
    host.stop().await;
}

#[tokio::test]
async fn out_of_time_whether_it_spins_or_sleeps() {
    let config = "[limits]\ntime_ms = 300\nfuel = 1000000000000".to_owned();
    let host = scene::host_with(walker_harness::Options { config, ..Default::default() }).await;
    for (walker, fields) in [("spins", json!({})), ("sleeps", json!({"ms": 60_000}))] {
        let view = check(&host.client, walker, fields, "limit.time", 504).await;
        let duration = view["run"]["duration_ms"].as_f64().unwrap();
        assert!(duration >= 300.0, "{view}");
        assert_eq!(view["run"]["failure"]["retryable"], true, "{view}");
    }
    host.stop().await;
}

#[tokio::test]
async fn too_much_output_is_cut_with_a_marker_and_the_run_goes_on() {
    let host = scene::host().await;
    let id = host.client.start("floods_log", &json!({"lines": 100_000, "bytes": 100})).await;
    let view = host.client.ended(&id).await;
    assert_eq!(view["schedule"]["status"], "completed", "{view}");
    assert!(view["run"]["usage"]["log_bytes"].as_u64().unwrap() >= 10_000_000, "{view}");
    let mut after = 0;
    let mut kept = 0;
    let last = loop {
        let page = host.client.get(&format!("/walkers/{id}/logs?after={after}")).await.expect(200);
        let lines = page["logs"].as_array().unwrap();
        let Some(last) = lines.last() else { panic!("the log ended without a marker") };
        for line in lines {
            after += 1;
            assert_eq!(line["seq"], after, "no gap, no repeat");
            kept += line["text"].as_str().unwrap().len();
        }
        if last["stream"] == "host" {
            break last.clone();
        }
    };
    assert!(kept <= 1_100_000, "{kept}");
    assert!(last["text"].as_str().unwrap().contains("cut"), "{last}");
    host.stop().await;
}
