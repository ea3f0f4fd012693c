//! Groups of walkers, each stored whole and once: group commit for batches and for keyed requests.
//!
//! A group is one row here, so that a refused one is never torn apart to find the culprit.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio_postgres::Statement;

use super::Lanes;
use super::batch::Rows;
use super::writers::Start;
use crate::store::groups::{self, GroupOf};
use crate::store::intake::NewWalker;
use crate::store::keys::Key;
use crate::store::{Error, Session};

pub(crate) use crate::store::groups::Grouped;

/// Walkers that are accepted together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) key: Option<Key>,
    pub(crate) walkers: Vec<NewWalker>,
}

/// While walkers wait on this host, a connection that has stored others leaves Postgres and the processors to those for so many
/// times as long. Storing walkers a hundred at a time costs a third of running them: with callers that did nothing else, 28,000 a second
/// were stored of which 3,300 ended; now 13,000, and as many end as ever. What comes faster waits with its callers.
const REST: u32 = 6;
/// A slow statement is none of the waiting walkers' doing.
const LONGEST_REST: Duration = Duration::from_millis(500);

/// How groups are written.
pub(super) struct Groups {
    /// Whose walkers go first, if anybody's.
    pub(super) gives_way: Option<Lanes>,
}

/// A group on its way.
pub(super) struct GroupRow {
    pub(super) group: Group,
    /// For a group of one.
    pub(super) start: Option<Start>,
    pub(super) reply: oneshot::Sender<Result<Grouped, Error>>,
}

impl Rows for Groups {
    const NAME: &'static str = "groups of walkers";
    const SQL: &'static str = groups::GROUPS;
    type Row = GroupRow;
    type Written = Grouped;

    fn bytes(row: &GroupRow) -> usize {
        row.group.walkers.iter().map(NewWalker::bytes).sum()
    }

    fn weight(row: &GroupRow) -> usize {
        row.group.walkers.len()
    }

    fn rest(&self, _rows: usize, took: Duration) -> Duration {
        match &self.gives_way {
            Some(lanes) if lanes.has_waiting() => (took * REST).min(LONGEST_REST),
            _ => Duration::ZERO,
        }
    }

    fn is_abandoned(row: &GroupRow) -> bool {
        row.reply.is_closed()
    }

    async fn write(
        session: &mut Session,
        statement: &Statement,
        rows: &[&GroupRow],
        again: bool,
    ) -> Result<Vec<Grouped>, Error> {
        let groups: Vec<_> = rows
            .iter()
            .map(|row| GroupOf {
                key: row.group.key.as_ref(),
                walkers: &row.group.walkers,
                owner: row.start.as_ref().map(|start| start.owner),
            })
            .collect();
        groups::insert(session, statement, &groups, again).await
    }

    fn done(&self, row: GroupRow, written: Result<Grouped, Error>) {
        if let (Ok(Grouped::Stored(claimed_at)), Some(start)) = (&written, row.start)
            && let Some(walker) = row.group.walkers.into_iter().next()
        {
            start.stored(walker, *claimed_at);
        }
        drop(row.reply.send(written));
    }
}
