//! Walkers that belong to hosts which are gone.

use uuid::Uuid;

use super::{Error, Session};

/// Walkers whose host is not on the list of those that live.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Orphans {
    /// They ran.
    pub(crate) running: Vec<Uuid>,
    /// They were cancelled, and their host had not stopped them yet.
    pub(crate) stopping: Vec<Uuid>,
}

/// Finds them, and holds them until the transaction of `session` ends. Reads the whole queue, once.
///
/// Passes over those that somebody else holds: a host that was suspended in the middle of a cancel must not keep the others'
/// from being freed.
pub(crate) async fn find(session: &Session) -> Result<Orphans, Error> {
    let sql = "select q.id, q.owner < 0 stops from queue q
               where q.owner is not null and not exists (select 1 from hosts h where h.id = abs(q.owner))
               for update of q skip locked";
    let mut orphans = Orphans::default();
    for row in session.query(sql, &[]).await? {
        let kind = if row.get("stops") { &mut orphans.stopping } else { &mut orphans.running };
        kind.push(row.get("id"));
    }
    Ok(orphans)
}
