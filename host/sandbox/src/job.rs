//! One run: what goes in, and how it can be stopped from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use walker_model::{Json, Limits, NodeId, WalkerId};

/// What goes into one run. Everything in it was checked before.
#[derive(Debug, Clone)]
pub struct Job {
    /// The invocation; its name is the definition's.
    pub id: WalkerId,
    /// The node it enters.
    pub node_id: NodeId,
    /// The root it belongs to.
    pub root_id: NodeId,
    /// 1 for the first attempt.
    pub attempt: u16,
    /// All fields, defaults filled in; those of the last checkpoint when it starts again.
    pub fields: Json,
    /// What earlier attempts had reported by the last checkpoint.
    pub reports: Vec<Json>,
    /// `schedule.custom` so far.
    pub custom: Option<Json>,
    /// What it may use.
    pub limits: Limits,
    /// Where its random numbers come from: all of them follow from it. As long as the keys that a guest may draw.
    pub seed: [u8; 32],
}

/// Stops a run from outside: a spinning one at its next epoch, a waiting one at once.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stopped: AtomicBool,
    wake: Notify,
}

impl Stop {
    /// Asks the run to end. Idempotent.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Release);
        self.0.wake.notify_waiters();
    }

    /// Whether it was asked to end.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    /// Returns once it was asked to end.
    pub async fn stopped(&self) {
        let wake = self.0.wake.notified();
        tokio::pin!(wake);
        // Registered before looking, so that a stop in between is not missed.
        wake.as_mut().enable();
        if !self.is_stopped() {
            wake.await;
        }
    }
}
