//! Takes due walkers out of the waiting ones, lane by lane.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Json as Sql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;
use walker_model::{Json, NodeId, TenantId};

use super::lanes::LaneId;
use super::{Error, HostId, Lease, Session};

/// A walker that this host is to run.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) lease: Lease,
    pub(crate) tenant: TenantId,
    pub(crate) lane: LaneId,
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
    /// How many generations of spawning lie before it.
    pub(crate) depth: u32,
    /// Whether fields and reports are a checkpoint's.
    pub(crate) is_saved: bool,
}

/// How many to take from which lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Take {
    pub(crate) lane: LaneId,
    pub(crate) at_most: i64,
}

/// Whether a claim counts towards a limit of concurrency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// It does, for as long as it runs.
    Limited,
    /// It does not.
    Freely,
}

/// Goes into each lane through the index, so that one with half a million waiting walkers costs no more than one with
/// a single walker. A host that was taken for dead, and does not know it yet, gets nothing: what it took would be taken
/// from it at the next sweep, one attempt poorer.
pub const CLAIM: &str = "
with pick as materialized (
    select x.tid
    from unnest($1::int4[], $2::int8[]) l(lane, at_most) cross join lateral (
        select q.ctid tid from queue q
        where q.owner is null and q.lane = l.lane and q.execute_date <= now()
        order by q.execute_date limit l.at_most for update skip locked) x
    where exists (select 1 from hosts where id = $3::int4)),
c as (
    update queue q set owner = $3::int4, attempt = attempt + 1, claimed_at = now(), limited = $4::bool
    where q.ctid = any(array(select tid from pick))
    returning q.id, q.tenant_id, q.lane, q.attempt, q.claimed_at)
select c.id, c.tenant_id, c.lane, c.attempt, c.claimed_at, w.walker, w.module_id, w.module_version, w.node_kind, w.node_id,
       w.root_id, w.custom, w.depth, coalesce(k.fields, w.fields) fields, k.reports
from c left join walkers w on w.id = c.id left join checkpoints k on k.id = c.id";

/// Takes due walkers for `host`.
pub(crate) async fn claim(
    session: &Session,
    statement: &Statement,
    host: HostId,
    takes: &[Take],
    counted: Counted,
) -> Result<Vec<Claimed>, Error> {
    let lanes: Vec<i32> = takes.iter().map(|take| take.lane.0).collect();
    let at_most: Vec<i64> = takes.iter().map(|take| take.at_most).collect();
    let limited = counted == Counted::Limited;
    let rows = session.query(statement, &[&lanes, &at_most, &host.0, &limited]).await?;
    rows.iter().map(|row| claimed(row, host)).collect()
}

/// Keeps every other host from taking walkers of a tenant's limited lanes until the transaction's end, so that what
/// runs can be counted.
pub(crate) async fn lock_limits(session: &Session, tenant: TenantId) -> Result<(), Error> {
    session.execute("select pg_advisory_xact_lock(hashtextextended('walker.limits', $1))", &[&tenant.0]).await?;
    Ok(())
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
            depth: u32::try_from(row.try_get::<_, i32>("depth")?).unwrap_or(0),
            is_saved: reports.is_some(),
            reports: reports.map(|json| json.0).unwrap_or_default(),
        }),
    };
    Ok(Claimed {
        lease: Lease { id: row.try_get("id")?, owner: host, attempt: row.try_get("attempt")? },
        tenant: TenantId(row.try_get("tenant_id")?),
        lane: LaneId(row.try_get("lane")?),
        claimed_at: row.try_get("claimed_at")?,
        input,
    })
}
