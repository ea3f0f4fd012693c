//! Reads walkers back, as far as the actor may see them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use serde::Deserialize;
use tokio_postgres::types::Json as Sql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;
use walker_model::{Failure, Json, Limits, NodeId, Schedule, Status, TenantId, Usage, WalkerId};

use super::grants::{MAY_READ, granted, may_read, with_granted};
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

/// Which walkers to list.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// Only those of this name.
    pub name: Option<String>,
    /// Only those with this status.
    pub status: Option<Status>,
    /// Only those accepted at or after this time.
    pub since: Option<DateTime<Utc>>,
    /// At most so many.
    pub limit: u16,
    /// Only those older than this one: the last id of the page before.
    pub before: Option<Uuid>,
}

/// What a view is made of, for the walkers that `w` names, but for what may be large.
macro_rules! columns {
    () => {
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
            from attempts a where a.id = w.id)
       end attempts"
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
macro_rules! tables {
    () => {
        "
from w
left join lateral (select * from queue q where q.id = w.id offset 0) q on true
left join lateral (select * from results r where r.id = w.id offset 0) r on true
left join lateral (select * from checkpoints k where k.id = w.id offset 0) k on true
cross join lateral (select * from modules m where m.id = w.module_id offset 0) m
cross join lateral (select * from module_versions v where v.module_id = w.module_id and v.version = w.module_version offset 0) v"
    };
}
const VIEW: &str = concat!("select ", columns!(), ", ", fields!(), " fields, ", reports!(), " reports", tables!());

/// What fields and reports of one of many walkers may take up as stored. Compressed that may be a hundred times as much to
/// read, and five hundred of those are memory enough.
pub(crate) const SMALL_WALKER_BYTES: usize = 2_000;

/// Reads many walkers of one tenant, each on somebody's behalf; of larger ones (`SMALL_WALKER_BYTES`) only that they are there.
pub(crate) const READ: &str = concat!(
    "with u as materialized (
         select * from unnest($1::uuid[], $2::text[], $4::uuid[]) with ordinality u (id, walker, root_id, n)),
     w as (
         select u.n, w.* from u cross join lateral (
             select * from walkers w where w.id = u.id and w.walker = u.walker and w.tenant_id = $3 and ",
    may_read!("u.root_id"),
    " offset 0) w)
     select w.n, size.is_large, ",
    columns!(),
    ", case when not size.is_large then ",
    fields!(),
    " end fields, case when not size.is_large then ",
    reports!(),
    " end reports",
    tables!(),
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
    let rows = scoped::query(session, tenant, statement, &[&ids, &names, &tenant.0, &roots]).await?;
    Ok(rows.into_iter().map(|row| {
        let at = usize::try_from(row.try_get::<_, i64>("n")?).ok().and_then(|n| n.checked_sub(1));
        let at = at.and_then(|at| places.get(at)).copied().unwrap_or(usize::MAX);
        Ok((at, if row.try_get("is_large")? { Found::Large } else { Found::Read(Some(Box::new(view(&row)?))) }))
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
             {VIEW}"
        );
        let values: [Parameter<'_>; 4] = [&id.uuid, &id.name, &actor.tenant.0, &actor.readable_root()];
        self.scoped(actor.tenant).await?.query_opt(&sql, &values).await?.as_ref().map(view).transpose()
    }

    /// Lists walkers, newest first.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn walkers(&self, actor: &Actor, filter: &ListFilter) -> Result<Vec<WalkerView>, Error> {
        let status = filter.status.map(Status::code);
        let root = actor.readable_root();
        let limit = i64::from(filter.limit);
        let mut values: Vec<Parameter<'_>> = vec![&actor.tenant.0, &filter.name, &filter.since, &filter.before, &limit];
        // Each clause is written only where it applies, so that the planner sees which index serves.
        let mut is_granted = false;
        if let Some(root) = &root {
            values.push(root);
            let sql = "select 1 from grants where reader_root = $1 limit 1";
            is_granted = self.scoped(actor.tenant).await?.query_opt(sql, &[root]).await?.is_some();
        }
        let position = values.len() + 1;
        let (with_status, status_clause) = match filter.status {
            None => ("", String::new()),
            // What has not ended stands in the queue, which is small.
            Some(Status::Pending) => ("join queue q on q.id = w.id", "and q.owner is null".to_owned()),
            Some(Status::Running) => ("join queue q on q.id = w.id", "and q.owner is not null".to_owned()),
            Some(_) => {
                values.push(&status);
                ("join results r on r.id = w.id", format!("and r.status = ${position}"))
            }
        };
        // The id's own time only narrows the search: it is a host's, and hosts' clocks differ from the database's.
        let page = |whose: &str| {
            format!(
                "select w.* from walkers w {with_status}
                 where w.tenant_id = $1 and {whose} {status_clause}
                   and ($2::text is null or w.walker = $2)
                   and ($3::timestamptz is null
                        or (w.created_at >= $3 and w.id >= id_floor($3 - interval '1 hour')))
                   and ($4::uuid is null or w.id < $4)
                 order by w.id desc limit $5"
            )
        };
        let pages = match root {
            None => page("true"),
            Some(_) if is_granted => with_granted(page),
            Some(_) => page("w.root_id = $6"),
        };
        let sql = format!("with w as ({pages}) {VIEW} order by w.id desc");
        self.scoped(actor.tenant).await?.with_own_plan().query(&sql, &values).await?.iter().map(view).collect()
    }
}

fn view(row: &Row) -> Result<WalkerView, Error> {
    let uuid: Uuid = row.try_get("id")?;
    let status: Option<i16> = row.try_get("status")?;
    let status = match status {
        Some(code) => Status::from_code(code)
            .ok_or_else(|| Error::Corrupt(format!("the unknown status {code} for walker {uuid}")))?,
        None if row.try_get("is_running")? => Status::Running,
        None => Status::Pending,
    };
    let sha256 = digest(row.try_get("sha256")?)?;
    Ok(WalkerView {
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
            module: ModuleRef { name: row.try_get("module_name")?, version: row.try_get("module_version")?, sha256 },
            usage: optional(row, "usage")?,
            failure: optional(row, "failure")?,
            attempts: optional(row, "attempts")?.unwrap_or_default(),
            module_id: row.try_get("module_id")?,
        },
    })
}

/// A json column that may be null.
pub(super) fn optional<T: for<'de> serde::Deserialize<'de>>(row: &Row, column: &str) -> Result<Option<T>, Error> {
    Ok(row.try_get::<_, Option<Sql<T>>>(column)?.map(|json| json.0))
}
