//! Hears what other hosts announce, on one connection, and passes it on to whom it concerns.
//!
//! Knows nothing of what is announced. A word that is missed is made up for by each listener's own net.

use std::sync::Arc;
use std::time::Duration;

use crate::host::Host;
use crate::store::{cancel, modules};

/// Before listening again after the connection was lost.
const LISTEN_PAUSE: Duration = Duration::from_millis(250);

/// Follows the other hosts for as long as this one lives; never returns.
pub(crate) async fn follow(host: Arc<Host>) {
    loop {
        let heard = host.store.listen(
            &[modules::CHANGED, cancel::ANNOUNCED],
            || forget(&host),
            |channel, payload| match channel {
                cancel::ANNOUNCED => host.cancels.hear(payload, host.lease.id()),
                _ => host.catalog.hear(payload),
            },
        );
        if let Err(error) = heard.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot hear other hosts; listening again");
        }
        forget(&host);
        tokio::time::sleep(LISTEN_PAUSE).await;
    }
}

/// What was announced meanwhile is unknown.
fn forget(host: &Host) {
    host.catalog.forget_all();
    host.cancels.look();
}
