//! Cancelling, retrying, forgetting – on one host and across two on one database.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use walker_harness::{Client, Host, Options};

use crate::scene;

/// What hosts say of one that died.
const DEATH: [&str; 3] = ["stopped answering", "will run again", "taken for dead"];

/// Two hosts on one database, and a client of the second with the same key.
pub(crate) async fn two_hosts(args: &[&str]) -> (Host, Host, Client) {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let one =
        scene::host_with(Options { args: args.clone(), expected_log: DEATH.to_vec(), ..Options::default() }).await;
    let database_url = one.options().database_url.clone();
    let other = Host::start(Options { database_url, expected_log: DEATH.to_vec(), args, ..Options::default() }).await;
    let client = Client::new(&other.url, one.client.token());
    (one, other, client)
}

async fn view(client: &Client, id: &str) -> Value {
    client.get(&format!("/walkers/{id}")).await.expect(200)["walker"].take()
}

/// Waits until a walker has saved; it runs then.
pub(crate) async fn saved(client: &Client, id: &str, field: &str, value: impl Into<Value>) {
    let value = value.into();
    while view(client, id).await["context"][field] != value {
        tokio::task::yield_now().await;
    }
}

async fn cancel(client: &Client, id: &str) {
    let answer = client.post(&format!("/walkers/{id}/cancel"), &json!({})).await;
    assert_eq!(answer.expect(202), json!({"status": 202, "walker_id": id}));
    assert_eq!(answer.headers["location"], format!("/walkers/{id}"));
}

/// Holds a cancelled walker to what it must look like.
#[track_caller]
fn is_cancelled(view: &Value) {
    let (schedule, run) = (&view["schedule"], &view["run"]);
    assert_eq!((&schedule["status"], &schedule["http_status"]), (&json!("cancelled"), &json!(499)), "{view}");
    assert_eq!(run["failure"]["code"], "cancelled", "{view}");
    assert!(schedule["error"].is_string() && run["finished_date"].is_string(), "{view}");
}

#[tokio::test]
async fn what_spins_is_stopped_wherever_it_runs_and_keeps_what_it_saved() {
    let (one, second, other) = two_hosts(&[]).await;
    let mut latencies = [Vec::new(), Vec::new()];
    for (place, client) in [&one.client, &other].into_iter().enumerate() {
        for _ in 0..10 {
            let id = one.client.start("spins", &json!({})).await;
            saved(&one.client, &id, "stage", "saved").await;
            let asked = Instant::now();
            cancel(client, &id).await;
            let view = one.client.ended(&id).await;
            latencies[place].push(asked.elapsed());
            is_cancelled(&view);
            assert_eq!(view["schedule"]["reports"], json!(["before"]), "{view}");
            assert_eq!(view["context"], json!({"stage": "saved"}), "{view}");
            assert!(view["run"]["usage"]["fuel"].as_u64() > Some(0), "{view}");
            client.post(&format!("/walkers/{id}/cancel"), &json!({})).await.problem(409, "walker.has_ended");
        }
        latencies[place].sort_unstable();
    }
    // How fast, a quiet machine tells; on any, it takes no lease.
    for latencies in latencies {
        assert!(latencies[5] < Duration::from_secs(3), "{latencies:?}");
    }
    // One that waits on the clock, with output that was not stored yet.
    let id = one.client.start("sleeps", &json!({})).await;
    saved(&one.client, &id, "stage", "saved").await;
    cancel(&other, &id).await;
    is_cancelled(&other.ended(&id).await);
    second.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn a_save_on_its_way_when_its_walker_is_cancelled_leaves_nothing_behind() {
    let host = scene::host().await;
    let client = &host.client;
    let connect = async || {
        let database = host.options().database_url.clone().unwrap();
        let (admin, connection) = tokio_postgres::connect(&database, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        admin
    };
    let (mut blocker, admin) = (connect().await, connect().await);
    let later = client.post("/walker/sleeps?delay=1s", &json!({})).await.expect(200);
    let id = later["walker_id"].as_str().unwrap();
    let uuid = id.rsplit(':').next().unwrap();
    // Its save waits for whether this row will have been there first.
    let blocking = blocker.transaction().await.unwrap();
    let row =
        "insert into checkpoints (id, tenant_id, attempt, fields, reports) values ($1::text::uuid, 1, 0, '{}', '[]')";
    blocking.execute(row, &[&uuid]).await.unwrap();
    let count = async |sql: &str| admin.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%checkpoints%'";
    while count(waits).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    cancel(client, id).await;
    // Long enough for whoever would not wait for the save.
    tokio::time::sleep(Duration::from_millis(500)).await;
    blocking.rollback().await.unwrap();
    is_cancelled(&client.ended(id).await);
    while count(waits).await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(count("select count(*) from checkpoints").await, 0);
    host.stop().await;
}

#[tokio::test]
async fn what_waits_never_runs_and_strangers_cannot_cancel() {
    let host = scene::host().await;
    let client = &host.client;
    let later = client.post("/walker/sample?delay=1h", &json!({})).await.expect(200);
    let id = later["walker_id"].as_str().unwrap().to_owned();
    let nobody = "w:sample:550e8400-e29b-41d4-a716-446655440000";
    let stranger = {
        let open = client.with_token(None);
        let login = json!({"email": "a@example.org", "password": "correct horse battery"});
        open.post("/user/register", &login).await.expect(201);
        let session = open.post("/user/login", &login).await.expect(200);
        client.with_token(Some(session["token"].as_str().unwrap()))
    };
    for (method, path) in [("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")] {
        let ask = async |client: &Client, id: &str| {
            client.send(client.request(method.parse().unwrap(), &format!("/walkers/{id}{path}"))).await
        };
        ask(client, nobody).await.problem(404, "walker.not_found");
        ask(client, "nobody").await.problem(404, "walker.not_found");
        ask(&stranger, &id).await.problem(404, "walker.not_found");
        ask(&client.with_token(None), &id).await.problem(401, "token.missing");
        ask(&host.operator(), &id).await.problem(403, "token.wrong_kind");
        if path != "/cancel" {
            ask(client, &id).await.problem(409, "walker.is_live");
        }
    }
    assert_eq!(view(client, &id).await["schedule"]["status"], "pending");
    cancel(client, &id).await;
    let cancelled = view(client, &id).await;
    is_cancelled(&cancelled);
    assert_eq!((&cancelled["run"]["attempt"], &cancelled["schedule"]["executed_date"]), (&json!(0), &Value::Null));
    // Retried it runs at once: its time is not waited for again.
    client.post(&format!("/walkers/{id}/retry"), &json!({})).await.expect(202);
    let view = client.ended(&id).await;
    assert_eq!((&view["schedule"]["status"], &view["run"]["attempt"]), (&json!("completed"), &json!(1)), "{view}");
    client.post(&format!("/walkers/{id}/retry"), &json!({})).await.problem(409, "walker.is_completed");
    assert_eq!(client.delete(&format!("/walkers/{id}")).await.status, 204);
    client.get(&format!("/walkers/{id}")).await.problem(404, "walker.not_found");
    client.delete(&format!("/walkers/{id}")).await.problem(404, "walker.not_found");
    host.stop().await;
}

#[tokio::test]
async fn many_are_cancelled_at_once() {
    let (one, second, other) = two_hosts(&[]).await;
    let client = &one.client;
    let spinners = join_all((0..3).map(|_| async { client.start("spins", &json!({})).await })).await;
    for id in &spinners {
        saved(client, id, "stage", "saved").await;
    }
    let fields = vec![json!({}); 1_000];
    for _ in 0..5 {
        client.post("/walker/sample/batch?delay=1h", &json!({"walkers": fields})).await.expect(200);
    }
    let echo = client.post("/walker/echo_later?delay=1h", &json!({})).await.expect(200);
    let echo = echo["walker_id"].as_str().unwrap();
    let all = async |client: &Client, filter: Value| client.post("/walkers/cancel", &filter).await.expect(200);
    assert_eq!(all(client, json!({"name": "nobody"})).await, json!({"cancelled": 0}));
    assert_eq!(all(client, json!({"before": "2020-01-01T00:00:00Z"})).await, json!({"cancelled": 0}));
    assert_eq!(all(&other, json!({"name": "sample", "status": "running"})).await, json!({"cancelled": 0}));
    assert_eq!(all(&other, json!({"name": "sample", "status": "pending"})).await, json!({"cancelled": 5_000}));
    assert_eq!(all(&other, json!({"status": "running"})).await, json!({"cancelled": 3}));
    for id in &spinners {
        is_cancelled(&client.ended(id).await);
    }
    assert_eq!(view(client, echo).await["schedule"]["status"], "pending");
    assert_eq!(all(client, json!({})).await, json!({"cancelled": 1}));
    for (body, pointer) in [
        (json!({"name": "no name"}), "/name"),
        (json!({"status": "failed"}), "/status"),
        (json!({"status": 1}), "/status"),
        (json!({"before": "yesterday"}), "/before"),
        (json!({"names": "x"}), "/names"),
    ] {
        let problem = client.post("/walkers/cancel", &body).await.problem(422, "fields.invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    second.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn a_cancel_outlives_the_host_that_was_to_heed_it() {
    let (one, mut second, other) = two_hosts(&[]).await;
    let id = other.start("spins", &json!({})).await;
    saved(&one.client, &id, "stage", "saved").await;
    // The host cannot hear of it any more.
    rustix::process::kill_process(second.pid(), rustix::process::Signal::STOP).unwrap();
    cancel(&one.client, &id).await;
    assert_eq!(view(&one.client, &id).await["schedule"]["status"], "running");
    second.kill().await;
    let view = one.client.ended(&id).await;
    is_cancelled(&view);
    assert_eq!(view["context"], json!({"stage": "saved"}), "{view}");
    assert_eq!(view["run"]["attempt"], 1, "{view}");
    one.stop().await;
}

#[tokio::test]
async fn a_walker_that_outlives_three_hosts_is_given_up_with_every_attempt_on_record() {
    let mut host = scene::host().await;
    // The one that stays runs nothing, so that each attempt is on a host that dies.
    let api = Host::start(Options {
        database_url: host.options().database_url.clone(),
        args: vec!["--role".into(), "api".into()],
        expected_log: vec!["stopped answering", "will run again", "gave up on walker"],
        ..Options::default()
    })
    .await;
    let client = Client::new(&api.url, host.client.token());
    let id = client.start("waits_for_save", &json!({"ms": 200_000})).await;
    for attempt in 1..=3 {
        while view(&client, &id).await["schedule"]["reports"].as_array().map(Vec::len) != Some(attempt) {
            tokio::task::yield_now().await;
        }
        host.kill().await;
        if attempt < 3 {
            host = host.restart().await;
        }
    }
    let view = client.ended(&id).await;
    let (schedule, run) = (&view["schedule"], &view["run"]);
    assert_eq!((&schedule["status"], &schedule["http_status"]), (&json!("failed"), &json!(503)), "{view}");
    assert_eq!((&run["failure"]["code"], &run["attempt"]), (&json!("host.lost"), &json!(3)), "{view}");
    assert_eq!(schedule["error"], "the host that ran it died, in 3 attempts; retry it when the cause is known");
    let attempts = run["attempts"].as_array().unwrap();
    for (number, attempt) in (1..).zip(attempts) {
        assert_eq!((&attempt["attempt"], &attempt["code"]), (&json!(number), &json!("host.lost")), "{view}");
        assert_eq!(attempt["error"], "the host that ran it died", "{view}");
        assert!(scene::time(&attempt["started"]) < scene::time(&attempt["ended"]), "{attempt}");
    }
    assert_eq!(attempts.len(), 2, "the third is the walker's end: {view}");
    assert_eq!((&view["context"]["step"], schedule["reports"].as_array().unwrap().len()), (&json!(1), 3), "{view}");
    api.stop().await;
}

#[tokio::test]
async fn authors_have_failures_retried_and_every_attempt_is_kept() {
    let host = scene::host().await;
    let client = &host.client;
    let view = client.run("fails_first", &json!({"times": 2})).await;
    assert_eq!(view["schedule"]["status"], "completed", "{view}");
    assert_eq!(view["run"]["attempt"], 3, "{view}");
    assert_eq!(view["context"], json!({"times": 2, "attempts": 3}), "each went on from the save before: {view}");
    // What was said after a save is said again, what was said before it is not.
    assert_eq!(view["schedule"]["reports"], json!([1, 2, 3, "not saved"]), "{view}");
    let attempts = view["run"]["attempts"].as_array().unwrap();
    for (number, attempt) in (1..).zip(attempts) {
        assert_eq!(scene::keys(attempt), ["attempt", "code", "ended", "error", "started"]);
        assert_eq!((&attempt["attempt"], &attempt["code"]), (&json!(number), &json!("guest.error")));
        assert_eq!(attempt["error"], format!("attempt {number} fails"));
        assert!(scene::time(&attempt["started"]) < scene::time(&attempt["ended"]), "{attempt}");
    }
    assert_eq!(attempts.len(), 2);
    let id = view["id"].as_str().unwrap();
    assert_eq!(client.printed(id).await, ["attempt 1", "attempt 2", "attempt 3"]);

    // Until they are used up; then by hand.
    let view = client.run("fails_first", &json!({"times": 5})).await;
    let id = view["id"].as_str().unwrap();
    assert_eq!((&view["schedule"]["status"], &view["run"]["attempt"]), (&json!("failed"), &json!(4)), "{view}");
    assert_eq!(view["schedule"]["error"], "attempt 4 fails");
    assert_eq!(view["schedule"]["reports"], json!([1, 2, 3, 4, "not saved"]), "{view}");
    client.post(&format!("/walkers/{id}/retry"), &json!({})).await.expect(202);
    let view = client.ended(id).await;
    assert_eq!((&view["schedule"]["status"], &view["run"]["attempt"]), (&json!("completed"), &json!(6)), "{view}");
    assert_eq!(view["run"]["attempts"].as_array().unwrap().len(), 5, "{view}");
    assert_eq!(view["context"]["attempts"], 6, "{view}");
    // An error of a walker that asks for nothing ends it.
    let view = client.run("returns_error", &json!({})).await;
    assert_eq!((&view["run"]["attempt"], &view["run"]["attempts"]), (&json!(1), &Value::Null), "{view}");
    host.stop().await;
}

#[tokio::test]
async fn a_walker_is_retried_a_thousand_times_and_no_more() {
    let host = scene::host().await;
    let client = &host.client;
    let id = client.run("returns_error", &json!({})).await["id"].as_str().unwrap().to_owned();
    let (admin, connection) =
        tokio_postgres::connect(host.options().database_url.as_ref().unwrap(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    admin.execute("update results set attempt = 999", &[]).await.unwrap();
    let retry = async || client.post(&format!("/walkers/{id}/retry"), &json!({})).await;
    retry().await.expect(202);
    assert_eq!(client.ended(&id).await["run"]["attempt"], 1_000);
    let problem = retry().await.problem(409, "walker.tried_out");
    assert!(problem["detail"].as_str().unwrap().contains("has had 1000 attempts"), "{problem}");
    host.stop().await;
}

#[tokio::test]
async fn a_host_that_is_stopped_hands_its_walkers_over_at_once() {
    let (mut one, second, other) = two_hosts(&["--grace", "0s"]).await;
    // What compiling the module takes there is not asked here.
    other.run("waits_for_save", &json!({"ms": 1})).await;
    let id = one.client.start("waits_for_save", &json!({"ms": 300})).await;
    saved(&other, &id, "step", 1).await;
    let long = one.client.start("waits_for_save", &json!({"ms": 2_000})).await;
    saved(&other, &long, "step", 1).await;
    one.end().await;
    let ended = Instant::now();
    loop {
        let view = view(&other, &long).await;
        // Handed back, it runs here from its save.
        if view["schedule"]["status"] == "completed" {
            assert_eq!((&view["run"]["attempt"], &view["run"]["attempts"]), (&json!(2), &Value::Null), "{view}");
            assert_eq!(view["schedule"]["reports"].as_array().unwrap().len(), 2, "{view}");
            break;
        }
        assert!(ended.elapsed() < Duration::from_secs(6), "that takes a lease: {view}");
        tokio::task::yield_now().await;
    }
    second.stop().await;
}

#[tokio::test]
async fn a_wait_on_another_host_ends_soon_after_the_walker() {
    let (one, second, other) = two_hosts(&[]).await;
    let mut late = Vec::new();
    for _ in 0..10 {
        let id = one.client.start("waits_for_save", &json!({"ms": 50})).await;
        let (here, there) = tokio::join!(
            async {
                one.client.ended(&id).await;
                Instant::now()
            },
            async {
                other.ended(&id).await;
                Instant::now()
            }
        );
        late.push(there.saturating_duration_since(here));
    }
    late.sort_unstable();
    assert!(late[5] < Duration::from_secs(1), "{late:?}");
    second.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn the_command_line_cancels_and_retries() {
    let host = scene::host().await;
    let walker = async |args: &[&str]| {
        let output = host.command().args(args).output().await.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (one, two) = (host.client.start("spins", &json!({})).await, host.client.start("sleeps", &json!({})).await);
    assert_eq!(walker(&["cancel", &one, &two]).await, (0, format!("{one}\n{two}\n")));
    for id in [&one, &two] {
        is_cancelled(&host.client.ended(id).await);
    }
    assert_eq!(walker(&["cancel", &one]).await, (1, String::new()));
    assert_eq!(walker(&["cancel"]).await.0, 2);
    assert_eq!(walker(&["cancel", "--name", "no name"]).await.0, 2);
    host.client.post("/walker/sample?delay=1h", &json!({})).await.expect(200);
    assert_eq!(walker(&["cancel", "--name", "sample", "--status", "running"]).await, (0, "0 cancelled\n".into()));
    assert_eq!(walker(&["cancel", "--all", "-o", "json"]).await, (0, "{\"cancelled\":1}\n".into()));

    let id = host.client.run("fails_first", &json!({"times": 4})).await["id"].as_str().unwrap().to_owned();
    assert_eq!(walker(&["retry", &id]).await, (0, format!("{id}\n")));
    assert_eq!(host.client.ended(&id).await["schedule"]["status"], "completed");
    let (_, shown) = walker(&["get", &id]).await;
    assert!(shown.contains("earlier     4: guest.error attempt 4 fails\n"), "{shown}");
    assert_eq!(walker(&["retry", &id]).await.0, 1);

    let once = ["run", "sample", "--idempotency-key", "k-1"];
    let (code, first) = walker(&once).await;
    assert_eq!(code, 0);
    assert_eq!(walker(&once).await, (0, first));
    assert_eq!(walker(&["run", "sample", "{\"value\": 2}", "--idempotency-key", "k-1"]).await.0, 1);
    host.stop().await;
}

/// A keyed request.
pub(crate) fn keyed(client: &Client, path: &str, key: &str, body: &Value) -> reqwest::RequestBuilder {
    client.request(Method::POST, path).header("Idempotency-Key", key).json(body)
}
