//! Tenants' life: suspended and resumed, and deleted with everything of them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::NoTls;
use walker_harness::{Answer, Client, Host, module};

use crate::control::{saved, two_hosts};
use crate::identity::{is_revoked, key};
use crate::modules::marked;

/// How late a host may learn of what another was told.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);

/// A tenant with the example modules, and a client with a key of all scopes.
async fn tenant(host: &Host, name: &str) -> Client {
    host.operator().post("/tenants", &json!({"name": name})).await.expect(201);
    let (client, _) = key(host, name, json!({"name": "all", "scopes": ["deploy", "read", "invoke"]})).await;
    for name in ["seed", "faults"] {
        client.put_module(name, module(name)).await.expect(201);
    }
    client
}

async fn patch(host: &Host, tenant: &str, change: &Value) -> Answer {
    let operator = host.operator();
    operator.send(operator.request(Method::PATCH, &format!("/tenants/{tenant}")).json(change)).await
}

async fn status(client: &Client, id: &str) -> String {
    let view = client.get(&format!("/walkers/{id}")).await.expect(200);
    view["walker"]["schedule"]["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_suspended_tenant_starts_nothing_reads_all_and_goes_on_where_it_stood() {
    let (one, other, _) = two_hosts(&[]).await;
    let acme = tenant(&one, "acme").await;
    let there = Client::new(&other.url, acme.token());
    let failed = acme.run("returns_error", &json!({})).await["id"].as_str().unwrap().to_owned();
    let running = acme.start("spawns_late", &json!({"ms": 1_000})).await;
    saved(&acme, &running, "stage", "saved").await;
    let due = acme.post("/walker/sample?delay=2s", &json!({})).await.expect(200);
    let due = due["walker_id"].as_str().unwrap();
    let never = acme.post("/walker/sample?delay=10m", &json!({})).await.expect(200);

    assert_eq!(patch(&one, "acme", &json!({"suspended": true})).await.expect(200)["suspended"], true);
    let suspended = Instant::now();
    let open = acme.with_token(None);
    let register = open.request(Method::POST, "/user/register").header("Walker-Tenant", "acme");
    let user = json!({"email": "ada@example.org", "password": "correct horse battery"});
    for answer in [
        acme.post("/walker/sample", &json!({})).await,
        acme.post("/walker/sample?delay=1h", &json!({})).await,
        acme.post("/walker/echo", &json!({})).await,
        acme.post("/walker/sample/batch", &json!({"walkers": [{}]})).await,
        acme.post(&format!("/walkers/{failed}/retry"), &json!({})).await,
        acme.put_module("seed", module("seed")).await,
        acme.post("/modules/seed/activate", &json!({"version": 1})).await,
        open.send(register.json(&user)).await,
    ] {
        answer.problem(403, "tenant.suspended");
    }
    // What runs finishes, but starts nothing either.
    let view = acme.ended(&running).await;
    assert_eq!(
        (&view["schedule"]["status"], &view["schedule"]["reports"][0]["code"]),
        (&json!("completed"), &json!("tenant.suspended")),
        "{view}"
    );
    while there.post("/walker/sample?delay=1h", &json!({})).await.status != 403 {
        assert!(suspended.elapsed() <= KNOWN_WITHIN, "the other host still takes walkers in");
    }
    // Others are not concerned. When this one has run, the tenant's has been due for long.
    let later = one.client.post("/walker/sample?delay=3s", &json!({})).await.expect(200);
    one.client.ended(later["walker_id"].as_str().unwrap()).await;
    for client in [&acme, &there] {
        assert_eq!(status(client, due).await, "pending");
        client.get("/walkers").await.expect(200);
        client.get(&format!("/walkers/{failed}/logs")).await.expect(200);
        client.get("/modules").await.expect(200);
    }
    acme.post(&format!("/walkers/{}/cancel", never["walker_id"].as_str().unwrap()), &json!({})).await.expect(202);
    assert_eq!(acme.delete(&format!("/walkers/{failed}")).await.status, 204);

    assert_eq!(patch(&other, "acme", &json!({"suspended": false})).await.expect(200)["suspended"], false);
    assert_eq!(acme.ended(due).await["schedule"]["status"], "completed");
    let resumed = Instant::now();
    while acme.post("/walker/sample", &json!({})).await.status != 200 {
        assert!(resumed.elapsed() <= KNOWN_WITHIN, "this host still refuses");
    }
    open.send(open.request(Method::POST, "/user/register").header("Walker-Tenant", "acme").json(&user))
        .await
        .expect(201);
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn settings_of_a_tenant_are_changed_one_by_one() {
    let host = crate::scene::host().await;
    let fresh = host.operator().get("/tenants/default").await.expect(200);
    assert_eq!(
        (&fresh["suspended"], &fresh["deleting"], &fresh["keep_results"]),
        (&json!(false), &json!(false), &Value::Null)
    );
    for (change, keep_results, suspended, fuel) in [
        (json!({"keep_results": 30}), json!(30), false, Value::Null),
        (json!({"suspended": true, "quotas": {"fuel": 7}}), json!(30), true, json!(7)),
        (json!({"suspended": false}), json!(30), false, json!(7)),
        (json!({"keep_results": null}), Value::Null, false, json!(7)),
        (json!({"quotas": {"fuel": null}}), Value::Null, false, Value::Null),
        (json!({}), Value::Null, false, Value::Null),
    ] {
        let now = patch(&host, "default", &change).await.expect(200);
        let found = (&now["keep_results"], &now["suspended"], &now["quotas"]["fuel"]);
        assert_eq!(found, (&keep_results, &json!(suspended), &fuel), "{change}");
        assert_eq!(host.operator().get("/tenants/default").await.expect(200), now);
    }
    for (change, pointer) in [
        (json!({"keep_results": 0}), "/keep_results"),
        (json!({"keep_results": 3651}), "/keep_results"),
        (json!({"keep_results": "30"}), "/keep_results"),
        (json!({"suspended": null}), "/suspended"),
        (json!({"suspended": "yes"}), "/suspended"),
        (json!({"deleting": true}), "/deleting"),
    ] {
        let problem = patch(&host, "default", &change).await.problem(422, "fields.invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    patch(&host, "nobody", &json!({})).await.problem(404, "tenant.not_found");
    host.stop().await;
}

/// How many rows each table has of a tenant.
async fn rows(database: &str, tenant: i64) -> Vec<(String, i64)> {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await.unwrap();
    tokio::spawn(connection);
    let tables = "select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid
                  where a.attname = 'tenant_id' and c.relname <> 'audit' and c.relkind in ('r', 'p') and not c.relispartition order by 1";
    let mut rows = Vec::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let count = format!("select count(*) from {table} where tenant_id = $1");
        match client.query_one(&count, &[&tenant]).await.unwrap().get(0) {
            0 => {}
            count => rows.push((table, count)),
        }
    }
    rows
}

/// The file of what a host has compiled of this code.
fn compiled(host: &Host, sha256: &str) -> PathBuf {
    let engines = std::fs::read_dir(host.data_dir().join("compiled")).unwrap();
    let mut files = engines.map(|engine| engine.unwrap().path().join(sha256));
    files.find(|file| file.exists()).expect("it is compiled when it is published")
}

#[tokio::test]
async fn a_deleted_tenant_is_gone_with_everything_of_it_even_if_a_host_dies_on_the_way() {
    let (mut one, other, _) = two_hosts(&[]).await;
    let acme = tenant(&one, "acme").await;
    let there = Client::new(&other.url, acme.token());
    let operator = Client::new(&other.url, one.operator().token());
    let open = acme.with_token(None);
    let user = json!({"email": "ada@example.org", "password": "correct horse battery"});
    let at = |path: &str| open.request(Method::POST, path).header("Walker-Tenant", "acme").json(&user);
    open.send(at("/user/register")).await.expect(201);
    let session = open.send(at("/user/login")).await.expect(200);
    let session = Client::new(&other.url, session["token"].as_str());

    acme.run("fails_first", &json!({})).await;
    let many: Vec<Value> = (0..500).map(|value| json!({"value": value})).collect();
    acme.post("/walker/echo_later/batch", &json!({"walkers": many})).await.expect(200);
    acme.post("/walker/sample?delay=1h", &json!({})).await.expect(200);
    let spins = there.start("spins", &json!({})).await;
    saved(&there, &spins, "stage", "saved").await;
    let holds = tokio::spawn({
        let there = there.clone();
        async move { there.post("/walker/holds", &json!({"ms": 120_000})).await }
    });
    let keyed = there.request(Method::POST, "/walker/sample").header("Idempotency-Key", "k").json(&json!({}));
    there.send(keyed).await.expect(200);
    // What nobody else has.
    let published = there.put_module("seed", marked(module("seed"), 1)).await.expect(201);
    let compiled = compiled(&other, published["module"]["versions"][0]["sha256"].as_str().unwrap());
    let database = one.options().database_url.clone().unwrap();
    let (client, connection) = tokio_postgres::connect(&database, NoTls).await.unwrap();
    tokio::spawn(connection);
    let id: i64 = client.query_one("select id from tenants where name = 'acme'", &[]).await.unwrap().get(0);

    operator.delete("/tenants/default").await.problem(409, "tenant.is_default");
    operator.delete("/tenants/nobody").await.problem(404, "tenant.not_found");
    acme.delete("/tenants/acme").await.problem(403, "token.wrong_kind");
    assert_eq!(one.operator().delete("/tenants/acme").await.expect(202), Value::Null);
    acme.get("/walkers").await.problem(401, "token.invalid");
    open.send(at("/user/login")).await.problem(404, "tenant.not_found");
    // Nothing takes it back, and the name stays taken.
    assert_eq!(operator.get("/tenants/acme").await.expect(200)["deleting"], true);
    operator.post("/tenants", &json!({"name": "acme"})).await.problem(409, "tenant.exists");
    operator
        .post("/tenants/acme/keys", &json!({"name": "x", "scopes": ["read"]}))
        .await
        .problem(409, "tenant.deleting");
    patch(&one, "acme", &json!({"suspended": false})).await.problem(409, "tenant.deleting");
    assert_eq!(operator.delete("/tenants/acme").await.status, 202);
    one.kill().await;

    is_revoked(&there).await;
    is_revoked(&session).await;
    // Whoever waits for a walker of it is told.
    holds.await.unwrap().problem(499, "cancelled");
    let began = Instant::now();
    while operator.get("/tenants/acme").await.status != 404 {
        assert!(began.elapsed() < Duration::from_secs(60), "it is still there: {:?}", rows(&database, id).await);
    }
    assert_eq!(rows(&database, id).await, []);
    while compiled.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "{} is still there", compiled.display());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // The other tenant has all of its own, and the name is free.
    assert_eq!(
        Client::new(&other.url, one.client.token()).run("sample", &json!({})).await["schedule"]["status"],
        "completed"
    );
    operator.post("/tenants", &json!({"name": "acme"})).await.expect(201);
    other.stop().await;
}
