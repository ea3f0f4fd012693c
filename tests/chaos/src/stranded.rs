//! Looks, all the time, for walkers that are `running` while no live host has them, and for how long.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;

use crate::fleet::Fleet;

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(100);

/// The longest that a walker was seen `running` without a live host: from the host's death, or from the last time that
/// Postgres or a host's way to it was hurt, whichever was later, since nobody could act before.
pub(crate) async fn watch(fleet: Arc<Fleet>, stop: watch::Receiver<bool>, stranded: watch::Sender<usize>) -> Duration {
    let mut since: HashMap<(Uuid, i32), Instant> = HashMap::new();
    let mut longest = Duration::ZERO;
    let mut link = None;
    while !*stop.borrow() {
        tokio::time::sleep(EVERY).await;
        let Some(admin) = link.take().or(fleet.database().await.ok()) else { continue };
        let live = fleet.live_ids();
        // What is to be stopped is marked by a minus.
        let sql = "select id, abs(owner) from queue where owner is not null and abs(owner) <> all($1)";
        let Ok(rows) = admin.query(sql, &[&live]).await else { continue };
        let now = Instant::now();
        // A host that has started since is alive, too.
        let live = fleet.live_ids();
        let seen: Vec<(Uuid, i32)> =
            rows.iter().map(|row| (row.get(0), row.get(1))).filter(|(_, owner)| !live.contains(owner)).collect();
        since.retain(|walker, _| seen.contains(walker));
        for walker in &seen {
            let began = *since.entry(*walker).or_insert(now);
            longest = longest.max(now.saturating_duration_since(began.max(fleet.disturbed())));
        }
        stranded.send_replace(seen.len());
        link = Some(admin);
    }
    longest
}
