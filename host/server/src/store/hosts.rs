//! Which hosts live: a row for each process start, kept fresh by a heartbeat.

use std::collections::HashMap;
use std::time::Duration;

use tokio_postgres::types::Json as Sql;

use super::ending::{Ending, cancelled, ending};
use super::{Error, Session, Store};
use crate::config::Role;

/// One start of one host process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HostId(pub i32);

impl Store {
    /// Enters a new host.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn register_host(&self, role: Role) -> Result<HostId, Error> {
        let sql = "insert into hosts (serves) values ($1) returning id";
        let row = self.client().await?.query_one(sql, &[&role.serves()]).await?;
        Ok(HostId(row.get(0)))
    }

    /// Takes a host off the list and frees what it still holds, so that nobody waits for its lease.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn leave(&self, host: HostId) -> Result<u64, Error> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        // What it was to stop, and had no time for.
        let failure = cancelled();
        transaction
            .execute(
                &ending("delete from queue q where q.owner = -$5::int4"),
                &Ending::new(&failure).values(&[&host.0]),
            )
            .await?;
        transaction.execute("delete from hosts where id = $1", &[&host.0]).await?;
        // No attempt was lost: what counts against a walker stands in `attempts`. The number stays taken all the same, since
        // what was printed so far is stored under it.
        let free = "update queue set owner = null, claimed_at = null where owner = $1";
        let freed = transaction.execute(free, &[&host.0]).await?;
        transaction.commit().await?;
        Ok(freed)
    }
}

/// The hosts that live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hosts {
    pub(crate) all: i64,
    /// Those that answer tenants' requests.
    pub(crate) serving: i64,
}

/// Tells that this host lives, and how many walkers of each tenant it runs; answers how many hosts there are.
/// `None`: it was taken for dead and must register anew.
pub(crate) async fn beat(
    session: &Session,
    host: HostId,
    running: &HashMap<String, i64>,
) -> Result<Option<Hosts>, Error> {
    let sql = "update hosts set heartbeat = now(), running = $2 where id = $1
               returning (select count(*) from hosts), (select count(*) from hosts where serves)";
    let row = session.query_opt(sql, &[&host.0, &Sql(running)]).await?;
    Ok(row.map(|row| Hosts { all: row.get(0), serving: row.get(1) }))
}

/// Takes hosts off the list whose heartbeat is older than `lease`.
pub(crate) async fn reap(session: &Session, lease: Duration) -> Result<u64, Error> {
    let lease = lease.as_secs_f64();
    Ok(session.execute("delete from hosts where heartbeat < now() - make_interval(secs => $1)", &[&lease]).await?)
}
