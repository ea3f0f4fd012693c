//! Takes due walkers out of the waiting ones, lane by lane.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Json as Sql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;
use walker_model::{Json, NodeId, TenantId};

use super::lanes::LaneId;
use super::{Error, HostId, Lease, Parameter, Session};

/// A walker that this host is to run.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) lease: Lease,
    pub(crate) tenant: TenantId,
    pub(crate) lane: LaneId,
    pub(crate) claimed_at: DateTime<Utc>,
    /// How large its input is, as was told when it was stored.
    pub(crate) bytes: i64,
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

/// All that one claim may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Takes<'a> {
    /// From which lanes how many.
    pub(crate) lanes: &'a [Take],
    /// After so many bytes of input no further walker is taken.
    pub(crate) at_most_bytes: i64,
}

/// Goes into each lane through the index, so that one with half a million waiting walkers costs no more than one with
/// a single walker. A host that was taken for dead, and does not know it yet, gets nothing: what it took would be taken
/// from it at the next sweep, one attempt poorer.
///
/// Of what was found it takes as much as `$5` allows, of each lane in turns, and always the first: an answer of gigabytes
/// would come too late or not at all. An attempt's number stays the last one that its column holds, rather than fail the
/// statement for all who share it; hosts that hand a walker back thirty thousand times are what it takes.
pub const CLAIM: &str = "
with pick as materialized (
    select x.tid, l.place, row_number() over (partition by l.place order by x.execute_date) turn,
           x.input_bytes + case when x.attempt > 0 then coalesce((select k.input_bytes from checkpoints k where k.id = x.id), 0) else 0 end bytes
    from unnest($1::int4[], $2::int8[]) with ordinality l(lane, at_most, place) cross join lateral (
        select q.ctid tid, q.id, q.execute_date, q.attempt, q.input_bytes from queue q
        where q.owner is null and q.lane = l.lane and q.execute_date <= now()
        order by q.execute_date limit l.at_most for update skip locked) x
    where exists (select 1 from hosts where id = $3::int4)),
fit as materialized (
    select tid, sum(bytes) over (order by turn, place rows unbounded preceding) - bytes before from pick),
c as (
    update queue q set owner = $3::int4, attempt = least(q.attempt + 1, 32767), claimed_at = now(), limited = $4::bool
    where q.ctid = any(array(select tid from fit where before < $5::int8))
    returning q.id, q.tenant_id, q.lane, q.attempt, q.claimed_at, q.input_bytes)
select c.id, c.tenant_id, c.lane, c.attempt, c.claimed_at, w.walker, w.module_id, w.module_version, w.node_kind, w.node_id,
       w.root_id, w.custom, w.depth, coalesce(k.fields, w.fields) fields, k.reports, c.input_bytes::int8 + coalesce(k.input_bytes, 0) bytes
from c left join lateral (select * from walkers w where w.id = c.id offset 0) w on true
left join lateral (select * from checkpoints k where k.id = c.id offset 0) k on true";

/// Takes due walkers for `host`.
pub(crate) async fn claim(
    session: &Session,
    statement: &Statement,
    host: HostId,
    takes: Takes<'_>,
    counted: Counted,
) -> Result<Vec<Claimed>, Error> {
    let lanes: Vec<i32> = takes.lanes.iter().map(|take| take.lane.0).collect();
    let at_most: Vec<i64> = takes.lanes.iter().map(|take| take.at_most).collect();
    let limited = counted == Counted::Limited;
    let values: [Parameter<'_>; 5] = [&lanes, &at_most, &host.0, &limited, &takes.at_most_bytes];
    let rows = session.query(statement, &values).await?;
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
        bytes: row.try_get("bytes")?,
        input,
    })
}
