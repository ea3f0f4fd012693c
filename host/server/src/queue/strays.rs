//! Walkers that this host took without learning of it: Postgres had committed a claim whose answer was lost on the way.
//!
//! Nobody else would free them, since this host lives.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::{HostLease, Lanes, Waiters};
use crate::store::strays::{self, Found};
use crate::store::{Error, Session, Store, within};

/// How often strays are looked for while there may be some. Never otherwise: it reads the whole queue.
const LOOK: Duration = Duration::from_secs(2);
/// What is younger may be on its way to its run. Should it be freed all the same, its run's writes are refused.
const AGE: Duration = Duration::from_secs(2);
/// A statement whose connection is gone may still wait in Postgres, for as long as Postgres lets statements run.
const DOUBT: Duration = Duration::from_secs(45);
/// For one look.
const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// Whether there may be strays.
#[derive(Clone, Default)]
pub(crate) struct Strays(Arc<Notify>);

impl Strays {
    /// An answer to a claim was lost.
    pub(crate) fn suspect(&self) {
        self.0.notify_one();
    }
}

/// Frees strays for as long as this host lives; never returns. `running` names the walkers that run here.
pub(crate) async fn free_strays(
    store: Store,
    lease: HostLease,
    lanes: Lanes,
    waiters: Waiters,
    strays: Strays,
    running: impl Fn() -> Vec<Uuid> + Send + Sync,
) {
    let mut session: Option<Session> = None;
    loop {
        strays.0.notified().await;
        let until = Instant::now() + DOUBT;
        while Instant::now() < until {
            tokio::time::sleep(LOOK).await;
            match within(ANSWER_WAIT, look(&store, &mut session, &lease, &running())).await {
                Ok(Found { freed, cancelled }) => {
                    if !freed.is_empty() {
                        let count = freed.len();
                        tracing::info!(count, "gave back {count} walkers that were taken in an answer that never came");
                        lanes.heard();
                    }
                    for id in cancelled {
                        tracing::info!(walker = %id, "walker {id}, cancelled in an answer that never came, has ended");
                        waiters.ended(id);
                    }
                }
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "could not look for strays; trying again"
                    );
                    session = None;
                }
            }
        }
        session = None;
    }
}

async fn look(store: &Store, session: &mut Option<Session>, lease: &HostLease, known: &[Uuid]) -> Result<Found, Error> {
    let session = match session {
        Some(session) => session,
        None => session.insert(store.session("finds strays").await?),
    };
    strays::free(session, lease.id(), known, AGE).await
}
