//! Stops what was cancelled while it ran: on this host at once, on others by telling them to look.
//!
//! What to stop stands in the queue; a word from another host only says when to look, and a poll is the net below.

use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::HostLease;
use crate::store::{HostId, Lease, Session, Store, cancel::ANNOUNCED, within};

/// The net below announcements. The look-up goes through an index that is almost always empty.
const POLL: Duration = Duration::from_millis(250);
/// The same while something is to be stopped that has not begun yet.
const SOON: Duration = Duration::from_millis(10);
/// Both take milliseconds; what takes this long has lost its connection.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// Between two announcements: those made meanwhile go together, since each takes a lock on the whole database.
const PAUSE: Duration = Duration::from_millis(5);

/// What other tasks tell of cancelled walkers.
pub(crate) struct Cancels {
    look: Notify,
    announce: mpsc::UnboundedSender<HostId>,
}

impl Cancels {
    /// With what the announcing task reads from.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<HostId>) {
        let (announce, announced) = mpsc::unbounded_channel();
        (Self { look: Notify::new(), announce }, announced)
    }

    /// Another host is to stop something.
    pub(crate) fn tell(&self, host: HostId) {
        // Only a host that is stopping listens no more; the other one polls.
        let _ = self.announce.send(host);
    }

    /// This host may have something to stop.
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }

    /// An announcement: the hosts that are to look.
    pub(crate) fn hear(&self, payload: &str, me: HostId) {
        if payload.split(' ').any(|host| host.parse() == Ok(me.0)) {
            self.look();
        }
    }
}

/// Stops what is to be stopped for as long as this host lives; never returns. `stop` says whether it was found.
pub(crate) async fn stop_cancelled(store: Store, lease: HostLease, cancels: &Cancels, stop: impl Fn(Lease) -> bool) {
    loop {
        let pause = match within(ANSWER_WAIT, store.stopping(lease.id())).await {
            // What was claimed but has not begun is found a little later.
            Ok(leases) => leases.into_iter().fold(POLL, |pause, lease| if stop(lease) { pause } else { SOON }),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "could not look for cancelled walkers");
                POLL
            }
        };
        drop(tokio::time::timeout(pause, cancels.look.notified()).await);
    }
}

/// Tells other hosts to look, for as long as this one lives.
pub(crate) async fn announce(store: Store, mut announced: mpsc::UnboundedReceiver<HostId>) {
    let mut session: Option<Session> = None;
    while let Some(first) = announced.recv().await {
        let mut hosts = vec![first.0];
        while let Ok(HostId(host)) = announced.try_recv() {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        let payload = hosts.iter().map(i32::to_string).collect::<Vec<_>>().join(" ");
        if let Err(error) = within(ANSWER_WAIT, store.announce(&mut session, ANNOUNCED, &payload)).await {
            // They find it by themselves a little later.
            tracing::debug!(error = &error as &dyn std::error::Error, "could not tell other hosts to stop walkers");
            session = None;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
