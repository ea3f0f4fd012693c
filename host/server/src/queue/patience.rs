//! A moment's patience before a walker is stored without a slot, where that is likely to bring one.
//!
//! One that is stored without must be claimed later, which takes Postgres as much again as storing it did, and has those that come
//! after it queue, too: a short burst would be enough to have all walkers of a busy tenant take the long way from then on.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use walker_model::{Priority, TenantId};

use super::Slot;
use super::lanes::{Ahead, Lanes};
use super::slots::Slots;

/// How long a caller is made to wait at most. With 256 callers on two cores each slot is used about every 40 ms.
const MOST: Duration = Duration::from_millis(100);
/// How often each of the tenant's slots would have to be used for those that wait already: with more of them nothing is won.
const USES: u64 = 2;

impl Lanes {
    /// A slot for a new walker to start in, as [`enter`](Self::enter), but where the tenant's slots turn over and few of its walkers
    /// wait, a moment later. `waiting` says how many those are.
    pub(crate) async fn enter_soon(
        &self,
        tenant: TenantId,
        priority: Priority,
        slots: &Slots,
        waiting: impl Fn() -> u64,
    ) -> Result<Slot, Ahead> {
        match self.try_enter(tenant, priority, slots) {
            Some(slot) => Ok(slot),
            // Rarely on the way: kept out of the future of every request.
            None => Box::pin(self.await_slot(tenant, priority, slots, waiting)).await,
        }
    }

    async fn await_slot(
        &self,
        tenant: TenantId,
        priority: Priority,
        slots: &Slots,
        waiting: impl Fn() -> u64,
    ) -> Result<Slot, Ahead> {
        let until = Instant::now() + MOST;
        loop {
            // Told of what happens from now on, before anything is looked at.
            let emptying = self.emptying();
            let standing = self.stands(tenant, priority);
            let is_likely = !standing.is_held_up && waiting() <= USES * slots.turning_over(tenant) as u64;
            if !is_likely || until <= Instant::now() {
                return self.enter(tenant, priority, slots);
            }
            if standing.is_behind {
                let _ = timeout_at(until, emptying).await;
                if let Some(slot) = self.try_enter(tenant, priority, slots) {
                    return Ok(slot);
                }
            } else if let Ok(Ok(slot)) = timeout_at(until, slots.enter(tenant)).await
                && !self.stands(tenant, priority).is_behind
            {
                return Ok(slot);
            }
        }
    }
}
