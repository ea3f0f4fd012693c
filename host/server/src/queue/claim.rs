//! Takes waiting walkers when this host has free slots.
//!
//! How many of whom is decided in `slots.rs`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio_postgres::Statement;
use walker_model::TenantId;

use super::HostLease;
use super::slots::{Offer, Slot, Slots};
use crate::store::claim::{self, Claimed, Take};
use crate::store::{Error, Session, Store};

/// The safety net below wake-ups: how late a due walker may be noticed.
const POLL: Duration = Duration::from_millis(100);

/// Takes waiting walkers until the slots are closed. `start` runs each.
pub(crate) async fn claim_due(
    store: Store,
    lease: HostLease,
    slots: Slots,
    start: impl Fn(Claimed, Slot) + Clone + Send + Sync + 'static,
) {
    let mut link: Option<(Session, Statement)> = None;
    let mut after_tenant = 0;
    let mut looked: Option<Instant> = None;
    while !slots.is_closed() {
        let offer = slots.offer();
        let is_due = looked.is_none_or(|looked| looked.elapsed() >= POLL);
        if offer.at_most == 0 || !(offer.is_wanted || is_due || after_tenant > 0) {
            // Either way: work, or the time to look again.
            drop(tokio::time::timeout(POLL, slots.claimable()).await);
            continue;
        }
        looked = Some(Instant::now());
        let asked = slots.ask(&offer);
        match claim(&store, &mut link, &lease, take(&offer, after_tenant)).await {
            Ok(claimed) => {
                let is_full = claimed.len() >= offer.at_most;
                let has_left_out = is_full || after_tenant > 0;
                after_tenant = if is_full { claimed.last().map_or(0, |last| last.tenant.0) } else { 0 };
                let mut counts: HashMap<TenantId, usize> = HashMap::new();
                claimed.iter().for_each(|claimed| *counts.entry(claimed.tenant).or_default() += 1);
                for claimed in claimed {
                    let (slot, start) = (slots.enter(claimed.tenant), start.clone());
                    // Apart from this loop: one tenant that has to wait for a slot must not keep another waiting.
                    // Closed meanwhile: the host hands back what it holds.
                    tokio::spawn(async move { drop(slot.await.map(|slot| start(claimed, slot))) });
                }
                slots.answered(&offer, &counts, asked.into_iter().filter(|_| has_left_out));
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not look for waiting walkers; trying again"
                );
                link = None;
                slots.answered(&offer, &HashMap::new(), asked);
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

fn take(offer: &Offer, after_tenant: i64) -> Take {
    let (tenants, allowed) = offer.lanes.iter().map(|(tenant, allowed)| (tenant.0, *allowed as i64)).unzip();
    Take { after_tenant, at_most: offer.at_most as i64, newcomer: offer.newcomer as i64, tenants, allowed }
}

async fn claim(
    store: &Store,
    link: &mut Option<(Session, Statement)>,
    lease: &HostLease,
    take: Take,
) -> Result<Vec<Claimed>, Error> {
    let (session, statement) = match link {
        Some(link) => link,
        None => {
            let session = store.queue_session().await?;
            let statement = session.prepare(claim::CLAIM).await?;
            link.insert((session, statement))
        }
    };
    claim::claim(session, statement, lease.id(), take).await
}
