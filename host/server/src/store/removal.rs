//! Deletes a tenant and all that is stored of it, in batches that may be repeated: whoever goes on begins anew.
//!
//! Decides nothing: in which order, and when, `queue/removal` says.

use tokio_postgres::error::SqlState;
use walker_model::TenantId;

use super::retention::{self, BATCH};
use super::{Error, Session, Store};

/// A tenant that is to go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leaving {
    pub(crate) id: TenantId,
    pub(crate) name: String,
    /// For how many seconds no token of it has been good.
    pub(crate) seconds: f64,
}

impl Store {
    /// The tenants that are to go, those that have waited longest first.
    pub(crate) async fn leaving(&self) -> Result<Vec<Leaving>, Error> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "select id, name, extract(epoch from clock_timestamp() - deleting_since)::float8
                 from tenants where deleting_since is not null order by deleting_since",
            )
            .await?;
        let rows = client.query(&statement, &[]).await?;
        Ok(rows.iter().map(|row| Leaving { id: TenantId(row.get(0)), name: row.get(1), seconds: row.get(2) }).collect())
    }
}

/// Takes what waits out of the queue, with what it saved.
pub(crate) async fn unqueue(session: &Session, tenant: TenantId) -> Result<(), Error> {
    let sql = "
        with q as (
            delete from queue where ctid = any(array(
                select ctid from queue where tenant_id = $1 and owner is null limit $2 for update skip locked))
            returning id),
        k as (delete from checkpoints k using q where k.id = any(array[q.id]))
        select count(*) from q";
    let statement = session.prepare(sql).await?;
    while session.query_one(&statement, &[&tenant.0, &BATCH]).await?.get::<_, i64>(0) == BATCH {}
    Ok(())
}

/// Marks what runs as cancelled: the hosts that run it find the marks. Answers how many walkers have not ended.
pub(crate) async fn cancel_running(session: &Session, tenant: TenantId) -> Result<i64, Error> {
    session.execute("update queue set owner = -owner where tenant_id = $1 and owner > 0", &[&tenant.0]).await?;
    let left = "select count(*) from (select 1 from queue where tenant_id = $1 limit 1000) q";
    Ok(session.query_one(left, &[&tenant.0]).await?.get(0))
}

/// Deletes the tenant's walkers of all days, with their results, output and attempts; answers how many.
pub(crate) async fn delete_walkers(session: &Session, tenant: TenantId) -> Result<u64, Error> {
    let mut deleted = 0;
    for day in retention::days(session).await? {
        deleted += retention::delete_of(session, day, tenant.0).await?;
    }
    Ok(deleted)
}

/// Whose rows go after the walkers, in this order: each before what it refers to.
const TABLES: [&str; 14] = [
    "checkpoints",
    "idempotency_keys",
    "grants",
    "usage_deltas",
    "usage_days",
    "stored_deltas",
    "stored_days",
    "lanes",
    "tokens",
    "revoked_keys",
    "users",
    "walker_names",
    "module_versions",
    "modules",
];

/// Deletes everything else. `false`: something came up meanwhile, or is not gone yet; it is to be tried again.
pub(crate) async fn delete_rest(session: &Session, tenant: TenantId) -> Result<bool, Error> {
    for table in TABLES {
        let of_tenant = match table {
            "module_versions" => "module_id in (select id from modules where tenant_id = $1)",
            _ => "tenant_id = $1",
        };
        if table == "module_versions" {
            delete_code(session, tenant).await?;
        }
        let sql =
            format!("delete from {table} where ctid = any(array(select ctid from {table} where {of_tenant} limit $2))");
        let statement = session.prepare(&sql).await?;
        loop {
            match session.execute(&statement, &[&tenant.0, &BATCH]).await {
                Ok(deleted) if deleted == BATCH as u64 => {}
                Ok(_) => break,
                Err(error) if refers(&error) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
    let last = "delete from tenants t
                where t.id = $1 and not exists (select 1 from queue where tenant_id = $1)
                  and not exists (select 1 from walkers where tenant_id = $1)";
    match session.execute(last, &[&tenant.0]).await {
        Ok(deleted) => Ok(deleted == 1),
        // A host of the version before let somebody register, or publish.
        Err(error) if refers(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Deletes the versions of the tenant's modules, and their code where nobody else published the same.
async fn delete_code(session: &Session, tenant: TenantId) -> Result<(), Error> {
    let one = "select v.module_id, v.version, v.sha256 from module_versions v join modules m on m.id = v.module_id
               where m.tenant_id = $1 limit 1";
    let version = session.prepare("delete from module_versions where module_id = $1 and version = $2").await?;
    let code = session
        .prepare(
            "delete from module_code c where c.sha256 = $1
             and not exists (select 1 from module_versions v where v.sha256 = c.sha256)",
        )
        .await?;
    while let Some(row) = session.query_opt(one, &[&tenant.0]).await? {
        let (module, number, sha256): (i64, i32, Vec<u8>) = (row.get(0), row.get(1), row.get(2));
        // Together: code that nobody refers to would be found by nobody.
        session.batch_execute("begin").await?;
        session.execute(&version, &[&module, &number]).await?;
        match session.execute(&code, &[&sha256]).await {
            Ok(_) => session.batch_execute("commit").await?,
            // Somebody publishes the same at this very moment: it is theirs now.
            Err(error) if refers(&error) => {
                session.batch_execute("rollback").await?;
                session.execute(&version, &[&module, &number]).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether a row is still referred to.
fn refers(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION)
}
