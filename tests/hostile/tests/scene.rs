//! A host under attack, and what must hold after each attack: it still serves.

use std::io::Write as _;

use serde_json::{Value, json};
use tokio::sync::OnceCell;
use walker_harness::{Client, Cluster, Host, Options};

use crate::guest::Guest;

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();

/// A host on a database of its own, with the example modules published.
pub(crate) async fn host_with(config: &str) -> Host {
    host_that_may_say(config, Vec::new()).await
}

/// The same, and its log may hold these.
pub(crate) async fn host_that_may_say(config: &str, expected_log: Vec<&'static str>) -> Host {
    let database_url = Some(CLUSTER.get_or_init(Cluster::start).await.url().await);
    let options = Options { database_url, config: config.to_owned(), expected_log, ..Options::default() };
    Host::with_modules(options, &["seed", "faults"]).await
}

/// Says what was measured, also where the tests' own output is kept back.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The host still serves: a walker runs to its end as if nothing had happened.
pub(crate) async fn still_serves(client: &Client) {
    let view = client.run("sample", &json!({})).await;
    assert_eq!((&view["schedule"]["status"], &view["context"]["value"]), (&json!("completed"), &json!(1)), "{view}");
}

/// Another tenant's client, with the example modules published there too.
pub(crate) async fn neighbour(host: &Host) -> Client {
    let operator = host.operator();
    operator.post("/tenants", &json!({"name": "neighbour"})).await.expect(201);
    let wanted = json!({"name": "all", "scopes": ["deploy", "read", "invoke"]});
    let key = operator.post("/tenants/neighbour/keys", &wanted).await.expect(201);
    let client = operator.with_token(key["key"].as_str());
    for name in ["seed", "faults"] {
        client.put_module(name, walker_harness::module(name)).await.expect(201);
    }
    client
}

/// The upload is refused, with words that hold `said`; the host still serves.
pub(crate) async fn refuses(client: &Client, what: &str, code: Vec<u8>, said: &str) {
    let answer = client.put_module("attack", code).await;
    assert_eq!(answer.status, 422, "{what}: {}", answer.text);
    let problem = answer.problem(422, "module.rejected");
    assert!(problem["detail"].as_str().unwrap().contains(said), "{what}: {problem}");
    still_serves(client).await;
}

/// How a walker ended that a test made up.
pub(crate) struct Attack {
    /// For the reader of a failure.
    pub(crate) what: &'static str,
    pub(crate) guest: Guest,
    /// The failure's code and the walker's status; `None` when it ends well.
    pub(crate) ends: Option<(&'static str, u16)>,
    /// What its error says.
    pub(crate) said: &'static str,
}

/// Publishes a guest, runs it, and checks how it ended; the host still serves. Answers its whole view.
pub(crate) async fn ends(client: &Client, Attack { what, guest, ends, said }: Attack) -> Value {
    let name = String::from_utf8(guest.name.clone()).unwrap();
    let published = client.put_module("attack", guest.core()).await;
    assert!(published.status == 201, "{what}: {}", published.text);
    let view = client.run(&name, &json!({})).await;
    let (schedule, failure) = (&view["schedule"], &view["run"]["failure"]);
    match ends {
        None => assert_eq!(
            (&schedule["status"], &schedule["http_status"]),
            (&json!("completed"), &json!(200)),
            "{what}: {view}"
        ),
        Some((code, status)) => {
            assert_eq!((&failure["code"], &schedule["http_status"]), (&json!(code), &json!(status)), "{what}: {view}");
            assert_eq!(schedule["status"], "failed", "{what}: {view}");
            assert!(schedule["error"].as_str().unwrap().contains(said), "{what}: {view}");
        }
    }
    still_serves(client).await;
    view
}
