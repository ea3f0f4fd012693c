//! The rows of `tenants`.
//!
//! Checks no names: what a tenant may be called, `identity` says.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::Json as Sql;
use uuid::Uuid;
use walker_model::{SetQuotas, TenantId};

use super::audit::record;
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
    /// How many days after its end a walker can be read; as the hosts' settings say when `None`.
    pub keep_days: Option<i16>,
    /// Whether nothing new of it starts.
    pub is_suspended: bool,
    /// Whether all of it is being deleted.
    pub is_deleting: bool,
}

/// What [`Tenant::read`] reads of `tenants t`.
pub(super) const COLUMNS: &str = "t.id, t.name, t.root_id, t.public_root_id, t.created_at, t.quotas, t.keep_days,
    t.suspended_at is not null, t.deleting_since is not null";

impl Tenant {
    /// Reads [`COLUMNS`] from column `first` on.
    pub(super) fn read(row: &Row, first: usize) -> Self {
        let Sql(quotas) = row.get(first + 5);
        Self {
            id: TenantId(row.get(first)),
            name: row.get(first + 1),
            root: row.get(first + 2),
            public_root: row.get(first + 3),
            created_at: row.get(first + 4),
            quotas,
            keep_days: row.get(first + 6),
            is_suspended: row.get(first + 7),
            is_deleting: row.get(first + 8),
        }
    }
}

/// What a tenant may do at all, and how much of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SetTerms {
    /// What the operator set for it.
    pub(crate) quotas: SetQuotas,
    /// Whether it may start anything.
    pub(crate) is_open: bool,
}

/// What is to be different about a tenant; what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantChange {
    /// Quotas to set, and to remove.
    pub quotas: Vec<(String, Option<u64>)>,
    /// How many days after its end a walker can be read, from 1 to 3650; inside, `None`: as the hosts' settings say.
    pub keep_days: Option<Option<i16>>,
    /// Whether nothing new of it starts.
    pub suspended: Option<bool>,
}

impl TenantChange {
    /// What is said of it on record.
    fn told(&self) -> serde_json::Map<String, Value> {
        let mut told = serde_json::Map::new();
        if !self.quotas.is_empty() {
            let quotas = self.quotas.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            told.insert("quotas".to_owned(), Value::Object(quotas));
        }
        if let Some(days) = self.keep_days {
            told.insert("keep_results".to_owned(), json!(days));
        }
        if let Some(suspended) = self.suspended {
            told.insert("suspended".to_owned(), json!(suspended));
        }
        told
    }
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// The tenant as it is now.
    Done(Tenant),
    /// It is being deleted.
    Deleting,
    /// There is none of this name.
    Unknown,
}

impl Store {
    /// Adds a tenant with new roots; `None` when the name is taken.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses, and for a second tenant where it cannot keep tenants apart.
    pub async fn add_tenant(&self, name: &str) -> Result<Option<Tenant>, Error> {
        if self.has_tenants(1).await? {
            self.role.separates()?;
        }
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let row = transaction
            .query_opt(
                &format!(
                    "insert into tenants as t (name, root_id, public_root_id) values ($1, $2, $3)
                     on conflict on constraint tenants_name_key do nothing
                     returning {COLUMNS}"
                ),
                &[&name, &Uuid::now_v7(), &Uuid::now_v7()],
            )
            .await?;
        let made = row.map(|row| Tenant::read(&row, 0));
        if let Some(tenant) = &made {
            record(&transaction, tenant.id, "tenant.created", name, json!({})).await?;
        }
        transaction.commit().await?;
        Ok(made)
    }

    /// Refuses to serve several tenants that the database does not keep apart, and says where it can have only one.
    pub(super) async fn check_role(&self) -> Result<(), Error> {
        match self.role.separates() {
            Err(error) if self.has_tenants(2).await? => Err(error),
            Err(error) => {
                tracing::warn!("{error}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn has_tenants(&self, at_least: i64) -> Result<bool, Error> {
        let sql = "select count(*) >= $1 from (select 1 from tenants limit $1) t";
        Ok(self.client().await?.query_one(sql, &[&at_least]).await?.get(0))
    }

    /// The tenant with this name.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn tenant(&self, name: &str) -> Result<Option<Tenant>, Error> {
        let client = self.client().await?;
        let statement = client.prepare_cached(&format!("select {COLUMNS} from tenants t where name = $1")).await?;
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
                &format!("select {COLUMNS} from tenants t where name > coalesce($1, '') order by name limit $2"),
                &[&after, &i64::from(limit)],
            )
            .await?;
        Ok(rows.iter().map(|row| Tenant::read(row, 0)).collect())
    }

    /// What a tenant may do; nothing when there is no such tenant.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub(crate) async fn tenant_terms(&self, tenant: TenantId) -> Result<SetTerms, Error> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached("select quotas, suspended_at is null and deleting_since is null from tenants where id = $1")
            .await?;
        let row = client.query_opt(&statement, &[&tenant.0]).await?;
        Ok(row.map_or_else(SetTerms::default, |row| SetTerms {
            quotas: row.get::<_, Sql<SetQuotas>>(0).0,
            is_open: row.get(1),
        }))
    }

    /// Changes a tenant.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn change_tenant(&self, name: &str, change: &TenantChange) -> Result<Changed, Error> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let locked = "select quotas, deleting_since is not null from tenants where name = $1 for update";
        let Some(row) = transaction.query_opt(locked, &[&name]).await? else { return Ok(Changed::Unknown) };
        if row.get(1) {
            return Ok(Changed::Deleting);
        }
        let Sql(mut quotas) = row.get::<_, Sql<SetQuotas>>(0);
        for (quota, value) in &change.quotas {
            match value {
                Some(value) => quotas.insert(quota.clone(), *value),
                None => quotas.remove(quota),
            };
        }
        let row = transaction
            .query_one(
                &format!(
                    "update tenants t
                     set quotas = $2,
                         keep_days = case when $3::bool then $4::int2 else keep_days end,
                         suspended_at = case when $5::bool is null then suspended_at when $5 then coalesce(suspended_at, now()) end
                     where name = $1
                     returning {COLUMNS}"
                ),
                &[
                    &name,
                    &Sql(&quotas),
                    &change.keep_days.is_some(),
                    &change.keep_days.flatten(),
                    &change.suspended,
                ],
            )
            .await?;
        let tenant = Tenant::read(&row, 0);
        let detail = change.told();
        if !detail.is_empty() {
            record(&transaction, tenant.id, "tenant.changed", name, detail).await?;
        }
        transaction.commit().await?;
        Ok(Changed::Done(tenant))
    }

    /// Marks a tenant to be deleted; marking it again changes nothing. `None`: there is no such tenant.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn mark_tenant_deleted(&self, name: &str) -> Result<Option<TenantId>, Error> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let known = "select id, deleting_since is not null from tenants where name = $1 for update";
        let Some(row) = transaction.query_opt(known, &[&name]).await? else { return Ok(None) };
        let (tenant, is_marked): (_, bool) = (TenantId(row.get(0)), row.get(1));
        if !is_marked {
            transaction.execute("update tenants set deleting_since = now() where id = $1", &[&tenant.0]).await?;
            record(&transaction, tenant, "tenant.deleted", name, json!({})).await?;
            transaction.commit().await?;
        }
        Ok(Some(tenant))
    }
}
