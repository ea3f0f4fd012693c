//! Attempts that failed and may be followed by another: group commit for them.

use tokio::sync::oneshot;
use tokio_postgres::Statement;

use super::batch::Rows;
use crate::store::attempts::{self, FailedAttempt};
use crate::store::{Error, Session};

/// Failed attempts.
pub(super) struct Again;

/// One of them; the reply says whether another follows.
pub(super) struct AgainRow {
    pub(super) attempt: FailedAttempt,
    pub(super) reply: oneshot::Sender<Result<bool, Error>>,
}

impl Rows for Again {
    const NAME: &'static str = "failed attempts";
    const SQL: &'static str = attempts::AGAIN;
    type Row = AgainRow;
    type Written = bool;

    fn bytes(row: &AgainRow) -> usize {
        300 + row.attempt.failure.message.len() + row.attempt.logs.as_ref().map_or(0, |logs| logs.len())
    }

    fn is_abandoned(_: &AgainRow) -> bool {
        false
    }

    // Sent again after a lost answer, it finds no lease if the first one went through: then the caller's own result
    // finds none either, and is dropped.
    async fn write(
        session: &mut Session,
        statement: &Statement,
        rows: &[&AgainRow],
        _again: bool,
    ) -> Result<Vec<bool>, Error> {
        let rows: Vec<_> = rows.iter().map(|row| &row.attempt).collect();
        attempts::again(session, statement, &rows).await
    }

    fn done(&self, row: AgainRow, written: Result<bool, Error>) {
        drop(row.reply.send(written));
    }
}
