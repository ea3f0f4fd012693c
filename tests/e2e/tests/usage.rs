//! What tenants used, as it is told: as much as the records say, to the byte.

use serde_json::{Value, json};
use tokio_postgres::NoTls;
use walker_harness::Client;

use crate::control::saved;
use crate::identity::key;
use crate::scene;

async fn total(client: &Client, tenant: &str) -> Value {
    client.get(&format!("/tenants/{tenant}/usage")).await.expect(200)["total"].take()
}

#[tokio::test]
async fn usage_is_what_the_records_say_after_failures_retries_and_cancels() {
    let host = scene::host().await;
    let client = &host.client;
    let zero = json!({"walkers": 0, "fuel": 0, "bytes": 0});
    assert_eq!(total(client, "default").await, zero);

    for walker in ["sample", "returns_error", "panics", "fails_first"] {
        client.run(walker, &json!({})).await;
    }
    client.run("echo_later", &json!({"value": "x".repeat(1_000)})).await;
    // More output than a result's row takes, and a parent with a spawned and a called child.
    client.run("floods_log", &json!({"lines": 2_000, "bytes": 100})).await;
    let parent = client.run("parent", &json!({})).await;
    client.ended(parent["schedule"]["reports"][0]["spawned"].as_str().unwrap()).await;
    client.post("/walker/echo", &json!({"value": 1})).await.expect(200);
    let waits = client.post("/walker/sample?delay=1h", &json!({})).await.expect(200);
    client.post(&format!("/walkers/{}/cancel", waits["walker_id"].as_str().unwrap()), &json!({})).await.expect(202);
    let spins = client.start("spins", &json!({})).await;
    saved(client, &spins, "stage", "saved").await;
    client.post(&format!("/walkers/{spins}/cancel"), &json!({})).await.expect(202);
    client.ended(&spins).await;
    let failed = client.run("returns_error", &json!({})).await["id"].as_str().unwrap().to_owned();
    let (database, connection) =
        tokio_postgres::connect(host.options().database_url.as_deref().unwrap(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let stored = "select (coalesce(octet_length(fields::text), 0) + octet_length(reports::text))::int8
                  from results where id = $1::text::uuid";
    let uuid = failed.rsplit(':').next().unwrap();
    // What its retry takes away, to go on from it.
    let retried: i64 = database.query_one(stored, &[&uuid]).await.unwrap().get(0);
    client.post(&format!("/walkers/{failed}/retry"), &json!({})).await.expect(202);
    client.ended(&failed).await;

    let row = database
        .query_one(
            "select (select count(*) from results) + (select count(*) from attempts where was_result),
                    ((select sum((usage->0->>'fuel')::int8) from results)
                        + (select sum((usage->0->>'fuel')::int8) from attempts))::int8,
                    ((select sum(coalesce(octet_length(fields::text), 0) + octet_length(reports::text)
                            + coalesce(octet_length(logs::text), 0)) from results)
                        + (select sum(coalesce(octet_length(logs::text), 0)) from attempts)
                        + (select sum(octet_length(lines::text)) from logs))::int8,
                    (select sum(octet_length(lines::text)) from logs)::int8",
            &[],
        )
        .await
        .unwrap();
    let (walkers, fuel, bytes, chunks): (i64, i64, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
    assert!(chunks > 0, "some output was stored while it ran");
    let used = total(client, "default").await;
    assert_eq!((&used["walkers"], &used["fuel"]), (&json!(walkers), &json!(fuel)), "{used}");
    assert_eq!(used["bytes"], bytes + retried, "{used}");

    // It stays when its walkers go, and when it is added up.
    client.delete(&format!("/walkers/{failed}")).await;
    let left = "select count(*) from usage_deltas";
    while database.query_one(left, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(total(client, "default").await, used);
    host.stop().await;
}

#[tokio::test]
async fn usage_is_told_by_day_to_the_operator_and_the_tenants_own_keys() {
    let host = scene::host().await;
    let view = host.client.run("sample", &json!({})).await;
    let days = host.operator().get("/tenants/default/usage").await.expect(200);
    let day = days["days"][0]["day"].as_str().unwrap();
    assert!(view["run"]["finished_date"].as_str().unwrap().starts_with(day), "{days}");
    assert_eq!((days["days"].as_array().unwrap().len(), &days["days"][0]["walkers"]), (1, &json!(1)), "{days}");
    for (query, walkers) in [
        (format!("?since={day}&until={day}"), 1),
        (format!("?until={day}"), 1),
        ("?since=2020-01-01&until=2020-12-31".to_owned(), 0),
        (format!("?since={day}&until=2020-12-31"), 0),
    ] {
        let used = host.operator().get(&format!("/tenants/default/usage{query}")).await.expect(200);
        assert_eq!(used["total"]["walkers"], walkers, "{query}");
    }
    for query in ["?since=yesterday", "?since=2026-1-1", "?until=2026-02-30", "?since=", "?day=2026-01-01"] {
        host.operator().get(&format!("/tenants/default/usage{query}")).await.problem(400, "query.invalid");
    }
    host.operator().post("/tenants", &json!({"name": "acme"})).await.expect(201);
    host.operator().get("/tenants/nobody/usage").await.problem(404, "tenant.not_found");
    let (acme, _) = key(&host, "acme", json!({"name": "reads", "scopes": ["read"]})).await;
    assert_eq!(acme.get("/tenants/acme/usage").await.expect(200)["days"], json!([]));
    for other in ["default", "nobody"] {
        acme.get(&format!("/tenants/{other}/usage")).await.problem(404, "tenant.not_found");
    }
    host.stop().await;
}
