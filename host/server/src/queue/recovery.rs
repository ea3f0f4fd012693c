//! Frees what dead hosts held. Any host may do it; they take turns by an advisory lock.

use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;
use uuid::Uuid;
use walker_model::{Code, Failure};

use super::lease::LEASE;
use super::{HostLease, Waiters};
use crate::store::{Error, Session, Store, attempts, ending, hosts, orphans, within};

/// How often dead hosts are looked for, in a table of one row for each host.
const LOOK: Duration = Duration::from_secs(1);
/// How often walkers are looked for whose host is gone though none died just now: one that was taken for dead may have stored them
/// since. It reads the whole queue.
const SWEEP: Duration = Duration::from_secs(2);
/// With a queue of millions it takes a second; after this the connection is lost.
const SWEEP_WAIT: Duration = Duration::from_secs(20);
/// A host that is suspended within its sweep must not keep the others from theirs.
const SUSPENDED: &str = "set idle_in_transaction_session_timeout = '1s'";
/// After so many attempts that a host lost, the walker itself is the likeliest cause.
pub(crate) const MAX_LOSSES: i64 = 3;
/// Who holds this advisory lock sweeps; the others skip a turn.
const SWEEP_LOCK: i64 = 0x73_7765_6570;

/// Looks for dead hosts for as long as this one lives; never returns.
pub(crate) async fn recover(store: Store, lease: HostLease, waiters: Waiters) {
    let mut turn = tokio::time::interval(LOOK);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sweeper = Sweeper { store, waiters, session: None, swept: None };
    loop {
        turn.tick().await;
        if !lease.is_steady() {
            continue;
        }
        if let Err(error) = within(SWEEP_WAIT, sweeper.look()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not look for dead hosts; trying again");
            sweeper.session = None;
        }
    }
}

struct Sweeper {
    store: Store,
    waiters: Waiters,
    session: Option<Session>,
    /// When it last went through the queue.
    swept: Option<Instant>,
}

impl Sweeper {
    async fn look(&mut self) -> Result<(), Error> {
        let session = match &mut self.session {
            Some(session) => session,
            none => {
                let session = self.store.session("looks for the dead").await?;
                session.batch_execute(SUSPENDED).await?;
                none.insert(session)
            }
        };
        // In one transaction, which Postgres ends should this host be suspended within it: with a lock of the session, nobody
        // would sweep until it woke up.
        session.batch_execute("begin").await?;
        let mine: bool = session.query_one("select pg_try_advisory_xact_lock($1)", &[&SWEEP_LOCK]).await?.get(0);
        if !mine {
            return Ok(session.batch_execute("rollback").await?);
        }
        let dead = hosts::reap(session, LEASE).await?;
        let is_due = self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP);
        // A statement of its own, so that it sees who is gone now.
        let buried = if dead > 0 || is_due { bury(session, MAX_LOSSES).await? } else { Buried::default() };
        session.batch_execute("commit").await?;
        if dead > 0 || is_due {
            self.swept = Some(Instant::now());
        }
        if dead > 0 {
            tracing::warn!(dead, "{dead} hosts stopped answering");
        }
        self.tell(buried);
        Ok(())
    }

    fn tell(&self, buried: Buried) {
        let Buried { ended, given_up, freed } = buried;
        for id in ended {
            self.waiters.ended(id);
        }
        for id in given_up {
            tracing::warn!(walker = %id, "gave up on walker {id}: hosts died in {MAX_LOSSES} of its attempts");
            self.waiters.ended(id);
        }
        if freed > 0 {
            tracing::warn!(freed, "{freed} walkers of dead hosts will run again");
        }
    }
}

/// What became of the walkers of dead hosts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Buried {
    /// They had been cancelled.
    pub(super) ended: Vec<Uuid>,
    /// Hosts died in too many of their attempts.
    pub(super) given_up: Vec<Uuid>,
    /// So many wait to be tried again.
    pub(super) freed: u64,
}

/// Ends or frees what belongs to hosts that are gone.
pub(super) async fn bury(session: &Session, max_losses: i64) -> Result<Buried, Error> {
    let orphans = orphans::find(session).await?;
    let mut buried = Buried::default();
    if !orphans.stopping.is_empty() {
        buried.ended = ending::end_stopping(session, &orphans.stopping).await?;
    }
    if !orphans.running.is_empty() {
        let failure = Failure::new(
            Code::HostLost,
            format!("the host that ran it died, in {max_losses} attempts; retry it when the cause is known"),
        );
        buried.given_up = ending::give_up(session, &orphans.running, max_losses, &failure).await?;
        let failure = Failure::new(Code::HostLost, "the host that ran it died");
        buried.freed = attempts::free(session, &orphans.running, &failure).await?;
    }
    Ok(buried)
}
