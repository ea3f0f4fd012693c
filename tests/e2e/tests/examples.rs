//! The seed's examples: each does what it says, and every field that the seed names can be read back.

use serde_json::{Value, json};
use walker_harness::{Client, Host, Options};

use crate::scene;

/// Holds a walker that has ended to everything that the seed names, its times aside: those must be in order.
#[track_caller]
fn check(view: &Value, root: &str, context: Value, schedule: Value) {
    assert_eq!(view["context"], context, "{view}");
    let mut expect = json!({
        "status": "completed", "node_id": root, "root_id": root, "http_status": 200,
        "reports": [], "custom": null, "error": null,
        "execute_date": view["schedule"]["execute_date"], "executed_date": view["schedule"]["executed_date"],
    });
    expect.as_object_mut().unwrap().extend(schedule.as_object().unwrap().clone());
    assert_eq!(view["schedule"], expect, "{view}");
    let [due, began, ended] =
        [&view["schedule"]["execute_date"], &view["schedule"]["executed_date"], &view["run"]["finished_date"]]
            .map(scene::time);
    assert!(due <= began && began <= ended, "{due} {began} {ended}");
    assert_eq!(view["run"]["attempt"], 1, "{view}");
    assert_eq!(view["run"]["module"]["name"], "seed", "{view}");
}

/// Runs a sync walker; answers its reports and its whole view.
async fn call(client: &Client, walker: &str, fields: Value) -> (Value, Value) {
    let answer = client.post(&format!("/walker/{walker}"), &fields).await.expect(200);
    let view = client.ended(answer["walker_id"].as_str().unwrap()).await;
    assert_eq!(view["schedule"]["reports"], answer["reports"]);
    (answer["reports"].clone(), view)
}

#[tokio::test]
async fn sample_and_what_another_walker_sees_of_it() {
    let host = scene::host().await;
    let (client, root) = (&host.client, scene::root(&host).await);
    let sample = client.run("sample", &json!({})).await;
    check(&sample, &root, json!({"value": 1}), json!({"reports": [{"done": true}]}));
    let id = sample["id"].as_str().unwrap();
    assert_eq!(client.printed(id).await, ["test"]);

    let (reports, view) = call(client, "view_sample_result", json!({"walker_id": id})).await;
    assert_eq!(reports, json!([{"value": 1, "status": "completed"}]));
    check(&view, &root, json!({"walker_id": id}), json!({"reports": reports}));
    let printed = client.printed(view["id"].as_str().unwrap()).await;
    let [value, status, executed] = printed.as_slice() else { panic!("{printed:?}") };
    assert_eq!((value.as_str(), status.as_str()), ("1", "Status: completed"));
    // Rust leaves out decimals that are zero.
    let second = &sample["schedule"]["executed_date"].as_str().unwrap()[..19];
    assert!(executed.starts_with(&format!("Executed at: Some({second}")), "{executed}");
    host.stop().await;
}

#[tokio::test]
async fn a_failed_sample_is_shown_with_its_error() {
    let host = scene::host().await;
    let root = scene::root(&host).await;
    // On the same database, with too little fuel for anything.
    let config = "[limits]\nfuel = 1000".to_owned();
    let starving = Host::start(Options { config, ..host.options().clone() }).await;
    let sample = starving.client.run("sample", &json!({})).await;
    let error = sample["schedule"]["error"].as_str().unwrap();
    assert!(error.contains("fuel"), "{error}");
    check(&sample, &root, json!({"value": 0}), json!({"status": "failed", "http_status": 500, "error": error}));
    assert_eq!(sample["run"]["failure"]["code"], "limit.fuel");

    let id = sample["id"].as_str().unwrap();
    let (reports, view) = call(&host.client, "view_sample_result", json!({"walker_id": id})).await;
    assert_eq!(reports, json!([{"value": 0, "status": "failed"}]));
    let printed = host.client.printed(view["id"].as_str().unwrap()).await;
    assert_eq!(printed[..2], ["0", "Status: failed"]);
    assert!(printed[2].starts_with("Executed at: Some("), "{printed:?}");
    assert_eq!(printed[3..], [format!("Error: {error}")]);
    starving.stop().await;
    host.stop().await;
}

#[tokio::test]
async fn a_large_dataset_can_be_watched_while_it_is_processed() {
    // So large that it still runs however slowly this test looks at it; the host's stop cuts it short.
    const SIZE: u64 = 8_000_000;
    let args = vec!["--grace".to_owned(), "1s".to_owned()];
    let host = scene::host_with(Options { args, ..Options::default() }).await;
    let (client, root) = (&host.client, scene::root(&host).await);
    let id = client.start("process_large_dataset", &json!({"size": SIZE})).await;
    // Its fields as it saves them…
    let mut processed = 0;
    let mut sights = 0;
    while sights < 3 {
        let view = client.get(&format!("/walkers/{id}")).await.expect(200)["walker"].take();
        let (context, schedule) = (&view["context"], &view["schedule"]);
        assert!(schedule["status"] == "running" || schedule["status"] == "pending", "seen {sights} times: {view}");
        assert_eq!((&schedule["http_status"], &schedule["error"]), (&Value::Null, &Value::Null), "{view}");
        assert_eq!(context["size"], SIZE);
        let now = context["processed"].as_u64().unwrap();
        assert!(now >= processed && now % 100 == 0, "{view}");
        if now > processed {
            processed = now;
            sights += 1;
            assert_eq!(context["progress"].as_f64(), Some(now as f64 / SIZE as f64 * 100.0), "{view}");
            assert_eq!(context["status_text"], format!("processed {now} of {SIZE} items"), "{view}");
        }
    }
    // …and as another walker reads them.
    let (reports, check_view) = call(client, "check_processing", json!({"walker_id": id})).await;
    let report = &reports[0];
    let seen = report["processed"].as_u64().unwrap();
    assert!(seen >= processed && seen < SIZE, "{report}");
    assert_eq!(
        report,
        &json!({
            "status": "running", "processed": seen, "progress": seen as f64 / SIZE as f64 * 100.0,
            "status_text": format!("processed {seen} of {SIZE} items"),
        })
    );
    check(&check_view, &root, json!({"walker_id": id}), json!({"reports": reports}));
    let printed = client.printed(check_view["id"].as_str().unwrap()).await;
    assert!(printed[0].starts_with("running: "), "{printed:?}");

    // One that is done, beside it.
    let id = client.start("process_large_dataset", &json!({})).await;
    let view = client.ended(&id).await;
    let total = view["context"]["total"].clone();
    assert!(total.as_u64().unwrap() > 0);
    check(
        &view,
        &root,
        json!({"size": 1000, "processed": 1000, "progress": 100.0, "status_text": "completed", "total": total}),
        json!({"reports": [{"processed": 1000, "total": total, "resumed_from": 0}]}),
    );
    let (reports, _) = call(client, "check_processing", json!({"walker_id": id})).await;
    assert_eq!(
        reports,
        json!([{"status": "completed", "processed": 1000, "progress": 100.0, "status_text": "completed"}])
    );
    host.stop().await;
}

#[tokio::test]
async fn analyze_data_leaves_a_dictionary_behind() {
    let host = scene::host().await;
    let root = scene::root(&host).await;
    let data = json!([4.0, 1.0, 2.5, 0.5]);
    let view = host.client.run("analyze_data", &json!({"data": data})).await;
    let summary = json!({"count": 4, "mean": 2.0, "min": 0.5, "max": 4.0});
    check(&view, &root, json!({"data": data, "summary": summary}), json!({"reports": [summary]}));

    let view = host.client.run("analyze_data", &json!({"data": []})).await;
    let error = "there is nothing to analyze: data is empty";
    check(
        &view,
        &root,
        json!({"data": [], "summary": {}}),
        json!({"status": "failed", "http_status": 500, "error": error}),
    );
    let failure = json!({"code": "guest.error", "message": error, "backtrace": [], "retryable": true});
    assert_eq!(view["run"]["failure"], failure);
    host.stop().await;
}

#[tokio::test]
async fn safe_process_completes_whatever_its_input() {
    let host = scene::host().await;
    let root = scene::root(&host).await;
    for (input, result, message) in [
        ("42", json!(21), Value::Null),
        ("7", Value::Null, json!("7 is odd")),
        ("x", Value::Null, json!("reading \"x\": invalid digit found in string")),
    ] {
        let view = host.client.run("safe_process", &json!({"input": input})).await;
        let outcome = json!({"result": result, "error_message": message});
        let context = json!({"input": input, "result": result, "error_message": message});
        check(&view, &root, context, json!({"reports": [outcome]}));
        let printed = host.client.printed(view["id"].as_str().unwrap()).await;
        let expect: Vec<String> = message.as_str().map(|text| format!("failed: {text}")).into_iter().collect();
        assert_eq!(printed, expect);
    }
    host.stop().await;
}
