//! A fresh, migrated database for each unit test, on one real Postgres for each test process.

use tokio::sync::OnceCell;
use tokio_postgres::Config;
use walker_harness::Cluster;

use crate::store::Store;

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();

/// Migrated once, then copied for each test.
const TEMPLATE: &str = "migrated";

/// A new, migrated database of its own, as the superuser.
pub(crate) async fn database() -> Config {
    let cluster = CLUSTER.get_or_init(|| async {
        let cluster = Cluster::start().await;
        cluster.create(TEMPLATE, "template0").await;
        drop(Store::open(cluster.config(TEMPLATE), 1).await.expect("migrates the template database"));
        cluster
    });
    cluster.await.database(TEMPLATE).await
}

/// A store on a new database of its own.
pub(crate) async fn store() -> Store {
    Store::open(database().await, 8).await.expect("opens the test database")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_test_has_a_migrated_database_of_its_own() {
        let (one, other) = (database().await, database().await);
        assert_ne!(one.get_dbname(), other.get_dbname());
        let store = Store::open(one, 2).await.expect("opens");
        let client = store.client().await.expect("connects");
        let tables: i64 = client.query_one("select count(*) from tenants", &[]).await.expect("is migrated").get(0);
        assert_eq!(tables, 0);
    }
}
