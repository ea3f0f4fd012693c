//! The rows of `tenants`.
//!
//! Checks no names: what a tenant may be called, `identity` says.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Json as Sql;
use uuid::Uuid;
use walker_model::{SetQuotas, TenantId};

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
    /// What the operator set for it.
    pub quotas: SetQuotas,
}

impl Tenant {
    /// Reads `id, name, root_id, public_root_id, created_at, quotas` from `first` on.
    pub(super) fn read(row: &Row, first: usize) -> Self {
        let Sql(quotas) = row.get(first + 5);
        Self {
            id: TenantId(row.get(first)),
            name: row.get(first + 1),
            root: row.get(first + 2),
            public_root: row.get(first + 3),
            created_at: row.get(first + 4),
            quotas,
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
                 returning id, name, root_id, public_root_id, created_at, quotas",
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
            .prepare_cached("select id, name, root_id, public_root_id, created_at, quotas from tenants where name = $1")
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
                "select id, name, root_id, public_root_id, created_at, quotas from tenants
                  where name > coalesce($1, '') order by name limit $2",
                &[&after, &i64::from(limit)],
            )
            .await?;
        Ok(rows.iter().map(|row| Tenant::read(row, 0)).collect())
    }

    /// What is set for a tenant; `None` when there is no such tenant.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn tenant_quotas(&self, tenant: TenantId) -> Result<Option<SetQuotas>, Error> {
        let client = self.client().await?;
        let statement = client.prepare_cached("select quotas from tenants where id = $1").await?;
        let row = client.query_opt(&statement, &[&tenant.0]).await?;
        Ok(row.map(|row| row.get::<_, Sql<SetQuotas>>(0).0))
    }

    /// Sets and removes (`None`) quotas of a tenant, and leaves the others as they are; `None` when there is no such
    /// tenant.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn patch_tenant_quotas(
        &self,
        name: &str,
        patch: &[(String, Option<u64>)],
    ) -> Result<Option<Tenant>, Error> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let locked = "select quotas from tenants where name = $1 for update";
        let Some(row) = transaction.query_opt(locked, &[&name]).await? else { return Ok(None) };
        let Sql(mut quotas) = row.get::<_, Sql<SetQuotas>>(0);
        for (quota, value) in patch {
            match value {
                Some(value) => quotas.insert(quota.clone(), *value),
                None => quotas.remove(quota),
            };
        }
        let row = transaction
            .query_one(
                "update tenants set quotas = $2 where name = $1
                 returning id, name, root_id, public_root_id, created_at, quotas",
                &[&name, &Sql(&quotas)],
            )
            .await?;
        transaction.commit().await?;
        Ok(Some(Tenant::read(&row, 0)))
    }
}
