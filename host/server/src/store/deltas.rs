//! Adds up what was appended, so that reading it stays cheap: one host at a time, a batch at a time.
//!
//! Decides nothing: what is appended, and how it is added up, say `usage` and `stored`.

use super::{Error, Store, stored, usage};

/// Rows in one statement.
const BATCH: i64 = 10_000;

/// How one table is added up into another.
pub(super) struct Deltas {
    /// Any number, the same on every host: who holds this advisory lock adds up.
    pub(super) lock: i64,
    /// Moves at most `$1` rows, and answers how many.
    pub(super) add_up: &'static str,
}

impl Store {
    /// Adds up all there is, unless another host is at it.
    pub(crate) async fn add_up(&self) -> Result<(), Error> {
        for deltas in [usage::DELTAS, stored::DELTAS] {
            while self.add_up_batch(&deltas).await? == BATCH {}
        }
        Ok(())
    }

    async fn add_up_batch(&self, deltas: &Deltas) -> Result<i64, Error> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let mine = transaction.query_one("select pg_try_advisory_xact_lock($1)", &[&deltas.lock]).await?;
        if !mine.get::<_, bool>(0) {
            return Ok(0);
        }
        let moved = transaction.query_one(deltas.add_up, &[&BATCH]).await?.get(0);
        transaction.commit().await?;
        Ok(moved)
    }
}
