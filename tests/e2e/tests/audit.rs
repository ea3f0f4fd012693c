//! Who changed what, from where, and when: on record with the change, for the tenant and for the operator.

use reqwest::Method;
use serde_json::{Value, json};
use walker_harness::{Client, module};

use crate::control::saved;
use crate::identity::{key, user};
use crate::scene::{self, keys};

/// The record, the earliest change first.
async fn record(client: &Client, path: &str) -> Vec<Value> {
    let mut page = client.get(path).await.expect(200);
    let mut records: Vec<Value> = page["audit"].as_array_mut().unwrap().drain(..).collect();
    records.reverse();
    records
}

/// What was done, to what, and by which kind of caller.
fn told(record: &Value) -> [&str; 3] {
    [&record["action"], &record["subject"], &record["who"]["kind"]].map(|value| value.as_str().unwrap())
}

#[tokio::test]
async fn every_change_is_on_record_with_who_made_it() {
    let host = scene::host().await;
    let operator = host.operator();
    operator.post("/tenants", &json!({"name": "acme"})).await.expect(201);
    let all = json!({"name": "all", "scopes": ["deploy", "read", "invoke"]});
    let (acme, acme_key) = key(&host, "acme", all).await;
    let (_, gone_key) = key(&host, "acme", json!({"name": "gone", "scopes": ["read"]})).await;
    operator.delete(&format!("/tenants/acme/keys/{gone_key}")).await;
    operator.delete(&format!("/tenants/acme/keys/{gone_key}")).await.problem(404, "key.not_found");
    let patch = operator.request(Method::PATCH, "/tenants/acme");
    operator.send(patch.json(&json!({"quotas": {"fuel": null}, "keep_results": 30}))).await.expect(200);
    // Nothing is changed by these.
    operator.send(operator.request(Method::PATCH, "/tenants/acme").json(&json!({}))).await.expect(200);
    operator.send(operator.request(Method::PATCH, "/tenants/acme").json(&json!({"keep_results": 0}))).await.expect(422);

    acme.put_module("faults", module("faults")).await.expect(201);
    acme.put_module("faults", module("faults")).await.expect(200);
    acme.post("/modules/faults/activate", &json!({"version": 1})).await.expect(200);
    acme.post("/modules/faults/activate", &json!({"version": 7})).await.problem(404, "module.version_not_found");
    let credentials = json!({"email": "ada@example.org", "password": "correct horse battery"});
    let ada_id = acme.post("/user/register", &credentials).await.expect(201)["id"].as_str().unwrap().to_owned();
    let session = acme.post("/user/login", &credentials).await.expect(200);
    let ada = acme.with_token(session["token"].as_str());
    let role = acme.request(Method::PATCH, &format!("/users/{ada_id}")).json(&json!({"role": "admin"}));
    acme.send(role).await.expect(200);
    let root = operator.get("/tenants/acme").await.expect(200)["root_id"].as_str().unwrap().to_owned();
    let grant = ada.post("/grants", &json!({"to": root})).await.expect(201);
    let grant = grant["id"].as_str().unwrap();
    ada.delete(&format!("/grants/{grant}")).await;
    let spins = ada.start("spins", &json!({})).await;
    saved(&ada, &spins, "stage", "saved").await;
    ada.post(&format!("/walkers/{spins}/cancel"), &json!({})).await.expect(202);
    ada.post("/walker/spins?delay=1h", &json!({})).await.expect(200);
    ada.post("/walkers/cancel", &json!({"name": "nobody"})).await.expect(200);
    let named = ada.request(Method::POST, "/walkers/cancel").header("X-Request-Id", "mine-1");
    ada.send(named.json(&json!({"name": "spins", "status": "pending"}))).await.expect(200);
    acme.delete(&format!("/users/{ada_id}/sessions")).await;
    acme.delete(&format!("/users/{ada_id}")).await;
    acme.delete("/modules/faults").await;

    let records = record(&acme, "/audit").await;
    let expected = [
        ["tenant.created", "acme", "operator"],
        ["key.created", &acme_key, "operator"],
        ["key.created", &gone_key, "operator"],
        ["key.revoked", &gone_key, "operator"],
        ["tenant.changed", "acme", "operator"],
        ["module.published", "faults", "key"],
        ["module.activated", "faults", "key"],
        ["user.role_changed", &ada_id, "key"],
        ["grant.given", grant, "user"],
        ["grant.revoked", grant, "user"],
        ["walker.cancelled", &spins, "user"],
        ["walkers.cancelled", "spins", "user"],
        ["user.sessions_ended", &ada_id, "key"],
        ["user.deleted", &ada_id, "key"],
        ["module.deleted", "faults", "key"],
    ];
    assert_eq!(records.iter().map(told).collect::<Vec<_>>(), expected);
    for record in &records {
        assert_eq!(
            keys(record),
            ["action", "address", "at", "detail", "id", "request_id", "subject", "tenant", "who"],
            "{record}"
        );
        let who = match record["who"]["kind"].as_str().unwrap() {
            "key" => json!(acme_key),
            "user" => json!(ada_id),
            _ => Value::Null,
        };
        assert_eq!((&record["who"]["id"], &record["tenant"]), (&who, &json!("acme")));
        assert!(record["request_id"].is_string(), "{record}");
        assert_eq!(record["address"], "127.0.0.1", "{record}");
        scene::time(&record["at"]);
    }
    assert_eq!(records[1]["detail"]["scopes"], json!(["deploy", "read", "invoke"]));
    assert_eq!(records[4]["detail"], json!({"quotas": {"fuel": null}, "keep_results": 30}));
    assert_eq!(records[5]["detail"]["version"], 1);
    assert_eq!(records[7]["detail"], json!({"role": "admin"}));
    assert_eq!((&records[11]["detail"]["count"], &records[11]["request_id"]), (&json!(1), &json!("mine-1")));
    assert_eq!(records[13]["detail"]["email"], "ada@example.org");
    let text = Value::from(records.clone()).to_string();
    assert!(!text.contains(acme.token().unwrap()) && !text.contains("correct horse"), "no secrets");

    // In pages, and since a time.
    let page = acme.get("/audit?limit=2").await.expect(200);
    let next = acme.get(&format!("/audit?limit=2&cursor={}", page["cursor"].as_str().unwrap())).await.expect(200);
    assert_eq!((&page["audit"][1], &next["audit"][0]), (&records[13], &records[12]));
    let since = acme.get(&format!("/audit?since={}", records[13]["at"].as_str().unwrap())).await.expect(200);
    assert_eq!(since["audit"].as_array().unwrap().len(), 2);
    acme.get("/audit?since=yesterday").await.problem(400, "query.invalid");
    host.stop().await;
}

#[tokio::test]
async fn the_record_outlives_its_tenant_for_the_operator() {
    let host = scene::host().await;
    let operator = host.operator();
    // The first start made these.
    let first = record(&operator, "/tenants/default/audit").await;
    assert_eq!(told(&first[0]), ["tenant.created", "default", "host"]);
    assert_eq!((&first[0]["who"]["id"], &first[0]["request_id"]), (&Value::Null, &Value::Null));
    let (ada, _) = user(&host, "ada@example.org").await;
    ada.get("/audit").await.problem(403, "scope.missing");

    operator.post("/tenants", &json!({"name": "acme"})).await.expect(201);
    let (acme, _) = key(&host, "acme", json!({"name": "reads", "scopes": ["read"]})).await;
    let own = record(&acme, "/audit").await;
    assert_eq!(own.iter().map(|one| told(one)[0]).collect::<Vec<_>>(), ["tenant.created", "key.created"]);
    for _ in 0..2 {
        assert_eq!(operator.delete("/tenants/acme").await.status, 202);
    }
    while operator.get("/tenants/acme").await.status != 404 {
        tokio::task::yield_now().await;
    }
    operator.post("/tenants", &json!({"name": "acme"})).await.expect(201);
    let kept = record(&operator, "/tenants/acme/audit").await;
    let actions: Vec<&str> = kept.iter().map(|one| told(one)[0]).collect();
    assert_eq!(actions, ["tenant.created", "key.created", "tenant.deleted", "tenant.created"]);
    assert_eq!(kept[..2], own);
    // Whoever has the name now sees nothing of who had it before.
    let (again, _) = key(&host, "acme", json!({"name": "reads", "scopes": ["read"]})).await;
    let own = record(&again, "/audit").await;
    assert_eq!(own.iter().map(|one| told(one)[0]).collect::<Vec<_>>(), ["tenant.created", "key.created"]);
    operator.get("/tenants/nobody/audit").await.problem(404, "tenant.not_found");
    host.stop().await;
}
