//! Batches on their way into the queue: how many walkers may wait to be stored, and whose turn it is.
//!
//! Knows nothing of how they are stored: that is first come, first served, so that what one tenant has there is bounded.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use walker_model::TenantId;

use crate::memory::{Held, Memory};

/// So many walkers may wait to be stored, of which one tenant alone may have two thirds: a few seconds' worth while others
/// wait to run. Who brings more is told at once.
const WAITING: u64 = 48_000;
/// So many walkers of one tenant stand in the one line of all: as many as four statements store, which never run dry.
/// Behind a tenant that floods the host with batches, another's waits for that and no longer.
const IN_LINE: usize = 2_000;
/// More tenants than ever have batches on their way at once; one that is forgotten too early has twice as much in the line.
const TENANTS: u64 = 10_000;
const REMEMBERED: Duration = Duration::from_secs(600);

/// The way for batches. Cheap to clone.
#[derive(Clone)]
pub(super) struct Batches {
    room: Memory<TenantId>,
    turns: Cache<TenantId, Arc<Semaphore>>,
}

/// Room for one batch, until it is stored or given up.
pub(crate) struct Room {
    _held: Held<TenantId>,
}

impl Batches {
    /// With nothing on its way.
    pub(super) fn new() -> Self {
        Self {
            room: Memory::new(WAITING),
            turns: Cache::builder().max_capacity(TENANTS).time_to_idle(REMEMBERED).build(),
        }
    }

    /// Room for a batch of so many walkers; `None`: too many of its tenant wait already.
    pub(super) fn room(&self, tenant: TenantId, walkers: usize) -> Option<Room> {
        let mut held = self.room.hold(tenant);
        held.grow(walkers as u64).then_some(Room { _held: held })
    }

    /// Waits for the tenant's turn to have so many walkers in the line of all; it is over when the answer is dropped.
    pub(super) async fn turn(&self, tenant: TenantId, walkers: usize) -> Option<OwnedSemaphorePermit> {
        let turns = self.turns.get_with(tenant, || Arc::new(Semaphore::new(IN_LINE)));
        // Nobody closes it.
        turns.acquire_many_owned(u32::try_from(walkers.min(IN_LINE)).unwrap_or(1)).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_with;

    use futures::FutureExt as _;

    use super::*;

    const ONE: TenantId = TenantId(1);
    const OTHER: TenantId = TenantId(2);

    #[test]
    fn who_comes_new_always_finds_room() {
        let batches = Batches::new();
        let all = |tenant| repeat_with(|| batches.room(tenant, 1_000)).map_while(|room| room).collect::<Vec<_>>();
        let (of_one, of_other) = (all(ONE), all(OTHER));
        assert_eq!((of_one.len(), of_other.len()), (32, 10));
        assert!(batches.room(ONE, 1).is_none());
        drop(of_one);
        assert_eq!(all(ONE).len(), 25);
    }

    #[test]
    fn one_tenants_batches_wait_for_each_other_and_for_nobody_else() {
        let batches = Batches::new();
        let turn = |tenant, walkers| batches.turn(tenant, walkers).now_or_never().flatten();
        let first = turn(ONE, 1_500);
        assert!(first.is_some() && turn(ONE, 501).is_none() && turn(ONE, 500).is_some());
        assert!(turn(OTHER, 1_000).is_some());
        drop(first);
        // A batch larger than all there may be is alone.
        let large = turn(ONE, 5_000);
        assert!(large.is_some() && turn(ONE, 1).is_none());
    }
}
