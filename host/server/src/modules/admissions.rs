//! Whose module is read next: a bounded line for each tenant, so that no tenant can keep others waiting for long.
//!
//! Knows nothing of modules.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use walker_model::TenantId;

/// Children that read uploads at once: each takes up to a core and some hundred megabytes.
const CHILDREN: usize = 2;
/// Uploads of one tenant that come in or wait. Each may hold a file as large as the largest module.
const PLACES_PER_TENANT: usize = 8;
/// The same of all tenants: what they hold of the disk together.
const PLACES: usize = 64;

/// The line before the jail. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Admissions(Arc<Inner>);

struct Inner {
    children: Arc<Semaphore>,
    lanes: Mutex<HashMap<TenantId, Lane>>,
}

struct Lane {
    places: usize,
    /// One of a tenant's modules is read at a time, so that the other child is always somebody else's.
    turn: Arc<Semaphore>,
}

/// No place is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Crowded {
    /// The tenant holds all that one tenant may.
    #[error("{PLACES_PER_TENANT} modules of this tenant are being uploaded or checked already; try again shortly")]
    Tenant,
    /// All tenants together hold all there are.
    #[error("too many modules are being uploaded or checked; try again shortly")]
    Host,
}

/// A place in the line, held from before the first byte until the upload is done with.
pub struct Place {
    admissions: Admissions,
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
pub(crate) struct Turn(#[expect(dead_code, reason = "held, not read")] (OwnedSemaphorePermit, OwnedSemaphorePermit));

impl Admissions {
    /// An empty line.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner { children: Arc::new(Semaphore::new(CHILDREN)), lanes: Mutex::default() }))
    }

    /// Takes a place.
    ///
    /// # Errors
    /// When there is none for this tenant now.
    pub(crate) fn enter(&self, tenant: TenantId) -> Result<Place, Crowded> {
        let mut lanes = self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.get(&tenant).is_some_and(|lane| lane.places >= PLACES_PER_TENANT) {
            return Err(Crowded::Tenant);
        }
        if lanes.values().map(|lane| lane.places).sum::<usize>() >= PLACES {
            return Err(Crowded::Host);
        }
        let lane = lanes.entry(tenant).or_insert_with(|| Lane { places: 0, turn: Arc::new(Semaphore::new(1)) });
        lane.places += 1;
        Ok(Place { admissions: self.clone(), tenant, turn: lane.turn.clone() })
    }
}

impl Place {
    /// Waits until one of the tenant's modules may be read: after those of its own that came before, and in turn with
    /// those of others.
    pub(crate) async fn turn(&self) -> Turn {
        let never = "the semaphore is never closed";
        let own = self.turn.clone().acquire_owned().await.expect(never);
        let child = self.admissions.0.children.clone().acquire_owned().await.expect(never);
        Turn((own, child))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lanes = self.admissions.0.lanes.lock().unwrap_or_else(PoisonError::into_inner);
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
        let admissions = Admissions::new();
        let mut held: Vec<Place> = (0..PLACES_PER_TENANT).map(|_| admissions.enter(HOSTILE).unwrap()).collect();
        assert_eq!(admissions.enter(HOSTILE).unwrap_err(), Crowded::Tenant);
        held.pop();
        held.push(admissions.enter(HOSTILE).unwrap());
        let tenants = i64::try_from(PLACES / PLACES_PER_TENANT).unwrap();
        for tenant in 2..=tenants {
            held.extend((0..PLACES_PER_TENANT).map(|_| admissions.enter(TenantId(tenant)).unwrap()));
        }
        assert_eq!(admissions.enter(TenantId(tenants + 1)).unwrap_err(), Crowded::Host);
        held.clear();
        assert!(admissions.0.lanes.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn one_tenant_cannot_take_every_child() {
        let admissions = Admissions::new();
        let mine: Vec<Place> = (0..PLACES_PER_TENANT).map(|_| admissions.enter(HOSTILE).unwrap()).collect();
        let first = mine[0].turn().await;
        assert!(mine[1].turn().now_or_never().is_none(), "one at a time");
        let other = admissions.enter(OTHER).unwrap();
        let theirs = other.turn().now_or_never().expect("somebody else need not wait");
        let third = admissions.enter(TenantId(3)).unwrap();
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
