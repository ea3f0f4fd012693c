//! Gives back what this host holds without knowing it.

use std::time::Duration;

use uuid::Uuid;

use super::ending::{Ending, cancelled, ending};
use super::{Error, HostId, Session};

/// What became of walkers that a host held unknowingly.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// They wait again.
    pub(crate) freed: Vec<Uuid>,
    /// They had been cancelled, and have ended.
    pub(crate) cancelled: Vec<Uuid>,
}

/// Frees what `host` has held for longer than `age` and does not know of. The attempt counts: whoever still had it would
/// otherwise share its lease with the next one.
pub(crate) async fn free(session: &Session, host: HostId, known: &[Uuid], age: Duration) -> Result<Found, Error> {
    let age = age.as_secs_f64();
    let freed = session
        .query(
            "update queue set owner = null, claimed_at = null
             where owner = $1 and claimed_at < now() - make_interval(secs => $2) and id <> all($3)
             returning id",
            &[&host.0, &age, &known],
        )
        .await?;
    // Told to stop it, nobody here could.
    let end = ending(
        "delete from queue q
         where q.owner = -$5::int4 and q.claimed_at < now() - make_interval(secs => $6) and q.id <> all($7)",
    );
    let failure = cancelled();
    let cancelled = session.query(&end, &Ending::new(&failure).values(&[&host.0, &age, &known])).await?;
    let ids = |rows: Vec<tokio_postgres::Row>| rows.iter().map(|row| row.get(0)).collect();
    Ok(Found { freed: ids(freed), cancelled: ids(cancelled) })
}
