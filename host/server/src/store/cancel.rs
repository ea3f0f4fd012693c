//! Cancels walkers: ends those that wait, marks those that run for their host to stop.
//!
//! A mark is a fence: the owner becomes negative, so that the run's own result is refused from then on and only the
//! host that was told to stop it, or whoever finds that host dead, can end it – as cancelled.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use uuid::Uuid;
use walker_model::{TenantId, WalkerId};

use super::ending::{Ending, cancelled, ending};
use super::{Error, HostId, Lease, Parameter, Store};
use crate::access::Actor;

/// The channel on which hosts are told that they have something to stop; the payload is their ids.
pub(crate) const ANNOUNCED: &str = "walker_cancelled";

/// What became of an attempt to cancel one walker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It waited, and will never run.
    Ended,
    /// It runs; the host that holds this lease is to stop it.
    Stopping(Lease),
    /// It had ended before.
    TooLate,
    /// There is no such walker that the actor may see.
    Unknown,
    /// It changed hands at this very moment: ask again.
    Moved,
}

/// Which walkers to cancel.
#[derive(Debug, Clone)]
pub(crate) struct CancelFilter {
    /// Only those of this name.
    pub(crate) name: Option<String>,
    /// Only those that stand there.
    pub(crate) stands: Option<Stands>,
    /// Only those accepted before this time.
    pub(crate) before: DateTime<Utc>,
}

/// Where a walker stands that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    Pending,
    Running,
}

/// What a batch of a bulk cancel did.
#[derive(Debug)]
pub(crate) struct CancelledAll {
    /// They waited, and will never run.
    pub(crate) ended: Vec<Uuid>,
    /// Their hosts are to stop them.
    pub(crate) stopping: Vec<Lease>,
}

/// Rows to a statement of a bulk cancel: some ten milliseconds of locks.
pub(crate) const CANCEL_BATCH: i64 = 2_000;

const REACH: &str = "w.walker = $2 and w.tenant_id = $3 and ($4::uuid is null or w.root_id = $4)";

impl Store {
    /// Cancels one walker.
    pub(crate) async fn cancel(&self, actor: &Actor, id: &WalkerId) -> Result<Cancelled, Error> {
        let root = actor.readable_root();
        let whom: [Parameter<'_>; 4] = [&id.uuid, &id.name, &actor.tenant.0, &root];
        let failure = cancelled();
        let end = Ending::new(&failure);
        let end = end.values(&[&id.uuid, &id.name, &actor.tenant.0, &root]);
        let mut client = self.scoped(actor.tenant).await?;
        let transaction = client.transaction().await?;
        let mark = format!(
            "update queue q set owner = -q.owner from walkers w
             where q.id = $1 and w.id = $1 and {REACH} and q.owner > 0"
        );
        let taken = "delete from queue q using walkers w where q.id = $5 and w.id = $5 and w.walker = $6
                     and w.tenant_id = $7 and ($8::uuid is null or w.root_id = $8) and q.owner is null";
        let look = format!(
            "select q.owner, q.attempt, r.id is not null has_ended
             from walkers w left join queue q on q.id = w.id left join results r on r.id = w.id
             where w.id = $1 and {REACH}"
        );
        let mark = transaction.prepare_cached(&mark).await?;
        let drop_waiting = transaction.prepare_cached(&ending(taken)).await?;
        let look = transaction.prepare_cached(&look).await?;
        // One round trip: all three are sent before the first is answered.
        let (_, ended, stands) = tokio::try_join!(
            transaction.execute(&mark, &whom),
            transaction.execute(&drop_waiting, &end),
            transaction.query_opt(&look, &whom),
        )?;
        transaction.commit().await?;
        let Some(stands) = stands else { return Ok(Cancelled::Unknown) };
        Ok(match (ended, stands.get::<_, Option<i32>>("owner")) {
            (1, _) => Cancelled::Ended,
            (_, Some(owner)) if owner < 0 => {
                Cancelled::Stopping(Lease { id: id.uuid, owner: HostId(-owner), attempt: stands.get("attempt") })
            }
            _ if stands.get("has_ended") => Cancelled::TooLate,
            _ => Cancelled::Moved,
        })
    }

    /// The database's time.
    pub(crate) async fn now(&self) -> Result<DateTime<Utc>, Error> {
        Ok(self.client().await?.query_one("select now()", &[]).await?.get(0))
    }

    /// A page of what a bulk cancel is to look at, in the order of ids from `after` on.
    pub(crate) async fn live(
        &self,
        actor: &Actor,
        filter: &CancelFilter,
        after: Option<Uuid>,
    ) -> Result<Vec<Uuid>, Error> {
        let status = match filter.stands {
            None => "",
            Some(Stands::Pending) => "and q.owner is null",
            Some(Stands::Running) => "and q.owner is not null",
        };
        let sql = format!(
            "select q.id from queue q join walkers w on w.id = q.id
             where q.tenant_id = $1 and ($2::uuid is null or w.root_id = $2) and ($3::text is null or w.walker = $3)
               and w.created_at < $4 and ($5::uuid is null or q.id > $5) {status}
             order by q.id limit $6"
        );
        let root = actor.readable_root();
        let values: [Parameter<'_>; 6] = [&actor.tenant.0, &root, &filter.name, &filter.before, &after, &CANCEL_BATCH];
        let rows = self.scoped(actor.tenant).await?.with_own_plan().query(&sql, &values).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Cancels those of a tenant's walkers that stand where the filter says. Whose they are within it was asked before.
    pub(crate) async fn cancel_all(
        &self,
        tenant: TenantId,
        ids: &[Uuid],
        stands: Option<Stands>,
    ) -> Result<CancelledAll, Error> {
        let failure = cancelled();
        let end = Ending::new(&failure);
        let drop_waiting = "delete from queue q where q.tenant_id = $6 and q.id = any($5) and q.owner is null";
        let mark = "update queue q set owner = -q.owner where q.tenant_id = $2 and q.id = any($1) and q.owner > 0
                    returning q.id, -q.owner owner, q.attempt";
        let mut all = CancelledAll { ended: Vec::new(), stopping: Vec::new() };
        if stands != Some(Stands::Running) {
            let values = end.values(&[&ids, &tenant.0]);
            let rows = self.scoped(tenant).await?.query(&ending(drop_waiting), &values).await?;
            all.ended.extend(rows.iter().map(|row| row.get::<_, Uuid>(0)));
        }
        // Afterwards, so that what began to run meanwhile is among them.
        if stands != Some(Stands::Pending) {
            let rows = self.scoped(tenant).await?.query(mark, &[&ids, &tenant.0]).await?;
            all.stopping.extend(rows.iter().map(lease));
        }
        Ok(all)
    }

    /// What this host is to stop.
    pub(crate) async fn stopping(&self, host: HostId) -> Result<Vec<Lease>, Error> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached("select id, -owner owner, attempt from queue where owner = -$1::int4 and owner < 0")
            .await?;
        Ok(client.query(&statement, &[&host.0]).await?.iter().map(lease).collect())
    }
}

fn lease(row: &Row) -> Lease {
    Lease { id: row.get("id"), owner: HostId(row.get("owner")), attempt: row.get("attempt") }
}
