//! Frees what dead hosts held. Any host may do it; they take turns by an advisory lock.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use walker_model::{Code, Failure};

use super::lease::LEASE;
use super::{HostLease, Waiters};
use crate::store::{Error, Session, Store, attempts, ending, hosts, within};

/// How often dead hosts are looked for.
const SWEEP: Duration = Duration::from_secs(2);
/// With a queue of millions it takes a second; after this the connection is lost.
const SWEEP_WAIT: Duration = Duration::from_secs(20);
/// After so many attempts that a host lost, the walker itself is the likeliest cause.
pub(crate) const MAX_LOSSES: i64 = 3;
/// Who holds this advisory lock sweeps; the others skip a turn.
const SWEEP_LOCK: i64 = 0x73_7765_6570;

/// Looks for dead hosts for as long as this one lives; never returns.
pub(crate) async fn recover(store: Store, lease: HostLease, waiters: Waiters) {
    let mut turn = tokio::time::interval(SWEEP);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut session: Option<Session> = None;
    loop {
        turn.tick().await;
        if !lease.is_steady() {
            continue;
        }
        if let Err(error) = within(SWEEP_WAIT, sweep(&store, &mut session, &waiters)).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not look for dead hosts; trying again");
            session = None;
        }
    }
}

async fn sweep(store: &Store, session: &mut Option<Session>, waiters: &Waiters) -> Result<(), Error> {
    let session = match session {
        Some(session) => session,
        None => session.insert(store.session().await?),
    };
    // In one transaction, which Postgres ends should this host be suspended within it: with a lock of the session, nobody
    // would sweep until it woke up.
    session.batch_execute("begin").await?;
    let mine: bool = session.query_one("select pg_try_advisory_xact_lock($1)", &[&SWEEP_LOCK]).await?.get(0);
    if !mine {
        return Ok(session.batch_execute("rollback").await?);
    }
    // Statements of their own, so that each sees what the one before left.
    let dead = hosts::reap(session, LEASE).await?;
    let cancelled = ending::end_stopping(session).await?;
    let failure = Failure::new(
        Code::HostLost,
        format!("the host that ran it died, in {MAX_LOSSES} attempts; retry it when the cause is known"),
    );
    let given_up = ending::give_up(session, MAX_LOSSES, &failure).await?;
    let freed = attempts::sweep(session, &Failure::new(Code::HostLost, "the host that ran it died")).await?;
    session.batch_execute("commit").await?;
    if dead > 0 {
        tracing::warn!(dead, "{dead} hosts stopped answering");
    }
    for id in cancelled {
        waiters.ended(id);
    }
    for id in given_up {
        tracing::warn!(walker = %id, "gave up on walker {id}: hosts died in {MAX_LOSSES} of its attempts");
        waiters.ended(id);
    }
    if freed > 0 {
        tracing::warn!(freed, "{freed} walkers of dead hosts will run again");
    }
    Ok(())
}
