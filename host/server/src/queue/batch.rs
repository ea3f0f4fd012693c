//! Batches: whatever has piled up is written, or read, with one statement each time a connection is free.
//!
//! Never waits for a batch to fill: at low load a batch is one row, at high load hundreds, and no timer stands between a row and its
//! commit before processors are short. Knows nothing of what the rows are.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_postgres::Statement;

use crate::store::{Error, LARGE_MESSAGE_BYTES, Session, Store, within};

/// Past this a statement gains little (101k rows/s at 200, 112k at 1,000) and holds its rows up longer.
const MAX_ROWS: usize = 500;
/// From here on a batch is worth a connection of its own (62k rows/s at 50, 101k at 200, 112k at 1,000).
const FULL_ROWS: usize = 200;
const FULL_BYTES: usize = 1 << 20;
/// A connection that has written so many rows rests for as long as that took, so that the next statement brings more; each then costs
/// Postgres a tenth to a fifth less (`docs/decisions/0004-batches-without-a-timer.md`). At low load batches are smaller than this and nobody waits.
const MANY_ROWS: usize = 32;
const LONGEST_REST: Duration = Duration::from_millis(5);
/// A statement that takes longer than this holds up what came after it, so that another connection takes that.
const SLOW: Duration = Duration::from_millis(10);
/// Keeps one statement far below Postgres' message limit of 1 GiB.
const MAX_STATEMENT_BYTES: usize = 8 << 20;
/// What may wait in one batcher, so that a slow database does not become a full memory.
const MAX_WAITING_ROWS: usize = 4_000;
const MAX_WAITING_BYTES: usize = 256 << 20;
/// Postgres itself gives a statement up before (`statement_timeout` of queue sessions): after this the answer is lost.
const ANSWER_WAIT: Duration = Duration::from_secs(40);
/// Between attempts to reach a database that is gone.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// One kind of row, and how many of them are written or read at once.
pub(crate) trait Rows: Send + Sync + 'static {
    /// The word for it in logs, and for its connections in `pg_stat_activity`.
    const NAME: &'static str;
    /// The statement, prepared once for each connection.
    const SQL: &'static str;
    type Row: Send + Sync + 'static;
    type Written: Send;

    /// A connection for it.
    fn connect(store: &Store) -> impl Future<Output = Result<Session, Error>> + Send {
        store.queue_session(Self::NAME)
    }

    /// About how large a row is, in bytes.
    fn bytes(row: &Self::Row) -> usize;

    /// As how many rows it counts in a statement.
    fn weight(_row: &Self::Row) -> usize {
        1
    }

    /// For how long a connection rests after a statement that wrote so many rows and took so long.
    fn rest(&self, rows: usize, took: Duration) -> Duration {
        rest_after(rows, took)
    }

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

fn rest_after(rows: usize, took: Duration) -> Duration {
    if rows < MANY_ROWS { Duration::ZERO } else { took.min(LONGEST_REST) }
}

/// Hands rows to the task that writes them.
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
    /// Starts the task that writes them, over up to `connections` connections. It ends when the last handle is dropped.
    pub(crate) fn start(store: Store, kind: R, connections: usize) -> Self {
        let (rows, waiting) = mpsc::channel(MAX_WAITING_ROWS);
        let kind = Arc::new(kind);
        let idle = (0..connections).map(|_| Writer { store: store.clone(), kind: kind.clone(), link: None }).collect();
        tokio::spawn(write_all(waiting, idle));
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

/// Gives batches to writers until no more rows can come and all are written.
///
/// While one statement is on its way, or rests after it, the next batch grows: a second connection helps only with a full batch, or
/// when the first is slow. Rows in small batches cost Postgres two to ten times as much.
async fn write_all<R: Rows>(mut waiting: mpsc::Receiver<Waiting<R>>, mut idle: Vec<Writer<R>>) {
    let mut writing = FuturesUnordered::new();
    let mut batch = Batch::default();
    let mut last_sent = Instant::now();
    let mut may_come = true;
    loop {
        while !batch.is_closed()
            && let Ok(row) = waiting.try_recv()
        {
            batch.push(row);
        }
        let helps = writing.is_empty() || batch.is_full() || last_sent.elapsed() >= SLOW;
        if helps
            && !batch.rows.is_empty()
            && let Some(mut writer) = idle.pop()
        {
            let rows = std::mem::take(&mut batch).rows;
            last_sent = Instant::now();
            writing.push(async move {
                let count = rows.len();
                writer.write(rows).await;
                let rest = writer.kind.rest(count, last_sent.elapsed());
                if !rest.is_zero() {
                    tokio::time::sleep(rest).await;
                }
                writer
            });
            continue;
        }
        tokio::select! {
            biased;
            Some(writer) = writing.next() => idle.push(writer),
            row = waiting.recv(), if may_come && !batch.is_closed() => match row {
                Some(row) => batch.push(row),
                None => may_come = false,
            },
            () = tokio::time::sleep_until(last_sent + SLOW), if !idle.is_empty() && !batch.rows.is_empty() => {}
            else => return,
        }
    }
}

/// The rows that go next.
struct Batch<R: Rows> {
    rows: Vec<Waiting<R>>,
    weight: usize,
    bytes: usize,
}

impl<R: Rows> Default for Batch<R> {
    fn default() -> Self {
        Self { rows: Vec::new(), weight: 0, bytes: 0 }
    }
}

impl<R: Rows> Batch<R> {
    fn push(&mut self, row: Waiting<R>) {
        self.weight += R::weight(&row.row);
        self.bytes += R::bytes(&row.row);
        self.rows.push(row);
    }

    /// Large enough for a connection of its own.
    fn is_full(&self) -> bool {
        self.weight >= FULL_ROWS || self.bytes >= FULL_BYTES
    }

    /// Takes no more.
    fn is_closed(&self) -> bool {
        self.weight >= MAX_ROWS || self.bytes >= MAX_STATEMENT_BYTES
    }
}

impl<R: Rows> Writer<R> {
    /// Writes a batch to its end: resends after a lost connection, and halves it around a row that Postgres refuses.
    async fn write(&mut self, mut batch: Vec<Waiting<R>>) {
        batch.retain(|waiting| !R::is_abandoned(&waiting.row));
        let mut parts = VecDeque::from([(batch, false)]);
        while let Some((mut part, mut again)) = parts.pop_front() {
            if part.is_empty() {
                continue;
            }
            let rows: Vec<&R::Row> = part.iter().map(|waiting| &waiting.row).collect();
            let written = loop {
                let link = self.link().await;
                let written = R::write(&mut link.session, &link.statement, &rows, again);
                match within(ANSWER_WAIT, written).await {
                    Err(error) if error.is_unavailable() => {
                        tracing::warn!(
                            rows = rows.len(),
                            error = &error as &dyn std::error::Error,
                            "lost the database with {} on their way; trying again",
                            R::NAME
                        );
                        self.link = None;
                        again = true;
                        // Where it is not the connection that fails (a full disk), the next one would fail as fast.
                        tokio::time::sleep(RECONNECT_PAUSE).await;
                    }
                    written => break written,
                }
            };
            match written {
                Ok(written) => {
                    debug_assert_eq!(written.len(), part.len());
                    if part.iter().map(|waiting| R::bytes(&waiting.row)).sum::<usize>() > LARGE_MESSAGE_BYTES {
                        self.link = None;
                    }
                    for (waiting, written) in part.into_iter().zip(written) {
                        self.kind.done(waiting.row, Ok(written));
                    }
                }
                Err(error) if part.len() == 1 => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the database refused one of the {}",
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
        let session = R::connect(&self.store).await?;
        let statement = session.prepare(R::SQL).await?;
        Ok(Link { session, statement })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_rests_only_where_many_rows_come_and_never_long() {
        let ms = Duration::from_millis;
        assert_eq!(rest_after(1, ms(3)), Duration::ZERO);
        assert_eq!(rest_after(MANY_ROWS - 1, ms(300)), Duration::ZERO);
        assert_eq!(rest_after(MANY_ROWS, ms(3)), ms(3));
        assert_eq!(rest_after(MAX_ROWS, ms(300)), LONGEST_REST);
    }
}
