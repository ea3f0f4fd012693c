//! How much a tenant may have stored: counted to the byte, refused beyond the quota, and free again when it is deleted.

use serde_json::{Value, json};
use tokio_postgres::NoTls;
use walker_harness::{Answer, Client, Host, module};

use crate::control::{keyed, saved};
use crate::limits::patch;
use crate::scene;

async fn stored(host: &Host) -> u64 {
    host.operator().get("/tenants/default/usage").await.expect(200)["stored_bytes"].as_u64().unwrap()
}

/// Leaves the tenant room for so many bytes more than it has.
async fn leave(host: &Host, room: u64) -> u64 {
    let quota = stored(host).await + room;
    patch(host, "default", json!({"stored_bytes": quota})).await.expect(200);
    quota
}

#[track_caller]
fn is_full(answer: &Answer, quota: u64) -> Value {
    let problem = answer.problem(403, "quota.stored_bytes");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("may have {quota};")) && detail.contains("delete walkers"), "{detail}");
    problem
}

async fn forget(client: &Client, view: &Value) {
    assert_eq!(client.delete(&format!("/walkers/{}", view["id"].as_str().unwrap())).await.status, 204);
}

#[tokio::test]
async fn all_that_is_stored_is_told_and_what_is_deleted_no_more() {
    let host = scene::host().await;
    let client = &host.client;
    let code = (module("seed").len() + module("faults").len()) as u64;
    assert_eq!(stored(&host).await, code);

    let text = "x".repeat(1_000);
    let mut ended = vec![client.run("echo_later", &json!({"value": text})).await];
    let one = stored(&host).await - code;
    assert!((3_600..3_700).contains(&one), "its rows, its fields before and after, its report: {one}");
    for (walker, fields) in
        [("fails_first", json!({})), ("floods_log", json!({"lines": 2_000, "bytes": 100})), ("panics", json!({}))]
    {
        ended.push(client.run(walker, &fields).await);
    }
    client.post("/walker/sets_status", &json!({"custom": text})).await;
    client.post("/walker/echo", &json!({"value": text})).await.expect(200);
    let batch = json!({"walkers": [{"value": 1}, {"value": 2}]});
    client.post("/walker/echo_later/batch?delay=1h", &batch).await.expect(200);
    client.post("/walkers/cancel", &json!({})).await.expect(200);
    let failed = client.run("returns_error", &json!({})).await;
    client.post(&format!("/walkers/{}/retry", failed["id"].as_str().unwrap()), &json!({})).await.expect(202);
    client.ended(failed["id"].as_str().unwrap()).await;

    // As a look at all rows says.
    let (database, connection) =
        tokio_postgres::connect(host.options().database_url.as_deref().unwrap(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let length = |columns: &[&str]| {
        columns.iter().map(|one| format!("coalesce(octet_length({one}::text), 0)")).collect::<Vec<_>>().join(" + ")
    };
    let sql = format!(
        "select (coalesce((select sum(600 + {}) from walkers), 0) + coalesce((select sum({}) from results), 0)
                + coalesce((select sum({}) from attempts), 0) + coalesce((select sum({}) from logs), 0))::int8",
        length(&["fields", "custom"]),
        length(&["fields", "reports", "custom", "logs"]),
        length(&["logs"]),
        length(&["lines"]),
    );
    let rows: i64 = database.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(stored(&host).await, code + rows as u64);

    for view in &ended {
        forget(client, view).await;
    }
    let rows: i64 = database.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(stored(&host).await, code + rows as u64);
    host.stop().await;
}

#[tokio::test]
async fn beyond_the_quota_nothing_new_is_taken_and_nothing_accepted_is_lost() {
    let host = scene::host().await;
    let client = &host.client;
    let failed = client.run("returns_error", &json!({})).await["id"].as_str().unwrap().to_owned();
    let large = client.run("echo_later", &json!({"value": "x".repeat(20_000)})).await;
    let once = async |key: &str| client.send(keyed(client, "/walker/sample?delay=1h", key, &json!({}))).await;
    let kept = once("kept").await.expect(200);

    let running = client.start("spawns_late", &json!({"ms": 1_000})).await;
    saved(client, &running, "stage", "saved").await;
    let quota = leave(&host, 0).await;
    let detail = is_full(&client.post("/walker/echo_later", &json!({})).await, quota)["detail"].take();
    assert!(detail.as_str().unwrap().starts_with(&format!("the tenant has {quota} bytes stored")), "{detail}");
    is_full(&client.post("/walker/echo", &json!({})).await, quota);
    is_full(&client.post("/walker/echo_later/batch", &json!({"walkers": [{}]})).await, quota);
    is_full(&client.send(keyed(client, "/walker/echo", "sync", &json!({}))).await, quota);
    is_full(&once("new").await, quota);
    is_full(&client.put_module("more", module("faults")).await, quota);
    // What it has already takes no more room, and what was answered once is answered again.
    client.put_module("faults", module("faults")).await.expect(200);
    assert_eq!(once("kept").await.expect(200), kept);
    // What runs goes on, and its result is stored; a guest that spawns hears the same as others.
    let view = client.ended(&running).await;
    assert_eq!(view["schedule"]["status"], "completed", "{view}");
    assert_eq!(view["schedule"]["reports"][0]["code"], "quota.stored_bytes", "{view}");
    // Beyond it by now, no walker that failed takes up more.
    let retry = async || client.post(&format!("/walkers/{failed}/retry"), &json!({})).await;
    let mut refused = retry().await;
    while refused.status == 202 {
        // Until that result is counted.
        client.ended(&failed).await;
        refused = retry().await;
    }
    is_full(&refused, quota);

    // Another tenant is not concerned, and what is deleted makes room.
    forget(client, &large).await;
    let began = std::time::Instant::now();
    loop {
        let answer = client.post("/walker/echo_later", &json!({})).await;
        if answer.status == 200 {
            break;
        }
        is_full(&answer, quota);
        assert!(began.elapsed().as_secs() < 10, "{}", answer.text);
    }
    // So does a larger quota, at once.
    let room = json!({"value": "x".repeat(100_000)});
    let quota = leave(&host, 50_000).await;
    is_full(&client.post("/walker/echo_later", &room).await, quota);
    patch(&host, "default", json!({"stored_bytes": null})).await.expect(200);
    client.post("/walker/echo_later", &room).await.expect(200);
    host.stop().await;
}

#[tokio::test]
async fn what_a_host_accepts_it_knows_at_once() {
    let host = scene::host().await;
    let quota = leave(&host, 10 * 1_600).await;
    let fields = json!({"value": "x".repeat(985)});
    let path = "/walker/echo_later?delay=1h";
    let posts = futures::future::join_all((0..50).map(|_| host.client.post(path, &fields))).await;
    let accepted = posts.iter().filter(|answer| answer.status == 200).count();
    for refused in posts.iter().filter(|answer| answer.status != 200) {
        is_full(refused, quota);
    }
    // What was on its way when it counted comes on top of that.
    assert!((10..20).contains(&accepted), "{accepted}");
    host.stop().await;
}
