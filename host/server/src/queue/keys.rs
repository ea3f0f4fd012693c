//! Forgets idempotency keys after their day, in the background and in small batches.

use std::time::Duration;

use crate::store::Store;

/// How often old keys are looked for: so much longer than a day one may be kept.
const PAUSE: Duration = Duration::from_secs(60);

/// Forgets old keys for as long as this host lives; never returns. Several hosts may do so at once.
pub(crate) async fn forget_keys(store: Store) {
    loop {
        tokio::time::sleep(PAUSE).await;
        loop {
            match store.forget_keys().await {
                Ok(true) => tokio::task::yield_now().await,
                Ok(false) => break,
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "could not forget old keys");
                    break;
                }
            }
        }
    }
}
