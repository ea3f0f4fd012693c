//! Writes how runs ended: one fenced statement for many of them.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use tokio_postgres::types::Json as Sql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;
use walker_model::{Ended, Json, Outcome, Status};

use super::lease::Leases;
use super::stored::day_of;
use super::usage::count;
use super::{Error, Lease, Parameter, Session};

/// What a result row says, made from an outcome once.
#[derive(Debug)]
pub(crate) struct ResultRow {
    pub(crate) root: Uuid,
    pub(crate) status: Status,
    pub(crate) http_status: u16,
    pub(crate) executed_date: DateTime<Utc>,
    pub(crate) fields: Option<Json>,
    pub(crate) reports: Json,
    pub(crate) custom: Option<Json>,
    pub(crate) error: Option<String>,
    pub(crate) failure: Option<Json>,
    pub(crate) usage: Json,
    pub(crate) logs: Option<Json>,
    /// How many of the reports its last checkpoint held; `None`: it saved nothing.
    pub(crate) saved_reports: Option<i32>,
    /// What counts as the tenant's usage.
    pub(crate) used: Used,
}

/// What an attempt used, as it is added up for its tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) fuel: i64,
    /// Of fields, reports and output, as stored with its end.
    pub(crate) bytes: i64,
}

impl Used {
    /// By an attempt of so much fuel that left these behind.
    pub(crate) fn new(fuel: u64, stored: &[Option<&Json>]) -> Self {
        let bytes: usize = stored.iter().flatten().map(|json| json.len()).sum();
        Self { fuel: i64::try_from(fuel).unwrap_or(i64::MAX), bytes: i64::try_from(bytes).unwrap_or(i64::MAX) }
    }
}

impl ResultRow {
    /// The row for an outcome. `logs` are the lines not stored elsewhere.
    pub(crate) fn new(
        root: Uuid,
        executed_date: DateTime<Utc>,
        outcome: &Outcome,
        logs: Option<Json>,
        saved_reports: Option<i32>,
    ) -> Self {
        let failure = outcome.failure();
        let reports = Json::of(&outcome.reports);
        let used = Used::new(outcome.usage.fuel, &[outcome.fields.as_ref(), Some(&reports), logs.as_ref()]);
        Self {
            root,
            status: match &outcome.ended {
                Ended::Completed => Status::Completed,
                Ended::Failed(failure) if failure.code == walker_model::Code::Cancelled => Status::Cancelled,
                Ended::Failed(_) => Status::Failed,
            },
            http_status: outcome.http_status(),
            executed_date,
            fields: outcome.fields.clone(),
            reports,
            custom: outcome.custom.clone(),
            // Postgres text cannot hold NUL, and a guest's message may.
            error: failure.map(|failure| failure.message.replace('\0', "\u{fffd}")),
            failure: failure.map(Json::of),
            usage: Json::of(&(outcome.usage, outcome.limits.values())),
            logs,
            saved_reports,
            used,
        }
    }

    /// What it counts of what its tenant may have stored.
    pub(crate) fn stored(&self) -> i64 {
        self.used.bytes + self.custom.as_ref().map_or(0, Json::len) as i64
    }

    /// About how large the row is.
    pub(crate) fn bytes(&self) -> usize {
        let optional = |json: &Option<Json>| json.as_ref().map_or(0, Json::len);
        300 + self.reports.len() + optional(&self.fields) + optional(&self.custom) + optional(&self.logs)
    }
}

/// Only the holder of the lease gets past the delete; nothing of anybody else's is written.
pub(crate) const COMPLETE: &str = concat!(
    "with u as materialized (
    select * from unnest($1::uuid[], $2::int4[], $3::int2[], $4::uuid[], $5::int2[], $6::int2[], $7::timestamptz[], $8::json[],
                         $9::json[], $10::json[], $11::text[], $12::json[], $13::json[], $14::json[], $15::int4[], $16::int8[], $17::int8[],
                         $18::date[], $19::int8[])
        u(id, owner, attempt, root_id, status, http_status, executed_date, fields, reports, custom, error, failure, usage, logs, saved_reports,
          used_fuel, used_bytes, day, stored)),
d as (
    delete from queue q using u where q.id = any(array[u.id]) and q.owner = u.owner and q.attempt = u.attempt
    returning u.*, q.tenant_id),
c as (
    delete from checkpoints c using d where d.saved_reports is not null and c.id = any(array[d.id])),
t as materialized (
    select tenant_id, day, count(*) walkers, sum(used_fuel) fuel, sum(used_bytes) bytes, sum(stored) stored from d group by tenant_id, day),
n as (",
    count!("t", "sum(walkers)", "sum(fuel)", "sum(bytes)"),
    "),
s as (
    insert into stored_deltas (tenant_id, day, bytes) select tenant_id, day, stored from t)
insert into results (id, tenant_id, root_id, status, attempt, http_status, executed_date, fields, reports, custom, error, failure, usage, logs, saved_reports)
select id, tenant_id, root_id, status, attempt, http_status, executed_date, fields, reports, custom, error, failure, usage, logs, saved_reports from d
returning id, finished_at"
);

/// Writes all results whose lease still holds; says of each when it was written, if it was.
pub(crate) async fn complete(
    session: &mut Session,
    statement: &Statement,
    rows: &[(Lease, &ResultRow)],
    again: bool,
) -> Result<Vec<Option<DateTime<Utc>>>, Error> {
    let leases: Leases = rows.iter().map(|(lease, _)| *lease).collect();
    let columns = ResultColumns::of(rows.iter().map(|(_, row)| *row));
    let days: Vec<NaiveDate> = leases.ids.iter().map(|id| day_of(*id)).collect();
    let stored: Vec<i64> = rows.iter().map(|(_, row)| row.stored()).collect();
    let roots: Vec<Uuid> = rows.iter().map(|(_, row)| row.root).collect();
    let leased: [Parameter<'_>; 4] = [&leases.ids, &leases.owners, &leases.attempts, &roots];
    let values = [&leased[..], &columns.values(), &[&days, &stored]].concat();
    let written = session.query(statement, &values).await?;
    let when = |row: &Row| (row.get(0), row.get(1));
    let mut written: HashMap<Uuid, DateTime<Utc>> = written.iter().map(when).collect();
    if again && written.len() < rows.len() {
        // Those that a lost answer already wrote: this attempt has its result.
        let earlier = session
            .query(
                "select r.id, r.finished_at from unnest($1::uuid[], $2::int2[]) u(id, attempt) join results r using (id, attempt)",
                &[&leases.ids, &leases.attempts],
            )
            .await?;
        written.extend(earlier.iter().map(when));
    }
    Ok(rows.iter().map(|(lease, _)| written.get(&lease.id).copied()).collect())
}

/// The rows' columns, as `unnest` takes them.
pub(super) struct ResultColumns<'a> {
    statuses: Vec<i16>,
    https: Vec<i16>,
    dates: Vec<DateTime<Utc>>,
    fields: Vec<Option<Sql<&'a Json>>>,
    reports: Vec<Sql<&'a Json>>,
    customs: Vec<Option<Sql<&'a Json>>>,
    errors: Vec<Option<&'a str>>,
    failures: Vec<Option<Sql<&'a Json>>>,
    usages: Vec<Sql<&'a Json>>,
    logs: Vec<Option<Sql<&'a Json>>>,
    saved_reports: Vec<Option<i32>>,
    used_fuel: Vec<i64>,
    used_bytes: Vec<i64>,
}

impl<'a> ResultColumns<'a> {
    pub(super) fn of(rows: impl Iterator<Item = &'a ResultRow> + Clone) -> Self {
        let optional = |json: &'a Option<Json>| json.as_ref().map(Sql);
        Self {
            statuses: rows.clone().map(|row| row.status.code()).collect(),
            https: rows.clone().map(|row| row.http_status as i16).collect(),
            dates: rows.clone().map(|row| row.executed_date).collect(),
            fields: rows.clone().map(|row| optional(&row.fields)).collect(),
            reports: rows.clone().map(|row| Sql(&row.reports)).collect(),
            customs: rows.clone().map(|row| optional(&row.custom)).collect(),
            errors: rows.clone().map(|row| row.error.as_deref()).collect(),
            failures: rows.clone().map(|row| optional(&row.failure)).collect(),
            usages: rows.clone().map(|row| Sql(&row.usage)).collect(),
            logs: rows.clone().map(|row| optional(&row.logs)).collect(),
            saved_reports: rows.clone().map(|row| row.saved_reports).collect(),
            used_fuel: rows.clone().map(|row| row.used.fuel).collect(),
            used_bytes: rows.map(|row| row.used.bytes).collect(),
        }
    }

    /// As the statements list them, from the status on.
    pub(super) fn values(&self) -> [Parameter<'_>; 13] {
        [
            &self.statuses,
            &self.https,
            &self.dates,
            &self.fields,
            &self.reports,
            &self.customs,
            &self.errors,
            &self.failures,
            &self.usages,
            &self.logs,
            &self.saved_reports,
            &self.used_fuel,
            &self.used_bytes,
        ]
    }
}
