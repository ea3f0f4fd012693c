//! Requests at a steady rate, whatever the answers take.
//!
//! Knows nothing of what is asked.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::host::Host;
use crate::stats::Samples;

/// Askers for each request that is due within a second, at least this many: each asks in turn, so that only an answer that takes
/// longer than its asker's pause delays a request. Even then its time counts from when it was due.
const ASKERS_OF_RATE: f64 = 0.1;
const MIN_ASKERS: f64 = 20.0;

/// Asks `rate` times a second for so long; times count from when a request was due.
pub(crate) async fn ask(host: &Host, request: Vec<u8>, rate: f64, lasts: Duration) -> anyhow::Result<Samples> {
    let request: Arc<[u8]> = request.into();
    let askers = (rate * ASKERS_OF_RATE).clamp(MIN_ASKERS, 1_000.0).round();
    let pause = Duration::from_secs_f64(askers / rate);
    let mut asking = JoinSet::new();
    let began = Instant::now();
    for asker in 0..askers as u32 {
        let (request, address) = (request.clone(), host.address.clone());
        asking.spawn(async move {
            let mut connection = Connection::open(&address).await?;
            let mut times = Vec::new();
            let mut due = began + pause.mul_f64(f64::from(asker) / askers);
            while due.duration_since(began) < lasts {
                tokio::time::sleep_until(due).await;
                connection.ask(&request).await?.expect(200)?;
                times.push(due.elapsed());
                due += pause;
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(asker) = asking.join_next().await {
        times.extend(asker.map_err(|error| anyhow!("an asker died: {error}"))??);
    }
    Ok(Samples::new(times, began.elapsed()))
}
