//! Who this host is to the others: a row in `hosts`, kept fresh for as long as it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Backlog;
use crate::config::Role;
use crate::store::{Error, HostId, Session, Store, hosts, within};

/// How often this host says that it lives.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);
/// After how long without a heartbeat a host counts as dead. Looked for every second, what it held runs again within ten.
pub(crate) const LEASE: Duration = Duration::from_secs(7);
/// Before a heartbeat is sent again that did not arrive. When Postgres comes back, nobody may call others dead before three
/// arrived in a row, and what dead hosts held waits for that.
const AGAIN: Duration = Duration::from_millis(500);

/// This host's place among the hosts.
#[derive(Clone)]
pub(crate) struct HostLease(Arc<Inner>);

struct Inner {
    id: AtomicI32,
    /// Heartbeats in a row on one connection.
    steady: AtomicU32,
    /// Whether the last heartbeat saw no other host.
    alone: AtomicBool,
    /// How many hosts it saw that answer tenants' requests.
    serving: AtomicU32,
    role: Role,
}

impl HostLease {
    /// Enters this host.
    pub(crate) async fn register(store: &Store, role: Role) -> Result<Self, Error> {
        let HostId(id) = store.register_host(role).await?;
        tracing::info!(host = id, "entered as host {id}");
        Ok(Self(Arc::new(Inner {
            id: AtomicI32::new(id),
            steady: AtomicU32::new(0),
            alone: AtomicBool::new(false),
            serving: AtomicU32::new(1),
            role,
        })))
    }

    /// Its id now; another one after it was taken for dead.
    pub(crate) fn id(&self) -> HostId {
        HostId(self.0.id.load(Ordering::Acquire))
    }

    /// Whether three heartbeats in a row succeeded on one connection: before that it may not call others dead,
    /// or hosts would reap each other whenever Postgres restarts.
    pub(crate) fn is_steady(&self) -> bool {
        self.0.steady.load(Ordering::Acquire) >= 3
    }

    /// Whether there was no other host a heartbeat ago. One that joins is not told of waiting walkers until the next.
    pub(crate) fn is_alone(&self) -> bool {
        self.0.alone.load(Ordering::Acquire)
    }

    /// How many hosts answered tenants' requests a heartbeat ago, this one included if it does.
    pub(crate) fn serving(&self) -> u32 {
        self.0.serving.load(Ordering::Acquire)
    }

    /// Keeps the row fresh, on a connection of its own; never returns.
    pub(crate) async fn keep(self, store: Store, backlog: Backlog) {
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut session: Option<Session> = None;
        loop {
            beat.tick().await;
            let mut is_late = false;
            // A connection that has gone silent must not cost the lease: there is time for another one.
            while let Err(error) = within(HEARTBEAT, self.beat(&store, &backlog, &mut session)).await {
                if !is_late {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "could not renew this host's lease; trying again"
                    );
                }
                is_late = true;
                session = None;
                self.0.steady.store(0, Ordering::Release);
                tokio::time::sleep(AGAIN).await;
            }
            if is_late {
                beat.reset();
            }
        }
    }

    async fn beat(&self, store: &Store, backlog: &Backlog, session: &mut Option<Session>) -> Result<(), Error> {
        let session = match session {
            Some(session) => session,
            None => session.insert(store.session("heartbeat").await?),
        };
        if let Some(hosts) = hosts::beat(session, self.id(), &backlog.running()).await? {
            self.0.alone.store(hosts.all == 1, Ordering::Release);
            self.0.serving.store(u32::try_from(hosts.serving).unwrap_or(u32::MAX), Ordering::Release);
            self.0.steady.fetch_add(1, Ordering::AcqRel);
        } else {
            let id = store.register_host(self.0.role).await?;
            tracing::warn!(host = id.0, "this host was taken for dead, and goes on as host {}", id.0);
            self.0.id.store(id.0, Ordering::Release);
            self.0.steady.store(0, Ordering::Release);
        }
        Ok(())
    }
}
