//! Group commit: whatever has piled up is written as one statement each time a connection is free.
//!
//! Never waits for a batch to fill: at low load a batch is one row, at high load hundreds, and no timer
//! stands between a row and its commit. Knows nothing of what is written.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_postgres::Statement;

use crate::store::{Error, Session, Store};

/// Past this a statement gains little (101k rows/s at 200, 112k at 1,000) and holds its rows up longer.
const MAX_ROWS: usize = 500;
/// Keeps one statement far below Postgres' message limit of 1 GiB.
const MAX_STATEMENT_BYTES: usize = 8 << 20;
/// What may wait in one batcher, so that a slow database does not become a full memory.
const MAX_WAITING_ROWS: usize = 4_000;
const MAX_WAITING_BYTES: usize = 256 << 20;
/// Between attempts to reach a database that is gone.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// One kind of row, and how many of them are written at once.
pub(crate) trait Rows: Send + Sync + 'static {
    /// The word for it in logs.
    const NAME: &'static str;
    /// The statement, prepared once for each connection.
    const SQL: &'static str;
    type Row: Send + Sync + 'static;
    type Written: Send;

    /// About how large a row is, in bytes.
    fn bytes(row: &Self::Row) -> usize;

    /// Whether nobody wants this row written any more. Only asked before it is first sent.
    fn is_abandoned(row: &Self::Row) -> bool;

    /// Writes all rows or none; one answer each, in order. `again` says that an earlier attempt
    /// with the same rows may have been committed: its answer was lost.
    fn write(
        session: &mut Session,
        statement: &Statement,
        rows: &[&Self::Row],
        again: bool,
    ) -> impl Future<Output = Result<Vec<Self::Written>, Error>> + Send;

    /// Called once for every row that was sent, whether or not its sender still waits.
    fn done(&self, row: Self::Row, written: Result<Self::Written, Error>);
}

/// Hands rows to the tasks that write them.
pub(crate) struct Batcher<R: Rows> {
    rows: mpsc::Sender<Waiting<R>>,
    room: Arc<Semaphore>,
}

/// A row, and the room it takes up until it is done.
struct Waiting<R: Rows> {
    row: R::Row,
    _room: OwnedSemaphorePermit,
}

impl<R: Rows> Clone for Batcher<R> {
    fn clone(&self) -> Self {
        Self { rows: self.rows.clone(), room: self.room.clone() }
    }
}

impl<R: Rows> Batcher<R> {
    /// Starts `writers` tasks, each with a connection of its own. They end when the last handle is dropped.
    pub(crate) fn start(store: Store, kind: R, writers: usize) -> Self {
        let (rows, waiting) = mpsc::channel(MAX_WAITING_ROWS);
        let waiting = Arc::new(Mutex::new(waiting));
        let kind = Arc::new(kind);
        for _ in 0..writers {
            let writer = Writer { store: store.clone(), kind: kind.clone(), link: None };
            tokio::spawn(writer.write_all(waiting.clone()));
        }
        Self { rows, room: Arc::new(Semaphore::new(MAX_WAITING_BYTES)) }
    }

    /// Queues a row, waiting for room. The row's `done` is called later.
    pub(crate) async fn send(&self, row: R::Row) {
        let bytes = R::bytes(&row).clamp(1, MAX_WAITING_BYTES) as u32;
        let room = self.room.clone().acquire_many_owned(bytes).await.expect("the semaphore is never closed");
        let sent = self.rows.send(Waiting { row, _room: room }).await;
        assert!(sent.is_ok(), "writers live as long as a handle does");
    }
}

/// A connection with its prepared statement.
struct Link {
    session: Session,
    statement: Statement,
}

struct Writer<R: Rows> {
    store: Store,
    kind: Arc<R>,
    link: Option<Link>,
}

impl<R: Rows> Writer<R> {
    async fn write_all(mut self, waiting: Arc<Mutex<mpsc::Receiver<Waiting<R>>>>) {
        loop {
            let mut batch = Vec::new();
            {
                let mut waiting = waiting.lock().await;
                let Some(first) = waiting.recv().await else { return };
                let mut bytes = R::bytes(&first.row);
                batch.push(first);
                while batch.len() < MAX_ROWS && bytes < MAX_STATEMENT_BYTES {
                    let Ok(next) = waiting.try_recv() else { break };
                    bytes += R::bytes(&next.row);
                    batch.push(next);
                }
            }
            batch.retain(|waiting| !R::is_abandoned(&waiting.row));
            self.write(batch).await;
        }
    }

    /// Writes a batch to its end: resends after a lost connection, and halves it around a row that Postgres refuses.
    async fn write(&mut self, batch: Vec<Waiting<R>>) {
        let mut parts = VecDeque::from([(batch, false)]);
        while let Some((mut part, mut again)) = parts.pop_front() {
            if part.is_empty() {
                continue;
            }
            let rows: Vec<&R::Row> = part.iter().map(|waiting| &waiting.row).collect();
            let written = loop {
                let link = self.link().await;
                match R::write(&mut link.session, &link.statement, &rows, again).await {
                    Err(error) if error.is_unavailable() => {
                        tracing::warn!(
                            rows = rows.len(),
                            error = &error as &dyn std::error::Error,
                            "lost the database while writing {}; trying again",
                            R::NAME
                        );
                        self.link = None;
                        again = true;
                    }
                    written => break written,
                }
            };
            match written {
                Ok(written) => {
                    debug_assert_eq!(written.len(), part.len());
                    for (waiting, written) in part.into_iter().zip(written) {
                        self.kind.done(waiting.row, Ok(written));
                    }
                }
                Err(error) if part.len() == 1 => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the database refused one of {}",
                        R::NAME
                    );
                    let waiting = part.remove(0);
                    self.kind.done(waiting.row, Err(error));
                }
                Err(_) => {
                    let second = part.split_off(part.len() / 2);
                    parts.push_front((second, again));
                    parts.push_front((part, again));
                }
            }
        }
    }

    /// The connection, made anew for as long as that takes.
    async fn link(&mut self) -> &mut Link {
        if self.link.as_ref().is_some_and(|link| link.session.is_closed()) {
            self.link = None;
        }
        while self.link.is_none() {
            match self.connect().await {
                Ok(link) => self.link = Some(link),
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "no connection for {} yet", R::NAME);
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
            }
        }
        self.link.as_mut().expect("just made")
    }

    async fn connect(&self) -> Result<Link, Error> {
        let session = self.store.queue_session().await?;
        let statement = session.prepare(R::SQL).await?;
        Ok(Link { session, statement })
    }
}
