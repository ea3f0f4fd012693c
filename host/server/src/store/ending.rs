//! Ends walkers from the outside, with what they last saved: the cancelled, and those that no host can run.
//!
//! Does not know why; how runs themselves end is in `complete`.

use tokio_postgres::types::Json as Sql;
use uuid::Uuid;
use walker_model::{Code, Failure, Status};

use super::stored::keep;
use super::usage::count;
use super::{Error, Lease, Parameter, Session, Store};

/// What nobody knows is no fuel: it was cancelled before it ran, or its host is gone.
const COUNT: &str = count!("r", "count(*)", "0", "sum(bytes)");
const KEEP: &str = keep!("r", "bytes");

/// The statement that ends what `taken` deletes from `queue q`; answers the ids. Its first four values are
/// [`Ending::values`].
///
/// Looks each walker up by its key: a join went through all walkers there are, whenever the planner expected many to end.
pub(super) fn ending(taken: &str) -> String {
    format!(
        "with d as (
            {taken}
            returning q.id, q.tenant_id, q.attempt, q.claimed_at),
         k as (
            delete from checkpoints k using d where k.id = any(array[d.id]) returning k.id, k.fields, k.reports),
         r as (
            insert into results (id, tenant_id, root_id, status, attempt, http_status, executed_date, fields, reports, error, failure, saved_reports)
            select d.id, d.tenant_id, w.root_id, $1, d.attempt, $2, d.claimed_at, k.fields, coalesce(k.reports, '[]'), $3, $4,
                   json_array_length(k.reports)
            from d cross join lateral (select root_id from walkers w where w.id = d.id offset 0) w left join k on k.id = d.id
            returning id, tenant_id, coalesce(octet_length(fields::text), 0) + octet_length(reports::text) bytes),
         n as ({COUNT}),
         s as ({KEEP})
         select id from r"
    )
}

/// How they end.
pub(super) struct Ending<'a> {
    status: i16,
    http_status: i16,
    message: &'a str,
    failure: Sql<&'a Failure>,
}

impl<'a> Ending<'a> {
    pub(super) fn new(failure: &'a Failure) -> Self {
        let status = if failure.code == Code::Cancelled { Status::Cancelled } else { Status::Failed };
        Self {
            status: status.code(),
            http_status: failure.code.http_status() as i16,
            message: &failure.message,
            failure: Sql(failure),
        }
    }

    pub(super) fn values<'b>(&'b self, more: &[Parameter<'b>]) -> Vec<Parameter<'b>> {
        let mut values: Vec<Parameter<'_>> = vec![&self.status, &self.http_status, &self.message, &self.failure];
        values.extend(more);
        values
    }
}

/// What is said of a walker that was cancelled while no host ran it.
pub(crate) fn cancelled() -> Failure {
    Failure::new(Code::Cancelled, "it was cancelled")
}

/// Ends those of `orphans` whose attempts ran out; answers their ids.
pub(crate) async fn give_up(
    session: &Session,
    orphans: &[Uuid],
    max_losses: i64,
    failure: &Failure,
) -> Result<Vec<Uuid>, Error> {
    let sql = ending(&format!("delete from queue q where q.id = any($5) and {} + 1 >= $6", super::attempts::LOSSES));
    let rows = session.query(&sql, &Ending::new(failure).values(&[&orphans, &max_losses])).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Ends `orphans` that were cancelled; answers their ids.
pub(crate) async fn end_stopping(session: &Session, orphans: &[Uuid]) -> Result<Vec<Uuid>, Error> {
    let sql = ending("delete from queue q where q.id = any($5)");
    let rows = session.query(&sql, &Ending::new(&cancelled()).values(&[&orphans])).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

impl Store {
    /// Ends a walker that this host holds and cannot run. `false`: the lease was lost.
    pub(crate) async fn end(&self, lease: Lease, failure: &Failure) -> Result<bool, Error> {
        let client = self.client().await?;
        let sql = ending("delete from queue q where q.id = $5 and q.owner = $6 and q.attempt = $7");
        let statement = client.prepare_cached(&sql).await?;
        let ending = Ending::new(failure);
        let ended = client.execute(&statement, &ending.values(&[&lease.id, &lease.owner.0, &lease.attempt])).await?;
        Ok(ended == 1)
    }
}
