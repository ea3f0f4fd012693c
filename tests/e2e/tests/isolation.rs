//! Postgres keeps tenants apart, or there is only one.

use serde_json::json;
use tokio_postgres::NoTls;
use walker_harness::{Host, Options};

use crate::scene;

#[tokio::test]
async fn a_login_that_may_create_no_role_serves_one_tenant_until_somebody_else_did() {
    let database = scene::database().await;
    let (admin, connection) = tokio_postgres::connect(&database, NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    // The role may be there already: it is one for all databases of the server.
    admin
        .batch_execute(
            "create role plain login; alter schema public owner to plain;
             do $$ begin create role walker_tenant nologin; exception when duplicate_object or unique_violation then null; end $$",
        )
        .await
        .unwrap();
    let plain = database.replace("postgres@", "plain@");
    let options =
        Options { database_url: Some(plain), expected_log: vec!["serves one tenant only"], ..Options::default() };
    let host = Host::with_modules(options, &["seed"]).await;
    let view = host.client.run("sample", &json!({})).await;
    assert_eq!(view["schedule"]["status"], "completed", "{view}");
    let problem = host.operator().post("/tenants", &json!({"name": "acme"})).await.problem(409, "tenant.single");
    assert!(problem["detail"].as_str().unwrap().contains("log"), "{problem}");
    let script = "grant walker_tenant to plain;";
    assert!(host.log().iter().any(|line| line.contains(script)), "{:#?}", host.log());

    admin.batch_execute(script).await.unwrap();
    let home = host.home();
    host.stop().await;
    let host = home.start().await.unwrap();
    host.operator().post("/tenants", &json!({"name": "acme"})).await.expect(201);
    let view = host.client.run("sample", &json!({})).await;
    assert_eq!(view["schedule"]["status"], "completed", "{view}");
    host.stop().await;

    // With two tenants there is no going back.
    admin.batch_execute("revoke walker_tenant from plain").await.unwrap();
    let Err(said) = home.start().await else { panic!("it serves two tenants that nothing keeps apart") };
    assert!(said.contains("serves one tenant only") && said.contains(script), "{said}");
    drop(admin);
    driver.await.unwrap().unwrap();
}
