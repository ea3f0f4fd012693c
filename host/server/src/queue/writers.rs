//! The batches that this host writes: accepted walkers, results, sync records, checkpoints and log chunks.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio_postgres::Statement;
use walker_model::TenantId;

use super::again::{Again, AgainRow};
use super::batch::{Batcher, Rows};
use super::batches::{Batches, Room};
use super::groups::{Group, GroupRow, Grouped, Groups};
use super::{Lanes, Waiters};
use crate::store::attempts::FailedAttempt;
use crate::store::checkpoint::{self, Checkpoint};
use crate::store::complete::{self, ResultRow};
use crate::store::intake::{self, NewWalker};
use crate::store::logs::{self, LogChunk};
use crate::store::record;
use crate::store::{Error, HostId, Lease, Session, Store, WalkerView};

/// Connections for each kind of write. Two to four for intake and completion were measured best on four cores.
const WRITERS: usize = 3;
/// A walker waits for its checkpoint in its slot: while one is on its way to the disk, another is filled.
const CHECKPOINT_WRITERS: usize = 2;
/// Two connections, so that a large batch on its way does not hold up a small one.
const BATCH_WRITERS: usize = 2;
/// The others are rarer, or nobody waits for them.
const FEW_WRITERS: usize = 1;
/// How long a request waits for its commit. Then it is told so; a row that was already sent may still be committed.
const COMMIT_WAIT: Duration = Duration::from_secs(10);

/// How a walker begins that is stored as already claimed.
pub(crate) struct Start {
    /// The host that claims it.
    pub(crate) owner: HostId,
    /// Called once its row is committed, whether or not its caller still waits.
    pub(crate) run: Box<dyn FnOnce(Accepted) + Send + Sync>,
}

/// A walker whose row is committed and which a host holds.
pub(crate) struct Accepted {
    pub(crate) walker: NewWalker,
    pub(crate) lease: Lease,
    pub(crate) claimed_at: DateTime<Utc>,
}

impl Start {
    /// The walker is stored.
    pub(super) fn stored(self, walker: NewWalker, claimed_at: DateTime<Utc>) {
        let lease = Lease { id: walker.id, owner: self.owner, attempt: 1 };
        (self.run)(Accepted { walker, lease, claimed_at });
    }
}

/// The way into Postgres for everything that runs make.
pub(crate) struct Writers {
    intake: Batcher<Intake>,
    results: Batcher<Results>,
    records: Batcher<Records>,
    checkpoints: Batcher<Checkpoints>,
    logs: Batcher<LogChunks>,
    again: Batcher<Again>,
    keyed: Batcher<Groups>,
    batches: Batcher<Groups>,
    on_their_way: Batches,
}

impl Writers {
    /// Starts the writing tasks. `waiters` hear of every result; batches give way to what waits in `lanes`, on a host that runs it.
    pub(crate) fn start(store: &Store, waiters: Waiters, lanes: Option<Lanes>) -> Self {
        Self {
            // On a way of their own: one walker need not wait for thousands.
            keyed: Batcher::start(store.clone(), Groups { gives_way: None }, FEW_WRITERS),
            batches: Batcher::start(store.clone(), Groups { gives_way: lanes }, BATCH_WRITERS),
            on_their_way: Batches::new(),
            again: Batcher::start(store.clone(), Again, FEW_WRITERS),
            intake: Batcher::start(store.clone(), Intake, WRITERS),
            results: Batcher::start(store.clone(), Results { waiters }, WRITERS),
            records: Batcher::start(store.clone(), Records, FEW_WRITERS),
            checkpoints: Batcher::start(store.clone(), Checkpoints, CHECKPOINT_WRITERS),
            logs: Batcher::start(store.clone(), LogChunks, FEW_WRITERS),
        }
    }

    /// Stores a walker; returns once that is committed. With a start it is stored as claimed, and starts at once.
    pub(crate) async fn accept(&self, walker: NewWalker, start: Option<Start>) -> Result<(), Error> {
        committed(|reply| self.intake.send(IntakeRow { walker, start, reply })).await
    }

    /// Stores a group of walkers, all or none; returns once that is committed, or once it is known that its key was used
    /// before. With a start its only walker is stored as claimed, and starts at once.
    pub(crate) async fn accept_group(&self, group: Group, start: Option<Start>) -> Result<Grouped, Error> {
        let (walkers, tenant) = (group.walkers.len(), group.walkers.first().map(|walker| walker.tenant));
        let Some(tenant) = tenant.filter(|_| walkers > 1) else {
            return committed(|reply| self.keyed.send(GroupRow { group, start, reply })).await;
        };
        // Held until it is stored, not only until it is sent.
        let mut turn = None;
        committed(|reply| async {
            turn = self.on_their_way.turn(tenant, walkers).await;
            self.batches.send(GroupRow { group, start, reply }).await;
        })
        .await
    }

    /// Room for a batch of so many walkers until it is stored; `None`: too many of its tenant wait already.
    pub(crate) fn room(&self, tenant: TenantId, walkers: usize) -> Option<Room> {
        self.on_their_way.room(tenant, walkers)
    }

    /// Stores a failed attempt and has the walker tried again, if its retries are not used up. `false`: they are, or the
    /// lease was lost.
    pub(crate) async fn again(&self, attempt: FailedAttempt) -> Result<bool, Error> {
        let (reply, written) = oneshot::channel();
        self.again.send(AgainRow { attempt, reply }).await;
        written.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// As [`record`](Self::record), for a caller that waits as long as it takes.
    pub(crate) async fn record_surely(&self, walker: NewWalker, result: ResultRow) -> Result<(), Error> {
        let (reply, written) = oneshot::channel();
        self.records.send(RecordRow { walker, result, reply }).await;
        written.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Stores a sync walker with its result.
    pub(crate) async fn record(&self, walker: NewWalker, result: ResultRow) -> Result<(), Error> {
        committed(|reply| self.records.send(RecordRow { walker, result, reply })).await
    }

    /// Stores a result; returns once that is committed.
    /// Takes as long as the database needs; an error means that Postgres refused the row itself.
    ///
    /// Lets `slot` go once there is room for the row: another walker need not wait for this one's commit, but a slow
    /// database must not become a full memory.
    pub(crate) async fn complete(&self, lease: Lease, result: ResultRow, slot: impl Send) -> Result<Fenced, Error> {
        self.complete_and_show(lease, result, None, slot).await
    }

    /// The same, and whoever waits for this walker's end is shown `view`, with the time of the commit in it.
    pub(crate) async fn complete_and_show(
        &self,
        lease: Lease,
        result: ResultRow,
        view: Option<Box<WalkerView>>,
        slot: impl Send,
    ) -> Result<Fenced, Error> {
        let (reply, written) = oneshot::channel();
        self.results.send(ResultOf { lease, result, view, reply }).await;
        drop(slot);
        written.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Stores a checkpoint; returns once that is committed. Whoever stops waiting before does not know whether it will be:
    /// `under_way` is held until that is known.
    pub(crate) async fn save(&self, checkpoint: Checkpoint, under_way: OwnedMutexGuard<()>) -> Result<Fenced, Error> {
        let (reply, written) = oneshot::channel();
        self.checkpoints.send(CheckpointRow { checkpoint, reply, _under_way: under_way }).await;
        written.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Stores a chunk of output; returns once that is done, or was refused.
    pub(crate) async fn log(&self, chunk: LogChunk) {
        let (reply, written) = oneshot::channel();
        self.logs.send(LogRow { chunk, reply }).await;
        drop(written.await);
    }
}

/// Whether the lease still held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fenced {
    /// It was written.
    Written,
    /// The lease was lost: nothing was written, and nothing more of this run may be.
    Lost,
}

impl Fenced {
    fn of(written: bool) -> Self {
        if written { Self::Written } else { Self::Lost }
    }
}

fn stopping() -> Error {
    Error::Unavailable("the host is stopping".into())
}

/// Sends a row and waits for its commit, but not forever: somebody's request is open.
async fn committed<T, F: Future<Output = ()>>(
    send: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> F,
) -> Result<T, Error> {
    let (reply, written) = oneshot::channel();
    let written = tokio::time::timeout(COMMIT_WAIT, async {
        send(reply).await;
        written.await.unwrap_or_else(|_| Err(stopping()))
    });
    written.await.unwrap_or_else(|_| Err(Error::Unavailable("the commit took too long".into())))
}

struct Intake;

struct IntakeRow {
    walker: NewWalker,
    start: Option<Start>,
    reply: oneshot::Sender<Result<(), Error>>,
}

impl Rows for Intake {
    const NAME: &'static str = "accepted walkers";
    const SQL: &'static str = intake::INTAKE;
    type Row = IntakeRow;
    type Written = DateTime<Utc>;

    fn bytes(row: &IntakeRow) -> usize {
        row.walker.bytes()
    }

    fn is_abandoned(row: &IntakeRow) -> bool {
        row.reply.is_closed()
    }

    async fn write(
        session: &mut Session,
        statement: &Statement,
        rows: &[&IntakeRow],
        again: bool,
    ) -> Result<Vec<DateTime<Utc>>, Error> {
        let owned: Vec<_> = rows.iter().map(|row| (&row.walker, row.start.as_ref().map(|start| start.owner))).collect();
        let now = intake::insert(session, statement, &owned, again).await?;
        Ok(vec![now; rows.len()])
    }

    fn done(&self, row: IntakeRow, written: Result<DateTime<Utc>, Error>) {
        let answer = written.map(|claimed_at| {
            if let Some(start) = row.start {
                start.stored(row.walker, claimed_at);
            }
        });
        drop(row.reply.send(answer));
    }
}

struct Results {
    waiters: Waiters,
}

struct ResultOf {
    lease: Lease,
    result: ResultRow,
    view: Option<Box<WalkerView>>,
    reply: oneshot::Sender<Result<Fenced, Error>>,
}

impl Rows for Results {
    const NAME: &'static str = "results";
    const SQL: &'static str = complete::COMPLETE;
    type Row = ResultOf;
    type Written = Option<DateTime<Utc>>;

    fn bytes(row: &ResultOf) -> usize {
        row.result.bytes()
    }

    fn is_abandoned(_: &ResultOf) -> bool {
        false
    }

    async fn write(
        session: &mut Session,
        statement: &Statement,
        rows: &[&ResultOf],
        again: bool,
    ) -> Result<Vec<Option<DateTime<Utc>>>, Error> {
        let rows: Vec<_> = rows.iter().map(|row| (row.lease, &row.result)).collect();
        complete::complete(session, statement, &rows, again).await
    }

    fn done(&self, row: ResultOf, written: Result<Option<DateTime<Utc>>, Error>) {
        if let Ok(Some(finished)) = written {
            let view = row.view.map(|mut view| {
                view.run.finished_date = Some(finished);
                view
            });
            self.waiters.ended_as(row.lease.id, view);
        }
        drop(row.reply.send(written.map(|written| Fenced::of(written.is_some()))));
    }
}

struct Records;

struct RecordRow {
    walker: NewWalker,
    result: ResultRow,
    reply: oneshot::Sender<Result<(), Error>>,
}

impl Rows for Records {
    const NAME: &'static str = "sync walkers";
    const SQL: &'static str = record::RECORD;
    type Row = RecordRow;
    type Written = ();

    fn bytes(row: &RecordRow) -> usize {
        row.walker.bytes() + row.result.bytes()
    }

    fn is_abandoned(row: &RecordRow) -> bool {
        row.reply.is_closed()
    }

    async fn write(
        session: &mut Session,
        statement: &Statement,
        rows: &[&RecordRow],
        again: bool,
    ) -> Result<Vec<()>, Error> {
        let pairs: Vec<_> = rows.iter().map(|row| (&row.walker, &row.result)).collect();
        record::record(session, statement, &pairs, again).await?;
        Ok(vec![(); rows.len()])
    }

    fn done(&self, row: RecordRow, written: Result<(), Error>) {
        drop(row.reply.send(written));
    }
}

struct Checkpoints;

struct CheckpointRow {
    checkpoint: Checkpoint,
    reply: oneshot::Sender<Result<Fenced, Error>>,
    _under_way: OwnedMutexGuard<()>,
}

impl Rows for Checkpoints {
    const NAME: &'static str = "checkpoints";
    const SQL: &'static str = checkpoint::CHECKPOINT;
    type Row = CheckpointRow;
    type Written = bool;

    fn bytes(row: &CheckpointRow) -> usize {
        row.checkpoint.fields.len() + row.checkpoint.reports.len()
    }

    fn is_abandoned(row: &CheckpointRow) -> bool {
        row.reply.is_closed()
    }

    async fn write(
        session: &mut Session,
        statement: &Statement,
        rows: &[&CheckpointRow],
        _again: bool,
    ) -> Result<Vec<bool>, Error> {
        let rows: Vec<_> = rows.iter().map(|row| &row.checkpoint).collect();
        checkpoint::save(session, statement, &rows).await
    }

    fn done(&self, row: CheckpointRow, written: Result<bool, Error>) {
        drop(row.reply.send(written.map(Fenced::of)));
    }
}

struct LogChunks;

struct LogRow {
    chunk: LogChunk,
    reply: oneshot::Sender<()>,
}

impl Rows for LogChunks {
    const NAME: &'static str = "log chunks";
    const SQL: &'static str = logs::LOG;
    type Row = LogRow;
    type Written = ();

    fn bytes(row: &LogRow) -> usize {
        row.chunk.lines.len()
    }

    fn is_abandoned(_: &LogRow) -> bool {
        false
    }

    async fn write(
        session: &mut Session,
        statement: &Statement,
        rows: &[&LogRow],
        _again: bool,
    ) -> Result<Vec<()>, Error> {
        let rows: Vec<_> = rows.iter().map(|row| &row.chunk).collect();
        logs::store(session, statement, &rows).await?;
        Ok(vec![(); rows.len()])
    }

    fn done(&self, row: LogRow, _written: Result<(), Error>) {
        let _ = row.reply.send(());
    }
}
