//! Where accepted walkers wait, or that one starts at once: room for them, their lane, a slot.
//!
//! Stores nothing; whoever does says afterwards what became of them.

use walker_model::TenantId;

use super::{Error, Ready};
use crate::host::Host;
use crate::queue::{Ahead, Coming, Concurrency, Refused, Slot};
use crate::store::intake::NewWalker;
use crate::store::lanes::{Lane, LaneId};

/// The place of walkers that are accepted together: all of one name, one priority and one date.
#[must_use]
pub(super) struct Place {
    coming: Coming,
    lane: Lane,
    number: LaneId,
    limit: Concurrency,
    is_due: bool,
    /// While they are stored without a slot: whoever comes later waits behind them.
    ahead: Option<Ahead>,
}

impl Host {
    /// Finds a place for walkers, and puts them into their lane.
    pub(super) async fn place(&self, ready: Vec<Ready>) -> Result<(Place, Vec<NewWalker>), Error> {
        let first = ready.first().ok_or_else(|| Error::Fault("nothing was asked for".into()))?;
        let coming = self.room_for(&ready).await?;
        let walker = &first.walker;
        let lane = Lane { tenant: walker.tenant, walker: walker.walker.clone(), priority: walker.priority };
        let number = self.lanes.number(&lane).await?;
        let limit = Concurrency { walker: first.entry.definition.settings.concurrency, tenant: first.concurrency };
        let place = Place { coming, lane, number, limit, is_due: walker.execute_date.is_none(), ahead: None };
        let walkers = ready.into_iter().map(|ready| NewWalker { lane: number, ..ready.walker }).collect();
        Ok((place, walkers))
    }

    /// A slot to start in at once, if there is one here and nobody waits before.
    pub(super) async fn slot_in(&self, place: &mut Place) -> Option<Slot> {
        // What is limited is counted among all hosts, which only a claim does.
        if !self.queues(place) || place.limit.is_limited() {
            self.wait_ahead(place);
            return None;
        }
        let Lane { tenant, priority, .. } = place.lane;
        let waiting = || self.backlog.waiting(tenant);
        match self.lanes.enter_soon(tenant, priority, &self.slots, waiting).await {
            Ok(slot) => Some(slot),
            Err(ahead) => {
                place.ahead = Some(ahead);
                None
            }
        }
    }

    /// They are about to be stored and will wait, before those that come after them.
    pub(super) fn wait_ahead(&self, place: &mut Place) {
        place.ahead = self.queues(place).then(|| self.lanes.enter_to_wait(place.lane.tenant, place.lane.priority));
    }

    /// They are stored, and wait.
    pub(super) fn wait_in(&self, place: Place) {
        if self.queues(&place) {
            self.lanes.queued(place.number, &place.lane, place.limit.tenant);
        }
        place.coming.waiting();
        if place.is_due {
            self.wake.others();
        }
    }

    /// Whether they may run at once, and here.
    fn queues(&self, place: &Place) -> bool {
        place.is_due && self.runs_async()
    }

    /// Room for that many more live walkers of a tenant, and for what they bring.
    pub(super) async fn room_for(&self, ready: &[Ready]) -> Result<Coming, Error> {
        let (tenant, quota) = ready.first().map_or((TenantId(0), 0), |one| (one.walker.tenant, one.live_walkers));
        if let Some(storage) = ready.first().and_then(|one| one.storage) {
            let bytes: i64 = ready.iter().map(|one| one.walker.stored()).sum();
            Box::pin(self.room_to_store::<Error>(tenant, bytes.unsigned_abs(), storage)).await?;
        }
        let ids: Vec<_> = ready.iter().map(|ready| ready.walker.id).collect();
        let room = self.backlog.admit(tenant, &ids, quota).await;
        room.map_err(|refused| match refused {
            Refused::Full => Error::TooManyWalkers(quota),
            Refused::Store(error) => Error::Store(error),
        })
    }
}
