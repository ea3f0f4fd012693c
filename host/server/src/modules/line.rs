//! Whose child is started next: tenants take turns, and each has one child at a time, so that none keeps others waiting for long.
//!
//! Knows nothing of what children are for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use walker_model::TenantId;

/// A line before children of one kind. Cheap to clone.
#[derive(Clone)]
pub(super) struct Line(Arc<Inner>);

struct Inner {
    children: Arc<Semaphore>,
    lanes: Mutex<HashMap<TenantId, Lane>>,
}

struct Lane {
    places: usize,
    /// So that, where there are two children, the other is always somebody else's.
    turn: Arc<Semaphore>,
}

/// No place is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The tenant holds all that one tenant may.
    Tenant,
    /// All tenants together hold all there are.
    All,
}

/// A place in the line, held until what it was taken for is done with.
pub struct Place {
    line: Line,
    tenant: TenantId,
    turn: Arc<Semaphore>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Place({})", self.tenant)
    }
}

/// Whoever holds it may start a child.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "held, not read")] (OwnedSemaphorePermit, OwnedSemaphorePermit));

impl Line {
    /// An empty line before so many children.
    pub(super) fn new(children: usize) -> Self {
        Self(Arc::new(Inner { children: Arc::new(Semaphore::new(children)), lanes: Mutex::default() }))
    }

    /// Takes a place, however many there are.
    pub(super) fn enter(&self, tenant: TenantId) -> Place {
        self.enter_within(tenant, usize::MAX, usize::MAX).expect("nobody holds so many places")
    }

    /// Takes a place, if the tenant holds fewer than `of_tenant` and all together fewer than `of_all`.
    ///
    /// # Errors
    /// When there is none for this tenant now.
    pub(super) fn enter_within(&self, tenant: TenantId, of_tenant: usize, of_all: usize) -> Result<Place, Full> {
        let mut lanes = self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.get(&tenant).is_some_and(|lane| lane.places >= of_tenant) {
            return Err(Full::Tenant);
        }
        if lanes.values().map(|lane| lane.places).sum::<usize>() >= of_all {
            return Err(Full::All);
        }
        let lane = lanes.entry(tenant).or_insert_with(|| Lane { places: 0, turn: Arc::new(Semaphore::new(1)) });
        lane.places += 1;
        Ok(Place { line: self.clone(), tenant, turn: lane.turn.clone() })
    }
}

impl Place {
    /// Waits until a child may be started for the tenant: after those of its own that came before, and in turn with those of
    /// others.
    pub(super) async fn turn(&self) -> Turn {
        let never = "the semaphore is never closed";
        let own = self.turn.clone().acquire_owned().await.expect(never);
        let child = self.line.0.children.clone().acquire_owned().await.expect(never);
        Turn((own, child))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lanes = self.line.0.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get_mut(&self.tenant) {
            lane.places -= 1;
            if lane.places == 0 {
                lanes.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const HOSTILE: TenantId = TenantId(1);
    const OTHER: TenantId = TenantId(2);

    #[test]
    fn a_tenant_holds_so_many_places_and_all_so_many() {
        let line = Line::new(2);
        let enter = |tenant| line.enter_within(TenantId(tenant), 3, 5);
        let mut held: Vec<Place> = (0..3).map(|_| enter(1).unwrap()).collect();
        assert_eq!(enter(1).unwrap_err(), Full::Tenant);
        held.pop();
        held.extend([enter(1), enter(2), enter(2)].map(Result::unwrap));
        assert_eq!([enter(2).unwrap_err(), enter(3).unwrap_err()], [Full::All, Full::All]);
        held.push(line.enter(HOSTILE));
        held.clear();
        assert!(line.0.lanes.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn one_tenant_cannot_take_every_child() {
        let line = Line::new(2);
        let mine: Vec<Place> = (0..100).map(|_| line.enter(HOSTILE)).collect();
        let first = mine[0].turn().await;
        assert!(mine[1].turn().now_or_never().is_none(), "one at a time");
        let other = line.enter(OTHER);
        let theirs = other.turn().now_or_never().expect("somebody else need not wait");
        let third = line.enter(TenantId(3));
        let mut waiting = Box::pin(third.turn());
        assert!((&mut waiting).now_or_never().is_none(), "there are two children");
        drop(first);
        let mut behind = Box::pin(mine[1].turn());
        assert!((&mut behind).now_or_never().is_none(), "who came before comes first");
        assert!((&mut waiting).now_or_never().is_some());
        drop(theirs);
        assert!((&mut behind).now_or_never().is_some());
    }
}
