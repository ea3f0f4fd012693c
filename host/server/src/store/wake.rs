//! The word that walkers wait.

use super::{Error, HostId, Session, Store};

/// The channel; what is said is the speaker's number.
pub(crate) const WAITING: &str = "walkers_waiting";

/// A connection to say it on. Nothing durable is written, so nothing waits for the disk.
pub(crate) async fn session(store: &Store) -> Result<Session, Error> {
    let session = store.session().await?;
    session.batch_execute("set synchronous_commit = off").await?;
    Ok(session)
}

/// Says it.
pub(crate) async fn say(session: &Session, host: HostId) -> Result<(), Error> {
    session.execute("select pg_notify($1, $2)", &[&WAITING, &host.0.to_string()]).await?;
    Ok(())
}
