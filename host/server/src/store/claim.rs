//! Takes due walkers out of the waiting ones, tenant by tenant.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Json as Sql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;
use walker_model::{Json, NodeId, TenantId};

use super::{Error, HostId, Lease, Session};

/// A walker that this host is to run.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) lease: Lease,
    pub(crate) tenant: TenantId,
    pub(crate) claimed_at: DateTime<Utc>,
    /// What to run; `None` when the input is gone, which no host can mend.
    pub(crate) input: Option<Input>,
}

/// The input of a run, from the last checkpoint if there is one.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) walker: String,
    pub(crate) module_id: i64,
    pub(crate) module_version: i32,
    pub(crate) node: NodeId,
    pub(crate) root: Uuid,
    pub(crate) custom: Option<Json>,
    pub(crate) fields: Json,
    pub(crate) reports: Vec<Json>,
    /// Whether fields and reports are a checkpoint's.
    pub(crate) is_saved: bool,
}

/// How many to take, and where to go on among the tenants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Take {
    pub(crate) after_tenant: i64,
    pub(crate) per_tenant: i64,
    pub(crate) at_most: i64,
}

/// Finds the tenants by hopping through the index, so that one with half a million waiting walkers
/// costs no more than one with a single walker. A host that was taken for dead, and does not know it yet, gets nothing:
/// what it took would be taken from it at the next sweep, one attempt poorer.
pub(crate) const CLAIM: &str = "
with recursive t(tenant_id) as (
    (select tenant_id from queue where owner is null and tenant_id > $1::int8 and exists (select 1 from hosts where id = $4::int4)
     order by tenant_id limit 1)
    union all
    select (select q.tenant_id from queue q where q.owner is null and q.tenant_id > t.tenant_id order by q.tenant_id limit 1)
    from t where t.tenant_id is not null),
pick as materialized (
    select x.tid
    from t cross join lateral (
        select q.ctid tid from queue q
        where q.owner is null and q.tenant_id = t.tenant_id and q.execute_date <= now()
        order by q.execute_date limit $2::int8 for update skip locked) x
    where t.tenant_id is not null
    limit $3::int8),
c as (
    update queue q set owner = $4::int4, attempt = attempt + 1, claimed_at = now()
    where q.ctid = any(array(select tid from pick))
    returning q.id, q.tenant_id, q.attempt, q.claimed_at)
select c.id, c.tenant_id, c.attempt, c.claimed_at, w.walker, w.module_id, w.module_version, w.node_kind, w.node_id, w.root_id,
       w.custom, coalesce(k.fields, w.fields) fields, k.reports
from c left join walkers w on w.id = c.id left join checkpoints k on k.id = c.id";

/// Takes due walkers for `host`.
pub(crate) async fn claim(
    session: &Session,
    statement: &Statement,
    host: HostId,
    take: Take,
) -> Result<Vec<Claimed>, Error> {
    let rows = session.query(statement, &[&take.after_tenant, &take.per_tenant, &take.at_most, &host.0]).await?;
    rows.iter().map(|row| claimed(row, host)).collect()
}

fn claimed(row: &Row, host: HostId) -> Result<Claimed, Error> {
    let reports: Option<Sql<Vec<Json>>> = row.try_get("reports")?;
    let walker: Option<String> = row.try_get("walker")?;
    let input = match walker {
        None => None,
        Some(walker) => Some(Input {
            walker,
            module_id: row.try_get("module_id")?,
            module_version: row.try_get("module_version")?,
            node: NodeId { kind: row.try_get("node_kind")?, uuid: row.try_get("node_id")? },
            root: row.try_get("root_id")?,
            custom: row.try_get::<_, Option<Sql<Json>>>("custom")?.map(|json| json.0),
            fields: row.try_get::<_, Sql<Json>>("fields")?.0,
            is_saved: reports.is_some(),
            reports: reports.map(|json| json.0).unwrap_or_default(),
        }),
    };
    Ok(Claimed {
        lease: Lease { id: row.try_get("id")?, owner: host, attempt: row.try_get("attempt")? },
        tenant: TenantId(row.try_get("tenant_id")?),
        claimed_at: row.try_get("claimed_at")?,
        input,
    })
}
