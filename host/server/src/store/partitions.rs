//! The days' partitions of `walkers`, `results` and `logs`, made ahead of time.

use super::migrate::SCHEMA_LOCK;
use super::{Error, Store};

/// How far ahead; hosts add days every hour, so a week is ample even for one that was cut off.
const DAYS_AHEAD: i32 = 7;

impl Store {
    /// Makes the partitions from yesterday (clocks differ) to a week ahead. Idempotent.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn add_days(&self) -> Result<(), Error> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        transaction.execute("select pg_advisory_xact_lock($1)", &[&SCHEMA_LOCK]).await?;
        transaction
            .execute(
                "select add_day((now() at time zone 'utc')::date + n) from generate_series(-1, $1::int4) n",
                &[&DAYS_AHEAD],
            )
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}
