//! Gives back what this host holds without knowing it.

use std::time::Duration;

use uuid::Uuid;

use super::{Error, HostId, Session};

/// Frees what `host` has held for longer than `age` and does not know of. The attempt counts: whoever still had it would
/// otherwise share its lease with the next one.
pub(crate) async fn free(session: &Session, host: HostId, known: &[Uuid], age: Duration) -> Result<Vec<Uuid>, Error> {
    let rows = session
        .query(
            "update queue set owner = null, claimed_at = null
             where owner = $1 and claimed_at < now() - make_interval(secs => $2) and id <> all($3)
             returning id",
            &[&host.0, &age.as_secs_f64(), &known],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
