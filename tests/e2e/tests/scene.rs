//! A host for a test: on a database of its own, in a cluster that all tests share.

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
