//! Tells other hosts that walkers wait which this one cannot run at once, and hears it from them.
//!
//! A word is a hint and no more: whoever misses it finds the walkers at its next poll. Knows nothing of which walkers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{HostLease, Lanes};
use crate::store::wake::WAITING;
use crate::store::{Session, Store, within};

/// Between two words: a `NOTIFY` for each row costs twenty times the row (it takes a lock that all commits share), two
/// hundred a second cost nothing that could be measured.
const APART: Duration = Duration::from_millis(5);
/// Before listening again after the connection was lost.
const LISTEN_PAUSE: Duration = Duration::from_millis(250);
/// For one word.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Whether there is something to tell.
#[derive(Clone, Default)]
pub(crate) struct Wake(Arc<Notify>);

impl Wake {
    /// A walker waits, committed, for which this host has no slot.
    pub(crate) fn others(&self) {
        self.0.notify_one();
    }
}

/// Tells the others, on a connection of its own; never returns.
pub(crate) async fn tell(store: Store, lease: HostLease, wake: Wake) {
    let mut session: Option<Session> = None;
    loop {
        wake.0.notified().await;
        if lease.is_alone() {
            continue;
        }
        let me = lease.id().0.to_string();
        if let Err(error) = within(ANSWER_WAIT, store.announce(&mut session, WAITING, &me)).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "could not wake other hosts; they will look");
            session = None;
        }
        // What is stored meanwhile is told together.
        tokio::time::sleep(APART).await;
    }
}

/// Hears the others and makes this host look for walkers; never returns.
pub(crate) async fn hear(store: Store, lease: HostLease, lanes: Lanes) {
    loop {
        let heard = store.listen(
            &[WAITING],
            || lanes.heard(),
            |_, from| {
                if from != lease.id().0.to_string() {
                    lanes.heard();
                }
            },
        );
        if let Err(error) = heard.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot hear other hosts; listening again");
        }
        tokio::time::sleep(LISTEN_PAUSE).await;
    }
}
