//! Reads walkers for callers: all that were asked for while the statement before was on its way, in one.
//!
//! Decides nothing about who may see what; the statement does. Knows nothing of why somebody reads.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio_postgres::Statement;
use walker_model::WalkerId;

use super::batch::{Batcher, Rows};
use crate::access::Actor;
use crate::store::{Error, Found, READ, READ_WAIT, SMALL_WALKER_BYTES, Session, Store, WalkerView, read, within};

/// Somebody waits for each answer: a slow statement must not hold up the next.
const CONNECTIONS: usize = 3;

/// Reads walkers for callers.
pub(crate) struct Readers {
    reads: Batcher<Reads>,
    store: Store,
}

impl Readers {
    /// Starts the reading task.
    pub(crate) fn start(store: &Store) -> Self {
        Self { reads: Batcher::start(store.clone(), Reads, CONNECTIONS), store: store.clone() }
    }

    /// Reads one walker; `None` when there is none that the actor may see.
    ///
    /// # Errors
    /// When Postgres cannot be reached, does not answer in time, or refuses.
    pub(crate) async fn walker(&self, actor: &Actor, id: &WalkerId) -> Result<Option<WalkerView>, Error> {
        let (reply, read) = oneshot::channel();
        let found = within(READ_WAIT, async {
            self.reads.send(Read { actor: *actor, id: id.clone(), reply }).await;
            read.await.unwrap_or_else(|_| Err(Error::Unavailable("the host is stopping".into())))
        });
        match found.await? {
            Found::Read(view) => Ok(view.map(|view| *view)),
            Found::Large => self.store.walker(actor, id).await,
        }
    }
}

struct Reads;

struct Read {
    actor: Actor,
    id: WalkerId,
    reply: oneshot::Sender<Result<Found, Error>>,
}

impl Rows for Reads {
    const NAME: &'static str = "reads";
    const SQL: &'static str = READ;
    type Row = Read;
    type Written = Found;

    fn connect(store: &Store) -> impl Future<Output = Result<Session, Error>> + Send {
        store.scoped_session(Self::NAME)
    }

    fn bytes(_: &Read) -> usize {
        SMALL_WALKER_BYTES
    }

    /// Nobody waits for others to read as well.
    fn rest(&self, _rows: usize, _took: Duration) -> Duration {
        Duration::ZERO
    }

    fn is_abandoned(row: &Read) -> bool {
        row.reply.is_closed()
    }

    async fn write(
        session: &mut Session,
        statement: &Statement,
        rows: &[&Read],
        _again: bool,
    ) -> Result<Vec<Found>, Error> {
        let wanted: Vec<_> = rows.iter().map(|row| (&row.actor, &row.id)).collect();
        read(session, statement, &wanted).await
    }

    fn done(&self, row: Read, found: Result<Found, Error>) {
        drop(row.reply.send(found));
    }
}
