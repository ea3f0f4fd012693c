//! Writes accepted walkers: input and queue row in one statement.

use chrono::{DateTime, Utc};
use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Json as Sql;
use uuid::Uuid;
use walker_model::{Json, NodeId, Priority, TenantId};

use super::lanes::LaneId;
use super::stored::{Sums, WALKER_BYTES};
use super::{Error, HostId, Parameter, Session};

/// What was asked: the row that never changes.
#[derive(Debug, Clone)]
pub(crate) struct NewWalker {
    pub(crate) id: Uuid,
    pub(crate) tenant: TenantId,
    /// Where it waits.
    pub(crate) lane: LaneId,
    /// Its place among the tenant's own waiting walkers.
    pub(crate) priority: Priority,
    pub(crate) walker: String,
    pub(crate) module_id: i64,
    pub(crate) module_version: i32,
    pub(crate) node: NodeId,
    pub(crate) root: Uuid,
    /// As soon as possible when `None`.
    pub(crate) execute_date: Option<DateTime<Utc>>,
    pub(crate) custom: Option<Json>,
    pub(crate) fields: Json,
    /// How many generations of spawning lie before it.
    pub(crate) depth: u32,
}

impl NewWalker {
    /// What it counts of what its tenant may have stored.
    pub(crate) fn stored(&self) -> i64 {
        WALKER_BYTES + (self.fields.len() + self.custom.as_ref().map_or(0, Json::len)) as i64
    }

    /// About how large the row is.
    pub(crate) fn bytes(&self) -> usize {
        200 + self.fields.len() + self.custom.as_ref().map_or(0, Json::len)
    }
}

/// Walkers to add, as rows: of [`Columns::values`], which are `$1` to `$15`, and of what else there is for each of them.
macro_rules! new_walkers {
    ($more_values:literal, $more_names:literal) => {
        concat!(
            "select * from unnest($1::uuid[], $2::int8[], $3::text[], $4::int8[], $5::int4[], $6::text[], $7::uuid[], $8::uuid[],
                                  $9::timestamptz[], $10::json[], $11::json[], $12::int4[], $13::int2[], $14::int4[], $15::int4[]",
            $more_values,
            ") u(id, tenant_id, walker, module_id, module_version, node_kind, node_id, root_id,
                 execute_date, custom, fields, depth, priority, lane, owner",
            $more_names,
            ")"
        )
    };
}
pub(super) use new_walkers;

/// Adds those rows to the walkers there are, each to be run at `$date`.
macro_rules! add_walkers {
    ($rows:literal, $date:literal) => {
        concat!(
            "w as (
                insert into walkers (id, tenant_id, walker, module_id, module_version, node_kind, node_id, root_id,
                                     execute_date, custom, fields, depth, priority)
                select id, tenant_id, walker, module_id, module_version, node_kind, node_id, root_id,
                       ",
            $date,
            ", custom, fields, depth, priority from ",
            $rows,
            ")"
        )
    };
}
pub(super) use add_walkers;

/// Adds those rows also to the queue. One with an owner is already claimed: no claim statement, no wake-up.
macro_rules! queue_walkers {
    ($rows:literal) => {
        concat!(
            $crate::store::intake::add_walkers!($rows, "coalesce(execute_date, now())"),
            ", q as (
                insert into queue (id, tenant_id, lane, execute_date, owner, attempt, claimed_at, input_bytes)
                select id, tenant_id, lane, coalesce(execute_date, now()), owner, (owner is not null)::int::int2,
                       case when owner is not null then now() end, octet_length(fields::text) + coalesce(octet_length(custom::text), 0)
                from ",
            $rows,
            ")"
        )
    };
}
pub(super) use queue_walkers;

/// Answers the database's time, which is the `execute_date` and `claimed_at` of all that may run now.
pub(crate) const INTAKE: &str = concat!(
    "with u as materialized (",
    new_walkers!("", ""),
    "), ",
    queue_walkers!("u"),
    ", s as (insert into stored_deltas (tenant_id, day, bytes) select * from unnest($16::int8[], $17::date[], $18::int8[]))
     select now()"
);

/// Inserts all rows or none.
pub(crate) async fn insert(
    session: &mut Session,
    statement: &Statement,
    rows: &[(&NewWalker, Option<HostId>)],
    again: bool,
) -> Result<DateTime<Utc>, Error> {
    let columns = Columns::of(rows.iter().copied());
    let sums = Sums::of(rows.iter().map(|(row, _)| (0, row.tenant, row.id, row.stored())));
    let stored: [Parameter<'_>; 3] = [&sums.tenants, &sums.days, &sums.bytes];
    let inserted = session.query_one(statement, &[&columns.values()[..], &stored].concat()).await;
    match inserted {
        Ok(row) => Ok(row.get(0)),
        // Ids are made by this host alone, and one statement is atomic: they stand there because the lost answer was a yes.
        Err(error) if again && is_known_walker(&error) => Ok(session.query_one("select now()", &[]).await?.get(0)),
        Err(error) => Err(error.into()),
    }
}

/// Whether the primary key of `walkers` (of one of its partitions) or of `queue` refused a row. Postgres fills `queue` first,
/// so that its key speaks for as long as the walker has not ended.
pub(super) fn is_known_walker(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        *error.code() == SqlState::UNIQUE_VIOLATION
            && error
                .constraint()
                .is_some_and(|name| name == "queue_pkey" || name.starts_with("walkers_") && name.ends_with("_pkey"))
    })
}

/// The rows' columns, as `unnest` takes them.
pub(super) struct Columns<'a> {
    ids: Vec<Uuid>,
    tenants: Vec<i64>,
    walkers: Vec<&'a str>,
    modules: Vec<i64>,
    versions: Vec<i32>,
    kinds: Vec<&'a str>,
    nodes: Vec<Uuid>,
    roots: Vec<Uuid>,
    dates: Vec<Option<DateTime<Utc>>>,
    customs: Vec<Option<Sql<&'a Json>>>,
    fields: Vec<Sql<&'a Json>>,
    depths: Vec<i32>,
    priorities: Vec<i16>,
    lanes: Vec<i32>,
    owners: Vec<Option<i32>>,
}

impl<'a> Columns<'a> {
    /// Of walkers, and who holds them from the start.
    pub(super) fn of(rows: impl Iterator<Item = (&'a NewWalker, Option<HostId>)> + Clone) -> Self {
        let walkers = || rows.clone().map(|(walker, _)| walker);
        Self {
            ids: walkers().map(|row| row.id).collect(),
            tenants: walkers().map(|row| row.tenant.0).collect(),
            walkers: walkers().map(|row| row.walker.as_str()).collect(),
            modules: walkers().map(|row| row.module_id).collect(),
            versions: walkers().map(|row| row.module_version).collect(),
            kinds: walkers().map(|row| row.node.kind.as_str()).collect(),
            nodes: walkers().map(|row| row.node.uuid).collect(),
            roots: walkers().map(|row| row.root).collect(),
            dates: walkers().map(|row| row.execute_date).collect(),
            customs: walkers().map(|row| row.custom.as_ref().map(Sql)).collect(),
            fields: walkers().map(|row| Sql(&row.fields)).collect(),
            depths: walkers().map(|row| i32::try_from(row.depth).unwrap_or(i32::MAX)).collect(),
            priorities: walkers().map(|row| row.priority.code()).collect(),
            lanes: walkers().map(|row| row.lane.0).collect(),
            owners: rows.map(|(_, owner)| owner.map(|host| host.0)).collect(),
        }
    }

    /// What `new_walkers!` calls `$1` to `$15`.
    pub(super) fn values(&self) -> [Parameter<'_>; 15] {
        [
            &self.ids,
            &self.tenants,
            &self.walkers,
            &self.modules,
            &self.versions,
            &self.kinds,
            &self.nodes,
            &self.roots,
            &self.dates,
            &self.customs,
            &self.fields,
            &self.depths,
            &self.priorities,
            &self.lanes,
            &self.owners,
        ]
    }
}
