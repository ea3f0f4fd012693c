//! The rows of `tenants`.
//!
//! Checks no names: what a tenant may be called, `identity` says.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use uuid::Uuid;
use walker_model::TenantId;

use super::{Error, Store};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its number.
    pub id: TenantId,
    /// Its name, unique on this database.
    pub name: String,
    /// The root that its keys enter.
    pub root: Uuid,
    /// The root that callers without a token enter.
    pub public_root: Uuid,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl Tenant {
    /// Reads `id, name, root_id, public_root_id, created_at` from `first` on.
    pub(super) fn read(row: &Row, first: usize) -> Self {
        Self {
            id: TenantId(row.get(first)),
            name: row.get(first + 1),
            root: row.get(first + 2),
            public_root: row.get(first + 3),
            created_at: row.get(first + 4),
        }
    }
}

impl Store {
    /// Adds a tenant with new roots; `None` when the name is taken.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn add_tenant(&self, name: &str) -> Result<Option<Tenant>, Error> {
        let row = self
            .client()
            .await?
            .query_opt(
                "insert into tenants (name, root_id, public_root_id) values ($1, $2, $3)
                 on conflict on constraint tenants_name_key do nothing
                 returning id, name, root_id, public_root_id, created_at",
                &[&name, &Uuid::now_v7(), &Uuid::now_v7()],
            )
            .await?;
        Ok(row.map(|row| Tenant::read(&row, 0)))
    }

    /// The tenant with this name.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn tenant(&self, name: &str) -> Result<Option<Tenant>, Error> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached("select id, name, root_id, public_root_id, created_at from tenants where name = $1")
            .await?;
        Ok(client.query_opt(&statement, &[&name]).await?.map(|row| Tenant::read(&row, 0)))
    }

    /// Up to `limit` tenants by name, from the one after `after` on.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn tenants(&self, after: Option<&str>, limit: u16) -> Result<Vec<Tenant>, Error> {
        let rows = self
            .client()
            .await?
            .query(
                "select id, name, root_id, public_root_id, created_at from tenants
                  where name > coalesce($1, '') order by name limit $2",
                &[&after, &i64::from(limit)],
            )
            .await?;
        Ok(rows.iter().map(|row| Tenant::read(row, 0)).collect())
    }
}
