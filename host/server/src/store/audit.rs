//! Who changed what: appended in the transaction of the change, never changed.
//!
//! Who that is, `author` knows.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Transaction;
use tokio_postgres::types::Json as Sql;
use uuid::Uuid;
use walker_model::{Json, TenantId};

use super::{Error, Parameter, Store};
use crate::author;

/// A change that was made.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its id; later ones are greater.
    pub id: Uuid,
    /// What the tenant was called.
    pub tenant: String,
    /// When.
    pub at: DateTime<Utc>,
    /// `host`, `operator`, `key` or `user`.
    pub who: String,
    /// The key or the user.
    pub who_id: Option<Uuid>,
    /// From where, if that is known.
    pub address: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// How, as far as the action does not say.
    pub detail: Json,
}

/// Whose record.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// This tenant's.
    Tenant(TenantId),
    /// That of all tenants that were ever called so.
    Named(&'a str),
}

/// Puts on record that who asks did this to the tenant's `subject`.
pub(super) async fn record(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    action: &str,
    subject: &str,
    detail: impl Serialize + std::fmt::Debug + Sync,
) -> Result<(), Error> {
    let author = author::current();
    let (who, who_id) = author.who.stored();
    let address = author.address.map(|address| address.to_string());
    transaction
        .execute(
            "insert into audit (id, tenant_id, tenant, who, who_id, address, request_id, action, subject, detail)
             select $1, id, name, $3, $4, $5, $6, $7, $8, $9 from tenants where id = $2",
            &[&Uuid::now_v7(), &tenant.0, &who, &who_id, &address, &author.request_id, &action, &subject, &Sql(detail)],
        )
        .await?;
    Ok(())
}

impl Store {
    /// Puts a change on record that was made already.
    pub(crate) async fn record(
        &self,
        tenant: TenantId,
        action: &str,
        subject: &str,
        detail: impl Serialize + std::fmt::Debug + Sync,
    ) -> Result<(), Error> {
        let mut client = self.scoped(tenant).await?;
        let transaction = client.transaction().await?;
        record(&transaction, tenant, action, subject, detail).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Up to `limit` changes since then, the latest first, from the one before `before` on.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn audit(
        &self,
        whose: Whose<'_>,
        since: Option<DateTime<Utc>>,
        before: Option<Uuid>,
        limit: u16,
    ) -> Result<Vec<Record>, Error> {
        let (clause, value): (_, Parameter<'_>) = match &whose {
            Whose::Tenant(tenant) => ("tenant_id = $1", &tenant.0),
            Whose::Named(name) => ("tenant = $1", name),
        };
        let sql = format!(
            "select id, tenant, at, who, who_id, address, request_id, action, subject, detail from audit
             where {clause} and ($2::timestamptz is null or at >= $2) and ($3::uuid is null or id < $3)
             order by id desc limit $4"
        );
        let values: [Parameter<'_>; 4] = [value, &since, &before, &i64::from(limit)];
        let rows = match whose {
            Whose::Tenant(tenant) => self.scoped(tenant).await?.query(&sql, &values).await?,
            Whose::Named(_) => self.client().await?.query(&sql, &values).await?,
        };
        let read = |row: &tokio_postgres::Row| {
            Ok(Record {
                id: row.try_get(0)?,
                tenant: row.try_get(1)?,
                at: row.try_get(2)?,
                who: row.try_get(3)?,
                who_id: row.try_get(4)?,
                address: row.try_get(5)?,
                request_id: row.try_get(6)?,
                action: row.try_get(7)?,
                subject: row.try_get(8)?,
                detail: row.try_get::<_, Sql<Json>>(9)?.0,
            })
        };
        rows.iter().map(read).collect()
    }
}
