//! Frees what dead hosts held, and gives up on what killed too many of them.

use std::time::Duration;

use tokio_postgres::types::Json as Sql;
use uuid::Uuid;
use walker_model::{Failure, Status};

use super::{Error, HostId, Lease, Session, Store};

/// Ends the walkers of dead hosts whose attempts ran out; answers their ids.
pub(crate) async fn give_up(session: &Session, max_attempts: i16, failure: &Failure) -> Result<Vec<Uuid>, Error> {
    let rows = session
        .query(
            "with d as (
                delete from queue q
                where q.owner is not null and q.attempt >= $1 and not exists (select 1 from hosts h where h.id = q.owner)
                returning q.id, q.tenant_id, q.attempt, q.claimed_at),
             k as (
                delete from checkpoints k using d where k.id = d.id returning k.id, k.fields, k.reports)
             insert into results (id, tenant_id, root_id, status, attempt, http_status, executed_date, fields, reports, error, failure)
             select d.id, d.tenant_id, w.root_id, $2, d.attempt, $3, d.claimed_at, k.fields, coalesce(k.reports, '[]'), $4, $5
             from d join walkers w on w.id = d.id left join k on k.id = d.id
             returning id",
            &[
                &max_attempts,
                &Status::Failed.code(),
                &(failure.code.http_status() as i16),
                &failure.message,
                &Sql(failure),
            ],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Frees the walkers of dead hosts, to be claimed by live ones.
pub(crate) async fn sweep(session: &Session) -> Result<u64, Error> {
    let freed = session
        .execute(
            "update queue q set owner = null, claimed_at = null
             where q.owner is not null and not exists (select 1 from hosts h where h.id = q.owner)",
            &[],
        )
        .await?;
    Ok(freed)
}

impl Store {
    /// Gives a walker back after a fault of this host, to be tried again after `pause`. `false`: the lease was lost.
    pub(crate) async fn release(&self, lease: Lease, pause: Duration) -> Result<bool, Error> {
        let HostId(owner) = lease.owner;
        let released = self
            .client()
            .await?
            .execute(
                "update queue set owner = null, claimed_at = null, execute_date = now() + make_interval(secs => $4)
                 where id = $1 and owner = $2 and attempt = $3",
                &[&lease.id, &owner, &lease.attempt, &pause.as_secs_f64()],
            )
            .await?;
        Ok(released == 1)
    }

    /// Drops a walker whose input is gone from the queue: no host can run it, and nobody can ask for it any more.
    pub(crate) async fn forget(&self, lease: Lease) -> Result<(), Error> {
        let client = self.client().await?;
        client
            .execute(
                "delete from queue where id = $1 and owner = $2 and attempt = $3",
                &[&lease.id, &lease.owner.0, &lease.attempt],
            )
            .await?;
        Ok(())
    }
}
