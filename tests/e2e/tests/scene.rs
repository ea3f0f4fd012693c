//! A host for a test: on a database of its own, in a cluster that all tests share.

use serde_json::Value;
use tokio::sync::OnceCell;
use walker_harness::{Cluster, Host, Options};

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();

/// A new empty database.
pub(crate) async fn database() -> String {
    CLUSTER.get_or_init(Cluster::start).await.url().await
}

/// A host with the example modules published.
pub(crate) async fn host() -> Host {
    host_with(Options::default()).await
}

/// The same, told more.
pub(crate) async fn host_with(options: Options) -> Host {
    let options = Options { database_url: Some(database().await), ..options };
    Host::with_modules(options, &["seed", "faults"]).await
}

/// The root that the host's own key enters.
pub(crate) async fn root(host: &Host) -> String {
    let tenant = host.operator().get("/tenants/default").await.expect(200);
    tenant["root_id"].as_str().unwrap().to_owned()
}

/// A time as hosts write it: UTC, six decimals, so that texts sort as times do.
#[track_caller]
pub(crate) fn time(value: &Value) -> &str {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no time"));
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "{text}");
    text
}

/// The names of an object's members.
#[track_caller]
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let members = value.as_object().unwrap_or_else(|| panic!("{value} is no object"));
    members.keys().map(String::as_str).collect()
}
