//! Reads walkers back, as far as the actor may see them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use serde::Deserialize;
use tokio_postgres::types::Json as Sql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;
use walker_model::{Failure, Json, Limits, NodeId, Schedule, Status, TenantId, Usage, WalkerId};

use super::grants::{MAY_READ, granted, may_read};
use super::modules::digest;
use super::{Error, Parameter, Session, Store, scoped};
use crate::access::Actor;

/// Everything there is to know about one walker.
#[derive(Debug, Clone)]
pub struct WalkerView {
    /// Its id.
    pub id: WalkerId,
    /// Its fields: as given, then the last saved, then the final ones.
    pub fields: Json,
    /// Its execution record.
    pub schedule: Schedule,
    /// How it was run.
    pub run: RunView,
}

/// How a walker was run.
#[derive(Debug, Clone)]
pub struct RunView {
    /// The latest attempt; 0 before the first.
    pub attempt: u16,
    /// When its result was committed.
    pub finished_date: Option<DateTime<Utc>>,
    /// What ran.
    pub module: ModuleRef,
    pub(crate) module_id: i64,
    /// What it used and what it was allowed, once it ended.
    pub usage: Option<(Usage, Limits)>,
    /// How it failed, if it did.
    pub failure: Option<Failure>,
    /// Its earlier attempts, oldest first.
    pub attempts: Vec<AttemptView>,
}

/// An attempt after which another one followed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AttemptView {
    /// Its number.
    pub attempt: u16,
    /// When it began.
    pub started: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// Why.
    pub code: String,
    /// The same in one sentence.
    pub error: Option<String>,
}

/// One version of a module.
#[derive(Debug, Clone)]
pub struct ModuleRef {
    /// The module's name.
    pub name: String,
    /// Its version.
    pub version: i32,
    /// The digest of its code as uploaded.
    pub sha256: [u8; 32],
}

/// What a view is made of, for the walkers that `w` names, but for what may be large. As with `tables!`, no id lies below
/// `$least` or above `$greatest`.
macro_rules! columns {
    ($least:literal, $greatest:literal) => {
        concat!(
            "w.id, w.walker, w.node_kind, w.node_id, w.root_id, w.execute_date,
       coalesce(r.custom, w.custom) custom,
       r.status, r.http_status, r.error, r.failure, r.usage, r.finished_at,
       coalesce(r.executed_date, q.claimed_at) executed_date,
       coalesce(r.attempt, q.attempt) attempt,
       q.owner is not null is_running,
       m.name module_name, w.module_id, w.module_version, v.sha256,
       -- most walkers end in their first attempt, and nothing is looked up for them
       case when coalesce(r.attempt, q.attempt) > 1 or r.status = 4 or q.owner is null and q.attempt > 0 then
           (select json_agg(json_build_object('attempt', a.attempt, 'started', a.started, 'ended', a.ended, 'code', a.code, 'error', a.error)
                            order by a.attempt)
            from attempts a where a.id = w.id and a.id between ",
            $least,
            " and ",
            $greatest,
            ")
       end attempts"
        )
    };
}
macro_rules! fields {
    () => {
        "coalesce(r.fields, k.fields, w.fields)"
    };
}
macro_rules! reports {
    () => {
        "coalesce(r.reports, k.reports)"
    };
}
/// Each looked up by its key, however little Postgres thinks there is: a queue that was empty when it was last analysed
/// would be gone through for each walker, with all the dead rows in it.
///
/// What is stored by day is parted by id. Told when a statement begins between which parameters the ids lie, Postgres
/// opens the tables of those days alone, and else of all there are (with 87 days: 0.29 instead of 1.7 ms for one walker).
macro_rules! tables {
    ($least:literal, $greatest:literal) => {
        concat!(
            "
from w
left join lateral (select * from queue q where q.id = w.id offset 0) q on true
left join lateral (select * from results r where r.id = w.id and r.id between ",
            $least,
            " and ",
            $greatest,
            " offset 0) r on true
left join lateral (select * from checkpoints k where k.id = w.id offset 0) k on true
cross join lateral (select * from modules m where m.id = w.module_id offset 0) m
cross join lateral (select * from module_versions v where v.module_id = w.module_id and v.version = w.module_version offset 0) v"
        )
    };
}
macro_rules! view {
    ($least:literal, $greatest:literal) => {
        concat!(
            "select ",
            columns!($least, $greatest),
            ", ",
            fields!(),
            " fields, ",
            reports!(),
            " reports",
            tables!($least, $greatest)
        )
    };
}

pub(super) use {columns, fields, reports, tables, view};

/// What fields and reports of one of many walkers may take up as stored. Compressed that may be a hundred times as much to
/// read, and five hundred of those are memory enough.
pub(crate) const SMALL_WALKER_BYTES: usize = 2_000;

/// Reads many walkers of one tenant, each on somebody's behalf; of larger ones (`SMALL_WALKER_BYTES`) only that they are there.
pub(crate) const READ: &str = concat!(
    "with u as materialized (
         select * from unnest($1::uuid[], $2::text[], $4::uuid[]) with ordinality u (id, walker, root_id, n)),
     w as (
         select u.n, w.* from u cross join lateral (
             select * from walkers w
             where w.id = u.id and w.walker = u.walker and w.tenant_id = $3 and w.id between $5 and $6 and ",
    may_read!("u.root_id"),
    " offset 0) w)
     select w.n, size.is_large, ",
    columns!("$5", "$6"),
    ", case when not size.is_large then ",
    fields!(),
    " end fields, case when not size.is_large then ",
    reports!(),
    " end reports",
    tables!("$5", "$6"),
    " cross join lateral (select pg_column_size(",
    fields!(),
    ") + coalesce(pg_column_size(",
    reports!(),
    "), 0) > 2000 is_large) size"
);

/// One of many that were read.
pub(crate) enum Found {
    /// It, or nothing that the actor may see.
    Read(Option<Box<WalkerView>>),
    /// It is there, and to be read alone.
    Large,
}

/// Reads walkers, each on an actor's behalf, in their order.
///
/// # Errors
/// When Postgres cannot be reached or refuses.
pub(crate) async fn read(
    session: &Session,
    statement: &Statement,
    wanted: &[(&Actor, &WalkerId)],
) -> Result<Vec<Found>, Error> {
    let mut tenants: BTreeMap<TenantId, Vec<usize>> = BTreeMap::new();
    for (at, (actor, _)) in wanted.iter().enumerate() {
        tenants.entry(actor.tenant).or_default().push(at);
    }
    let mut found: Vec<_> = wanted.iter().map(|_| Found::Read(None)).collect();
    // One round trip: all are sent before the first is answered.
    let reads = tenants.iter().map(|(tenant, places)| read_of(session, statement, *tenant, places, wanted));
    for one in try_join_all(reads).await?.into_iter().flatten() {
        let (at, walker) = one?;
        *found.get_mut(at).ok_or_else(|| Error::Corrupt("a walker that nobody asked for".into()))? = walker;
    }
    Ok(found)
}

/// Reads those of one tenant, which stand at these places; answers the places of what there is.
async fn read_of(
    session: &Session,
    statement: &Statement,
    tenant: TenantId,
    places: &[usize],
    wanted: &[(&Actor, &WalkerId)],
) -> Result<impl Iterator<Item = Result<(usize, Found), Error>>, Error> {
    let count = places.len();
    let (mut ids, mut names, mut roots) =
        (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
    for (actor, id) in places.iter().map(|at| &wanted[*at]) {
        ids.push(id.uuid);
        names.push(id.name.as_str());
        roots.push(actor.readable_root());
    }
    let (least, greatest) = (ids.iter().min(), ids.iter().max());
    let values: [Parameter<'_>; 6] = [&ids, &names, &tenant.0, &roots, &least, &greatest];
    let rows = scoped::query(session, tenant, statement, &values).await?;
    Ok(rows.into_iter().map(|row| {
        let at = usize::try_from(row.try_get::<_, i64>("n")?).ok().and_then(|n| n.checked_sub(1));
        let at = at.and_then(|at| places.get(at)).copied().unwrap_or(usize::MAX);
        Ok((
            at,
            if row.try_get("is_large")? { Found::Large } else { Found::Read(Some(Box::new(WalkerView::of(&row)?))) },
        ))
    }))
}

impl Store {
    /// Reads one walker; `None` when there is none that the actor may see.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn walker(&self, actor: &Actor, id: &WalkerId) -> Result<Option<WalkerView>, Error> {
        let sql = format!(
            "with w as (
                select * from walkers w where w.id = $1 and w.walker = $2 and w.tenant_id = $3 and {MAY_READ})
             {}",
            view!("$1", "$1")
        );
        let values: [Parameter<'_>; 4] = [&id.uuid, &id.name, &actor.tenant.0, &actor.readable_root()];
        self.scoped(actor.tenant).await?.query_opt(&sql, &values).await?.as_ref().map(WalkerView::of).transpose()
    }
}

impl WalkerView {
    /// What a row of `view!` says.
    pub(super) fn of(row: &Row) -> Result<Self, Error> {
        let uuid: Uuid = row.try_get("id")?;
        let status: Option<i16> = row.try_get("status")?;
        let status = match status {
            Some(code) => Status::from_code(code)
                .ok_or_else(|| Error::Corrupt(format!("the unknown status {code} for walker {uuid}")))?,
            None if row.try_get("is_running")? => Status::Running,
            None => Status::Pending,
        };
        let sha256 = digest(row.try_get("sha256")?)?;
        Ok(Self {
            id: WalkerId { name: row.try_get("walker")?, uuid },
            fields: row.try_get::<_, Sql<Json>>("fields")?.0,
            schedule: Schedule {
                status,
                node_id: NodeId { kind: row.try_get("node_kind")?, uuid: row.try_get("node_id")? },
                root_id: NodeId::root(row.try_get("root_id")?),
                execute_date: row.try_get("execute_date")?,
                executed_date: row.try_get("executed_date")?,
                http_status: row.try_get::<_, Option<i16>>("http_status")?.map(|status| status as u16),
                reports: optional::<Vec<Json>>(row, "reports")?.unwrap_or_default(),
                custom: optional(row, "custom")?,
                error: row.try_get("error")?,
            },
            run: RunView {
                attempt: row.try_get::<_, Option<i16>>("attempt")?.unwrap_or(0) as u16,
                finished_date: row.try_get("finished_at")?,
                module: ModuleRef {
                    name: row.try_get("module_name")?,
                    version: row.try_get("module_version")?,
                    sha256,
                },
                usage: optional(row, "usage")?,
                failure: optional(row, "failure")?,
                attempts: optional(row, "attempts")?.unwrap_or_default(),
                module_id: row.try_get("module_id")?,
            },
        })
    }
}

/// A json column that may be null.
pub(super) fn optional<T: for<'de> serde::Deserialize<'de>>(row: &Row, column: &str) -> Result<Option<T>, Error> {
    Ok(row.try_get::<_, Option<Sql<T>>>(column)?.map(|json| json.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::list::LISTED;
    use crate::test_postgres;

    #[tokio::test]
    async fn only_the_days_that_are_asked_for_are_opened() {
        let store = test_postgres::store().await;
        let session = store.scoped_session("a test").await.unwrap();
        let id = Uuid::now_v7();
        let one = format!("'{{{id}}}', '{{sample}}', 1, '{{null}}', '{id}', '{id}'");
        for (sql, values) in [(READ, one.clone()), (LISTED, format!("'{{{id}}}', 1, '{id}', '{id}'"))] {
            session.batch_execute(&format!("prepare asked as {sql}")).await.unwrap();
            let plan = session.query(&format!("explain (costs off) execute asked({values})"), &[]).await;
            let plan: Vec<String> = plan.unwrap().iter().map(|row| row.get(0)).collect();
            for table in ["walkers", "results", "attempts"] {
                let days = plan.iter().filter(|line| line.contains(&format!(" on {table}_2"))).count();
                assert_eq!(days, 1, "{table}: {plan:#?}");
            }
            session.batch_execute("deallocate asked").await.unwrap();
        }
        let days = "select count(*) from pg_inherits where inhparent = 'results'::regclass";
        assert!(session.query_one(days, &[]).await.unwrap().get::<_, i64>(0) > 3);
    }

    #[tokio::test]
    async fn every_day_has_an_index_of_what_went_wrong() {
        let client = test_postgres::store().await.client().await.unwrap();
        let sql = "select (select count(*) from pg_inherits where inhparent = 'results'::regclass),
                          (select count(*) from pg_inherits where inhparent = 'results_failed'::regclass)";
        let row = client.query_one(sql, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), row.get::<_, i64>(1));
    }
}
