//! Lets go of what nobody needs any more: whole days where it can, rows where a day is kept for others.
//!
//! Any host may do it; one at a time does.

use std::collections::HashMap;
use std::time::Duration;

use chrono::NaiveDate;
use tokio::time::{Instant, MissedTickBehavior};

use crate::store::{Error, Session, Store, grants, retention as sql, stored};

/// How often it is looked for days to let go.
const LOOK: Duration = Duration::from_secs(3600);
/// After the start, when there is more urgent work.
const FIRST_LOOK: Duration = Duration::from_secs(60);
/// A day that had to stay is read again after this: to read it costs as much as its results are large.
const LOOK_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// Who holds this advisory lock does it; the others skip a turn.
const LOCK: i64 = 0x6b_6565_7073;
/// Waits for statements that read a table are not to become waits of everybody behind; a suspended host loses its turn.
const SETTINGS: &str = "set lock_timeout = '10s'; set idle_session_timeout = '60s'";

/// When a day that had to stay is to be looked at again.
type Stays = HashMap<NaiveDate, Instant>;

/// Does it for as long as this host lives; never returns. `keep_days` counts for tenants with no period of their own.
pub(crate) async fn keep_size(store: Store, keep_days: u16) {
    let mut turn = tokio::time::interval_at(Instant::now() + FIRST_LOOK, LOOK);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stays = Stays::new();
    loop {
        turn.tick().await;
        if let Err(error) = let_go(&store, keep_days, &mut stays).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not let go of old days; trying again in an hour"
            );
        }
    }
}

/// One turn. What an earlier one left half done is finished first.
async fn let_go(store: &Store, keep_days: u16, stays: &mut Stays) -> Result<(), Error> {
    // Closed at the end, and the lock with it.
    let session = store.session("lets old walkers go").await?;
    session.batch_execute(SETTINGS).await?;
    let mine: bool = session.query_one("select pg_try_advisory_lock($1)", &[&LOCK]).await?.get(0);
    if !mine {
        return Ok(());
    }
    let keep_days = i32::from(keep_days);
    sql::clear_leftovers(&session).await?;
    for day in sql::old_days(&session, keep_days).await? {
        if stays.get(&day).is_none_or(|until| *until <= Instant::now()) {
            one_day(&session, day, keep_days, stays).await?;
        }
    }
    stored::forget_gone(&session).await?;
    grants::delete_loose(&session).await?;
    let orphans = sql::delete_orphans(&session).await?;
    if orphans > 0 {
        tracing::info!(orphans, "removed {orphans} checkpoints of walkers that have ended");
    }
    Ok(())
}

async fn one_day(session: &Session, day: NaiveDate, keep_days: i32, stays: &mut Stays) -> Result<(), Error> {
    let contents = sql::contents(session, day, keep_days).await?;
    let is_over = contents.tenants.iter().all(|tenant| tenant.is_over);
    if is_over && !contents.is_queued && sql::drop_day(session, day).await? {
        stays.remove(&day);
        tracing::info!(%day, "dropped the walkers of {day}");
        return Ok(());
    }
    if !contents.is_queued && contents.tenants.iter().all(|tenant| tenant.is_over_tomorrow) {
        // The whole day goes soon, at no cost.
        return Ok(());
    }
    for tenant in contents.tenants.iter().filter(|tenant| tenant.is_over) {
        let deleted = sql::delete_of(session, day, tenant.tenant).await?;
        tracing::info!(%day, tenant = tenant.tenant, deleted, "removed {deleted} walkers of {day}, which is kept for others");
    }
    stays.insert(day, Instant::now() + LOOK_AGAIN);
    Ok(())
}

#[cfg(test)]
mod tests;
