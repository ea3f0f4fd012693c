//! A connection of one's own, for a task that sends one statement after the other.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls};

use super::{APPLICATION, CONNECT_WAIT, Error, Store};

/// What every queue connection sets: the planner's guesses for these statements are wrong in ways that cost
/// a hundredfold (a sequential scan of the queue), and their best plans are known.
///
/// A plan is kept until the tables are analysed again, and may be made when they were just found empty. To go through all of the queue for
/// each row of a statement, by its index, seems cheap then, and is also what nothing here forbids: lives ended a ninth as fast. So rows are
/// looked up in words that leave no other way: `= any(array[…])`, by which nothing can be joined in order, or `lateral (… offset 0)`.
const QUEUE_SETTINGS: &str = "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off;
    set plan_cache_mode = force_generic_plan; set statement_timeout = '30s'";
/// What all set. A host that is suspended between two statements of a transaction must not hold its locks for longer; and to
/// compile a plan over all days there are takes seconds where processors are busy, which no statement here gains back.
const SETTINGS: &str = "set idle_in_transaction_session_timeout = '2s'; set jit = off";

/// A connection outside the pool, closed when dropped.
pub(crate) struct Session {
    client: Client,
    driver: JoinHandle<()>,
}

impl Session {
    /// A new connection with the default planner. What it is for is its name in `pg_stat_activity`.
    pub(super) async fn open(config: &Config, purpose: &str) -> Result<Self, Error> {
        let config = named(config, purpose);
        let connecting = async {
            let (client, connection) = config.connect(NoTls).await?;
            // Its error reaches whoever uses the client next.
            let driver = tokio::spawn(async move { drop(connection.await) });
            let session = Self { client, driver };
            session.batch_execute(SETTINGS).await?;
            Ok(session)
        };
        within(CONNECT_WAIT, connecting).await
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

impl std::ops::Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl std::ops::DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Waits for an answer, but not for one that a lost connection will never bring. What was asked may have been done.
pub(crate) async fn within<T>(at_most: Duration, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(at_most, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Unavailable(format!("no answer within {at_most:?}").into())),
    }
}

/// The settings for a connection whose name tells an operator what it is for.
pub(super) fn named(config: &Config, purpose: &str) -> Config {
    let mut config = config.clone();
    config.application_name(format!("{APPLICATION}: {purpose}"));
    config
}

impl Store {
    /// A new connection with the default planner, for this purpose.
    pub(crate) async fn session(&self, purpose: &str) -> Result<Session, Error> {
        Session::open(&self.config, purpose).await
    }

    /// A new connection set up for the queue's statements.
    pub(crate) async fn queue_session(&self, purpose: &str) -> Result<Session, Error> {
        let session = self.session(purpose).await?;
        session.batch_execute(QUEUE_SETTINGS).await?;
        Ok(session)
    }
}
