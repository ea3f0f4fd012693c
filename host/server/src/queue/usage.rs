//! Adds up what tenants used and what they have stored, so that reading it stays cheap.
//!
//! Any host may do it; one at a time does. Counts nothing itself: the statements that store do.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::store::Store;

/// What is not added up yet is gone through by each who asks: some thousand rows at full load.
const EVERY: Duration = Duration::from_secs(5);

/// Adds up for as long as this host lives; never returns.
pub(crate) async fn add_up_usage(store: Store) {
    let mut turn = tokio::time::interval(EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        if let Err(error) = store.add_up().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "could not add up what tenants used and stored");
        }
    }
}
