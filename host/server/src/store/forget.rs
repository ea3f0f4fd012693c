//! Removes all that is known of a walker: of one that has ended, when its owner asks.

use walker_model::WalkerId;

use super::stored::bytes_of;
use super::{Error, Lease, Parameter, Store};
use crate::access::Actor;

impl Store {
    /// Forgets an ended walker. `false`: there is none within reach that has ended.
    pub(crate) async fn forget_walker(&self, actor: &Actor, id: &WalkerId) -> Result<bool, Error> {
        // Whoever gets the result's row, a retry or this, has the walker.
        let sql = format!(
                "with r as (
                    delete from results r using walkers w
                    where r.id = $1 and w.id = $1 and w.walker = $2 and w.tenant_id = $3 and ($4::uuid is null or w.root_id = $4)
                    returning r.id, {results} bytes),
                 w as (delete from walkers w using r where w.id = any(array[r.id]) returning {walkers} bytes),
                 a as (delete from attempts a using r where a.id = any(array[r.id]) returning {attempts} bytes),
                 l as (delete from logs l using r where l.id = any(array[r.id]) returning {logs} bytes),
                 g as (delete from grants g using r where g.walker_id = any(array[r.id])),
                 s as (
                    insert into stored_deltas (tenant_id, day, bytes)
                    select $3, id_day($1), -sum(bytes)
                    from (select bytes from r union all select bytes from w union all select bytes from a union all select bytes from l) gone
                    having count(*) > 0)
                 select id from r",
                results = bytes_of!(results),
                walkers = bytes_of!(walkers),
                attempts = bytes_of!(attempts),
                logs = bytes_of!(logs),
        );
        let root = actor.readable_root();
        let values: [Parameter<'_>; 4] = [&id.uuid, &id.name, &actor.tenant.0, &root];
        Ok(self.scoped(actor.tenant).await?.query_opt(&sql, &values).await?.is_some())
    }

    /// Drops a walker whose input is gone from the queue: no host can run it, and nobody can ask for it any more.
    pub(crate) async fn forget(&self, lease: Lease) -> Result<(), Error> {
        let client = self.client().await?;
        client
            .execute(
                "delete from queue where id = $1 and abs(owner) = $2 and attempt = $3",
                &[&lease.id, &lease.owner.0, &lease.attempt],
            )
            .await?;
        Ok(())
    }
}
