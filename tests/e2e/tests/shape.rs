//! The HTTP contract to the letter: every key of every answer, and every mistake told in its own words.

use reqwest::Method;
use serde_json::{Value, json};
use walker_harness::{Answer, Client, Options};

use crate::scene::{self, keys};

/// Holds an object to exactly these members, in any order.
#[track_caller]
fn has_exactly(value: &Value, expect: &[&str]) {
    let (mut found, mut expect) = (keys(value), expect.to_vec());
    found.sort_unstable();
    expect.sort_unstable();
    assert_eq!(found, expect, "{value}");
}

/// What a run's usage and limits say, under the same keys.
const LIMITS: &[&str] = &[
    "fuel",
    "time_ms",
    "memory_peak_bytes",
    "table_elements",
    "reports",
    "report_bytes",
    "fields_bytes",
    "custom_bytes",
    "log_bytes",
    "log_bytes_per_second",
    "host_calls",
    "host_call_bytes",
    "handles",
    "spawns",
    "spawn_depth",
    "call_depth",
    "stack_bytes",
    "core_instances",
];

/// Holds an answer of `GET /walkers/{id}` to its documented shape; answers its walker.
#[track_caller]
fn walker(answer: &Answer) -> Value {
    let mut whole = answer.expect(200);
    assert_eq!(answer.headers["content-type"], "application/json");
    has_exactly(&whole, &["status", "walker"]);
    assert_eq!(whole["status"], 200);
    let walker = whole["walker"].take();
    has_exactly(&walker, &["id", "context", "schedule", "run"]);
    assert!(walker["context"].is_object(), "{walker}");
    let (schedule, run) = (&walker["schedule"], &walker["run"]);
    has_exactly(
        schedule,
        &["status", "node_id", "root_id", "execute_date", "executed_date", "http_status", "reports", "custom", "error"],
    );
    scene::time(&schedule["execute_date"]);
    assert!(schedule["reports"].is_array(), "{walker}");
    for node in ["node_id", "root_id"] {
        let (kind, uuid) = schedule[node].as_str().unwrap().split_at("n::".len());
        assert!(kind == "n::" && uuid.len() == 36, "{walker}");
    }
    has_exactly(run, &["attempt", "finished_date", "duration_ms", "module", "usage", "limits", "failure"]);
    has_exactly(&run["module"], &["name", "version", "sha256"]);
    assert_eq!(run["module"]["sha256"].as_str().unwrap().len(), 64, "{walker}");
    assert!(run["module"]["version"].is_u64() && run["attempt"].is_u64(), "{walker}");
    let status = schedule["status"].as_str().unwrap();
    if matches!(status, "pending" | "running") {
        for unset in [&schedule["http_status"], &schedule["error"], &run["finished_date"], &run["duration_ms"]] {
            assert_eq!(unset, &Value::Null, "{walker}");
        }
        assert_eq!((&run["usage"], &run["limits"]), (&Value::Null, &Value::Null), "{walker}");
        assert_eq!(run["failure"], Value::Null, "{walker}");
        assert_eq!(schedule["executed_date"].is_null(), status == "pending", "{walker}");
        return walker;
    }
    scene::time(&schedule["executed_date"]);
    scene::time(&run["finished_date"]);
    assert!(schedule["http_status"].is_u64() && run["duration_ms"].is_f64(), "{walker}");
    has_exactly(&run["usage"], LIMITS);
    has_exactly(&run["limits"], LIMITS);
    for both in [&run["usage"], &run["limits"]] {
        assert!(both.as_object().unwrap().values().all(Value::is_u64), "{walker}");
    }
    assert_eq!(schedule["error"].is_string(), status == "failed", "{walker}");
    match status {
        "failed" => {
            has_exactly(&run["failure"], &["code", "message", "backtrace", "retryable"]);
            assert!(run["failure"]["backtrace"].is_array() && run["failure"]["retryable"].is_boolean(), "{walker}");
        }
        _ => assert_eq!(run["failure"], Value::Null, "{walker}"),
    }
    walker
}

async fn post_with(client: &Client, path: &str, headers: &[(&str, &str)], body: &'static str) -> Answer {
    let request = client.request(Method::POST, path).body(body);
    client.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

#[tokio::test]
async fn whoever_waits_is_shown_what_is_read_later() {
    let host = scene::host().await;
    let client = &host.client;
    for (walker, fields, status) in [
        ("sample", json!({"value": 3}), "completed"),
        ("echo_later", json!({"value": {"a": [1, "\u{0}", null]}}), "completed"),
        ("analyze_data", json!({"data": [1.10, 1e300]}), "completed"),
        ("process_large_dataset", json!({"size": 10}), "completed"),
        ("safe_process", json!({}), "completed"),
        ("returns_error", json!({}), "failed"),
        ("panics", json!({}), "failed"),
        ("traps", json!({}), "failed"),
        ("exits", json!({}), "failed"),
        ("floods_reports", json!({}), "failed"),
        ("fails_first", json!({}), "completed"),
    ] {
        let path = format!("/walker/{walker}?wait=30s");
        let asked = client.request(Method::POST, &path).header("Walker-Custom", r#"{"x": 1.10}"#).json(&fields);
        let shown = client.send(asked).await;
        let id = shown.expect(200)["walker"]["id"].as_str().unwrap().to_owned();
        let read = client.get(&format!("/walkers/{id}")).await;
        assert_eq!(read.expect(200)["walker"]["schedule"]["status"], status, "{walker}");
        assert_eq!(shown.text, read.text, "{walker}");
    }
}

#[tokio::test]
async fn an_async_walker_answers_with_its_id_and_where_to_read_it() {
    let host = scene::host().await;
    let client = &host.client;
    let answer = client.post("/walker/sample", &json!({})).await;
    let accepted = answer.expect(200);
    let id = accepted["walker_id"].as_str().unwrap();
    assert_eq!(accepted, json!({"status": 200, "walker_id": id}));
    assert_eq!(answer.headers["location"], format!("/walkers/{id}"));
    assert_eq!(answer.headers["content-type"], "application/json");
    let uuid = id.strip_prefix("w:sample:").unwrap();
    assert!(uuid.len() == 36 && uuid.as_bytes()[14] == b'7' && uuid.to_lowercase() == uuid, "{id}");

    client.ended(id).await;
    let read = client.get(&format!("/walkers/{id}")).await;
    let view = walker(&read);
    assert_eq!(view["id"], id);
    // The uuid in either case, the name as it is.
    let upper = format!("w:sample:{}", uuid.to_uppercase());
    assert_eq!(client.get(&format!("/walkers/{upper}")).await.expect(200)["walker"], view);
    client.get(&format!("/walkers/w:Sample:{uuid}")).await.problem(404, "walker.not_found");

    // Without a body, and with `?wait=`: the full view.
    let answer = client.send(client.request(Method::POST, "/walker/sample?wait=30s")).await;
    let view = walker(&answer);
    assert_eq!(view["schedule"]["status"], "completed");
    assert_eq!(answer.headers["location"], format!("/walkers/{}", view["id"].as_str().unwrap()));
    // A wait that is too short answers with how it stands.
    let answer = client.post("/walker/waits_for_save?wait=1ms", &json!({"ms": 500})).await;
    let view = walker(&answer);
    assert!(view["schedule"]["status"] != "completed", "{view}");
    let id = view["id"].as_str().unwrap();
    walker(&client.get(&format!("/walkers/{id}?wait=1ms")).await);
    assert_eq!(walker(&client.get(&format!("/walkers/{id}?wait=30s")).await)["schedule"]["status"], "completed");

    for (name, fields) in [("returns_error", json!({})), ("traps", json!({})), ("panics", json!({}))] {
        let id = client.run(name, &fields).await["id"].as_str().unwrap().to_owned();
        assert_eq!(walker(&client.get(&format!("/walkers/{id}")).await)["schedule"]["status"], "failed");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_sync_walker_answers_with_its_reports_or_its_failure() {
    let host = scene::host().await;
    let client = &host.client;
    let answer = client.post("/walker/echo", &json!({"value": [1, null]})).await;
    let ended = answer.expect(200);
    let id = ended["walker_id"].as_str().unwrap();
    assert_eq!(ended, json!({"status": 200, "walker_id": id, "reports": [[1, null]]}));
    assert!(!answer.headers.contains_key("location"));
    let view = walker(&client.get(&format!("/walkers/{id}")).await);
    assert_eq!(view["schedule"]["reports"], json!([[1, null]]), "committed before it was answered");

    // What the guest sets.
    for status in [201, 404, 418, 500] {
        let fields = json!({"http_status": status, "custom": {"by": "the guest"}});
        let ended = client.post("/walker/sets_status", &fields).await.expect(status);
        assert_eq!(ended["status"], status);
        assert_eq!(ended["reports"], json!([{"by": "the guest"}]));
        let view = walker(&client.get(&format!("/walkers/{}", ended["walker_id"].as_str().unwrap())).await);
        assert_eq!(view["schedule"]["status"], "completed", "{view}");
        assert_eq!(view["schedule"]["http_status"], status);
        assert_eq!(view["schedule"]["custom"], json!({"by": "the guest"}));
    }

    let nobody = "w:sample:550e8400-e29b-41d4-a716-446655440000";
    let problem = client.post("/walker/reads", &json!({"walker_id": nobody})).await.problem(500, "guest.error");
    has_exactly(&problem, &["type", "title", "status", "detail", "code", "request_id", "walker_id"]);
    let id = problem["walker_id"].as_str().unwrap();
    let view = walker(&client.get(&format!("/walkers/{id}")).await);
    assert_eq!(view["schedule"]["error"], problem["detail"]);
    assert_eq!(view["schedule"]["http_status"], 500);
    host.stop().await;
}

#[tokio::test]
async fn a_custom_value_travels_along() {
    let host = scene::host().await;
    let client = &host.client;
    let custom = r#"{"a":"\u00e4","n":1.10}"#;
    let answer = post_with(client, "/walker/sample?wait=30s", &[("Walker-Custom", custom)], "{}").await;
    assert_eq!(walker(&answer)["schedule"]["custom"], json!({"a": "ä", "n": 1.10}));
    let large = format!("\"{}\"", "x".repeat(4096));
    for bad in ["{", "", "nul", large.as_str()] {
        post_with(client, "/walker/sample", &[("Walker-Custom", bad)], "{}").await.problem(400, "header.invalid");
    }
    // The walker's own counts after it.
    let answer = post_with(client, "/walker/sets_status", &[("Walker-Custom", "1")], r#"{"custom": 2}"#).await;
    let id = answer.expect(200)["walker_id"].as_str().unwrap().to_owned();
    assert_eq!(walker(&client.get(&format!("/walkers/{id}")).await)["schedule"]["custom"], 2);
    host.stop().await;
}

#[tokio::test]
async fn a_walker_runs_no_earlier_than_it_should() {
    let host = scene::host().await;
    let client = &host.client;
    let start = async |query: &str| {
        let answer = client.post(&format!("/walker/sample?{query}"), &json!({})).await;
        answer.expect(200)["walker_id"].as_str().unwrap().to_owned()
    };
    let delayed = start("delay=2s").await;
    let view = walker(&client.get(&format!("/walkers/{delayed}")).await);
    assert_eq!((&view["schedule"]["status"], &view["run"]["attempt"]), (&json!("pending"), &json!(0)), "{view}");
    assert_eq!(view["context"], json!({"value": 0}));
    let due = scene::time(&view["schedule"]["execute_date"]);
    // The same moment, given as such.
    let dated = start(&format!("execute_date={due}")).await;
    let past = start("execute_date=2020-01-01T01:00:00%2B01:00").await;

    let view = client.ended(&past).await;
    assert_eq!(view["schedule"]["execute_date"], "2020-01-01T00:00:00.000000Z");
    assert!(scene::time(&view["run"]["finished_date"]) < due, "it did not wait: {view}");
    for id in [&delayed, &dated] {
        let view = client.ended(id).await;
        assert_eq!(view["schedule"]["execute_date"], due);
        assert_eq!(view["schedule"]["status"], "completed");
        assert!(scene::time(&view["schedule"]["executed_date"]) >= due, "{view}");
    }

    for (query, status, code) in [
        ("delay=91d", 422, "execute_date.invalid"),
        ("execute_date=2126-01-01T00:00:00Z", 422, "execute_date.invalid"),
        ("execute_date=tomorrow", 400, "query.invalid"),
        ("delay=soon", 400, "query.invalid"),
        ("delay=1s&execute_date=2026-11-23T10:00:00Z", 400, "query.invalid"),
    ] {
        client.post(&format!("/walker/sample?{query}"), &json!({})).await.problem(status, code);
    }
    client.post("/walker/echo?delay=1s", &json!({})).await.problem(422, "walker.not_deferrable");
    host.stop().await;
}

/// All pages of a list; each but the last is full.
async fn pages(client: &Client, query: &str, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = client.get(&format!("/walkers?limit={limit}{query}{cursor}")).await.expect(200);
        has_exactly(&answer, &["status", "walkers", "cursor"]);
        let page = answer["walkers"].as_array().unwrap();
        all.extend(page.iter().cloned());
        match answer["cursor"].as_str() {
            Some(next) => {
                assert_eq!(page.len(), limit);
                cursor = format!("&cursor={next}");
            }
            None => return all,
        }
    }
}

#[tokio::test]
async fn lists_are_paged_newest_first_and_filtered() {
    let host = scene::host().await;
    let client = &host.client;
    let mut ids = Vec::new();
    let mut since = String::new();
    for number in 0..7 {
        let name = if number % 3 == 2 { "returns_error" } else { "sample" };
        let view = client.run(name, &json!({})).await;
        if number == 4 {
            since = view["schedule"]["execute_date"].as_str().unwrap().to_owned();
        }
        ids.insert(0, view["id"].as_str().unwrap().to_owned());
    }
    let listed = async |query: &str, limit: usize| -> Vec<String> {
        let walkers = pages(client, query, limit).await;
        walkers.iter().map(|walker| walker["id"].as_str().unwrap().to_owned()).collect()
    };
    let named = |name: &str| -> Vec<String> {
        ids.iter().filter(|id| id.starts_with(&format!("w:{name}:"))).cloned().collect()
    };
    for limit in [1, 3, 7, 50] {
        assert_eq!(listed("", limit).await, ids, "by {limit}");
    }
    assert_eq!(listed("&name=sample", 2).await, named("sample"));
    assert_eq!(listed("&status=failed", 1).await, named("returns_error"));
    assert_eq!(listed("&name=sample&status=failed", 5).await, Vec::<String>::new());
    assert_eq!(listed("&name=nobody", 5).await, Vec::<String>::new());
    assert_eq!(listed(&format!("&since={since}"), 2).await, ids[..3]);
    // An entry is the walker as it reads alone, the backtrace aside.
    let newest = &pages(client, "&name=sample", 1).await[0];
    let alone = client.get(&format!("/walkers/{}", newest["id"].as_str().unwrap())).await;
    assert_eq!(newest, &walker(&alone));

    for bad in ["limit=0", "limit=1001", "limit=x", "cursor=x", "status=done", "since=today", "limit=1&limit=2"] {
        client.get(&format!("/walkers?{bad}")).await.problem(400, "query.invalid");
    }
    host.stop().await;
}

#[tokio::test]
async fn logs_are_read_on_from_a_place() {
    let host = scene::host().await;
    let client = &host.client;
    let view = client.run("floods_log", &json!({"lines": 5, "bytes": 3})).await;
    let path = format!("/walkers/{}/logs", view["id"].as_str().unwrap());
    let seqs = async |query: &str| -> Vec<u64> {
        let page = client.get(&format!("{path}{query}")).await.expect(200);
        has_exactly(&page, &["status", "logs", "ended"]);
        assert_eq!((&page["status"], &page["ended"]), (&json!(200), &json!(true)));
        let lines = page["logs"].as_array().unwrap();
        for line in lines {
            has_exactly(line, &["seq", "attempt", "time", "stream", "text"]);
            assert_eq!(
                (&line["stream"], &line["text"], &line["attempt"]),
                (&json!("stdout"), &json!("xxx"), &json!(1))
            );
            let (began, ended) = (&view["schedule"]["executed_date"], &view["run"]["finished_date"]);
            let time = scene::time(&line["time"]);
            assert!(time >= scene::time(began) && time <= scene::time(ended), "{line}");
        }
        lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(seqs("").await, [1, 2, 3, 4, 5]);
    assert_eq!(seqs("?after=3").await, [4, 5]);
    assert!(seqs("?after=5").await.is_empty());
    assert_eq!(seqs("?after=1&limit=2").await, [2, 3]);
    let id = client.run("safe_process", &json!({"input": "7"})).await["id"].as_str().unwrap().to_owned();
    let page = client.get(&format!("/walkers/{id}/logs")).await.expect(200);
    assert_eq!(page["logs"][0]["stream"], "stderr", "{page}");
    client.get(&format!("{path}?after=-1")).await.problem(400, "query.invalid");
    let nobody = "w:sample:550e8400-e29b-41d4-a716-446655440000";
    client.get(&format!("/walkers/{nobody}/logs")).await.problem(404, "walker.not_found");
    host.stop().await;
}

#[tokio::test]
async fn every_mistake_is_told_in_its_own_words() {
    let config = "max_body_bytes = \"64KiB\"\n[limits]\nmodule_bytes = \"2MiB\"".to_owned();
    let host = scene::host_with(Options { config, ..Options::default() }).await;
    let (client, root) = (&host.client, scene::root(&host).await);
    let sample = client.run("sample", &json!({})).await["id"].as_str().unwrap().to_owned();

    // One's own root can be named.
    client.post(&format!("/walker/sample/{root}"), &json!({})).await.expect(200);
    client.post(&format!("/walker/sample/{}", root.to_uppercase().replace("N::", "n::")), &json!({})).await.expect(200);
    for (method, path, body, status, code) in [
        ("POST", "/walker/nobody", "{}", 404, "walker.not_found"),
        ("POST", "/walker/Sample", "{}", 404, "walker.not_found"),
        ("POST", "/walker/no%20name", "{}", 404, "walker.not_found"),
        ("POST", "/walker/sample/n::550e8400-e29b-41d4-a716-446655440000", "{}", 404, "node.not_found"),
        ("POST", "/walker/sample/n:City:550e8400-e29b-41d4-a716-446655440000", "{}", 404, "node.not_found"),
        ("POST", "/walker/sample/home", "{}", 404, "node.not_found"),
        ("POST", "/walker/sample/n::", "{}", 404, "node.not_found"),
        ("POST", "/walker/sample", "{", 400, "body.malformed"),
        ("POST", "/walker/sample", "{\"value\": 1}}", 400, "body.malformed"),
        ("POST", "/walker/sample", "[]", 400, "body.malformed"),
        ("POST", "/walker/sample", "1", 400, "body.malformed"),
        ("POST", "/walker/sample?waite=1s", "{}", 400, "query.invalid"),
        ("POST", "/walker/sample?wait=61s", "{}", 400, "query.invalid"),
        ("GET", "/walkers/w:sample:550e8400-e29b-41d4-a716-446655440000", "", 404, "walker.not_found"),
        ("GET", "/walkers/sample", "", 404, "walker.not_found"),
        ("GET", "/walkers/w:sample:550e8400", "", 404, "walker.not_found"),
        ("GET", "/walkers/w:sample:550e8400e29b41d4a716446655440000", "", 404, "walker.not_found"),
        ("GET", "/walkers/%00", "", 404, "walker.not_found"),
        ("GET", "/walkers/%F0%9F%90%95", "", 404, "walker.not_found"),
        ("GET", "/walkers?nam=x", "", 400, "query.invalid"),
        ("GET", "/healthz?x", "", 400, "query.invalid"),
        ("GET", "/modules/nobody", "", 404, "module.not_found"),
        ("DELETE", "/modules/nobody", "", 404, "module.not_found"),
        ("POST", "/modules/seed/activate", "{}", 422, "fields.invalid"),
        ("POST", "/modules/seed/activate", "{\"version\": 2}", 404, "module.version_not_found"),
        ("PUT", "/modules/no%20name", "x", 422, "module.name_invalid"),
        ("GET", "/", "", 404, "route.not_found"),
        ("GET", "/walker/sample/a/b", "", 404, "route.not_found"),
        ("GET", "/walker/sample", "", 405, "method.not_allowed"),
        ("DELETE", "/walkers", "", 405, "method.not_allowed"),
        ("PATCH", "/modules/seed", "", 405, "method.not_allowed"),
    ] {
        let request = client.request(method.parse().unwrap(), path).body(body);
        let answer = client.send(request).await;
        let problem = answer.problem(status, code);
        assert_eq!(answer.headers["x-request-id"], problem["request_id"].as_str().unwrap(), "{method} {path}");
        assert_eq!(answer.headers.contains_key("allow"), status == 405, "{method} {path}");
        for leak in ["select ", "/tmp/", "src/", ".rs:"] {
            assert!(!answer.text.contains(leak), "{method} {path}: {}", answer.text);
        }
    }

    for (fields, pointers) in [
        (r#"{"value": "one"}"#, vec!["/value"]),
        (r#"{"value": 1.5}"#, vec!["/value"]),
        (r#"{"value": 9223372036854775808}"#, vec!["/value"]),
        (r#"{"value": 1, "value": 2}"#, vec!["/value"]),
        (r#"{"valu": 1, "a/b": 2}"#, vec!["/valu", "/a~1b"]),
        (r#"{"value": null, "x": 1}"#, vec!["/value", "/x"]),
    ] {
        let request = client.request(Method::POST, "/walker/sample").body(fields);
        let problem = client.send(request).await.problem(422, "fields.invalid");
        let errors = problem["errors"].as_array().unwrap();
        let found: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(found, pointers, "{fields}: {problem}");
        assert!(errors.iter().all(|error| !error["detail"].as_str().unwrap().is_empty()), "{problem}");
    }
    let problem =
        client.post("/walker/view_sample_result", &json!({"walker_id": "x"})).await.problem(422, "fields.invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/walker_id", "{problem}");
    client.post("/walker/analyze_data", &json!({"data": [1, "x"]})).await.problem(422, "fields.invalid");
    client.post("/walker/analyze_data", &json!({})).await.problem(422, "fields.invalid");

    let large = "x".repeat(65 << 10);
    client.post("/walker/echo", &json!({"value": large})).await.problem(413, "body.too_large");
    client.put_module("large", vec![0; 3 << 20]).await.problem(413, "body.too_large");

    // None of it was stored.
    let listed = client.get("/walkers?limit=1000").await.expect(200)["walkers"].as_array().unwrap().len();
    assert_eq!(listed, 3, "the first and those on the named root");
    client.get(&format!("/walkers/{sample}")).await.expect(200);
    host.stop().await;
}

#[tokio::test]
async fn the_openapi_document_and_the_routes_agree() {
    let host = scene::host().await;
    let client = &host.client;
    let document = client.with_token(None).get("/openapi.json").await.expect(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3."), "{}", document["openapi"]);
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let filled: Vec<&str> =
            path.split('/').map(|part| if part.starts_with('{') { "nobody" } else { part }).collect();
        let filled = filled.join("/");
        for (method, operation) in item.as_object().unwrap() {
            operations += 1;
            let method: Method = method.to_uppercase().parse().unwrap();
            for caller in [client.clone(), host.operator(), client.with_token(None)] {
                let answer = caller.send(caller.request(method.clone(), &filled)).await;
                let status = answer.status.as_str();
                assert!(
                    status != "405" && !answer.text.contains("route.not_found"),
                    "{method} {filled}: {}",
                    answer.text
                );
                // Nothing is answered that the document does not know.
                assert!(operation["responses"][status].is_object(), "{method} {filled}: {status} is not documented");
                let expected = answer.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
                let content = &operation["responses"][status]["content"];
                let known = content.as_object().is_none_or(|kinds| kinds.keys().any(|kind| expected.starts_with(kind)));
                assert!(known, "{method} {filled}: {status} as {expected} is not documented");
            }
        }
    }
    assert!(operations >= 29, "{operations}");
    host.stop().await;
}

#[tokio::test]
async fn the_service_tells_how_it_is_and_names_each_request() {
    let host = scene::host_with(Options::default()).await;
    let open = host.client.with_token(None);
    assert_eq!(open.get("/healthz").await.expect(200), json!({"status": "ok"}));
    assert_eq!(open.get("/readyz").await.expect(200), json!({"status": "ready"}));
    let docs = open.get("/docs").await;
    assert_eq!(docs.status, 200);
    assert!(docs.headers["content-type"].to_str().unwrap().starts_with("text/html"), "{:?}", docs.headers);
    assert!(docs.text.contains("openapi.json") && !docs.text.contains("https://"));

    let named = open.send(open.request(Method::GET, "/healthz").header("X-Request-Id", "mine-1")).await;
    assert_eq!(named.headers["x-request-id"], "mine-1");
    let request = open.request(Method::GET, "/nowhere").header("X-Request-Id", "mine-2");
    assert_eq!(open.send(request).await.problem(404, "route.not_found")["request_id"], "mine-2");
    let odd = open.send(open.request(Method::GET, "/healthz").header("X-Request-Id", "no \"name\"")).await;
    assert_ne!(odd.headers["x-request-id"], "no \"name\"");
    let (one, other) = (open.get("/healthz").await, open.get("/healthz").await);
    assert_ne!(one.headers["x-request-id"], other.headers["x-request-id"]);
    host.stop().await;
}
