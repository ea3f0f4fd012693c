//! More callers than the host can serve: whether walkers still end as fast as they can, and reads are still answered.
//!
//! The same host first with as many callers as wait for their walkers' ends, so that none queues for long.

use std::time::Duration;

use anyhow::ensure;
use tokio_postgres::Client;

use crate::Plan;
use crate::database::Database;
use crate::host::Host;
use crate::lifecycle::{CALLERS, callers};
use crate::report::{Goal, Table, count, ratio, time, verdict};
use crate::stats::{Samples, Summary, median};
use crate::steady::ask;

/// Reads in a second.
const READS: f64 = 100.0;
/// How often is looked whether all have ended.
const LOOK: Duration = Duration::from_millis(50);
/// A host that takes longer has stopped working.
const DRAIN: Duration = Duration::from_secs(300);

/// What one round showed.
struct Round {
    posts: f64,
    ends: f64,
    reads: Samples,
}

/// Measures both in turns.
pub(crate) async fn measure(plan: Plan, host: &Host, database: &Database) -> anyhow::Result<()> {
    let client = database.connect().await?;
    let read = crate::connection::request("GET", "/walkers?limit=1", &host.token, b"");
    let (mut served, mut flooded) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds.min(3) {
        for (walker, rounds) in [("echo_later?wait=30s", &mut served), ("echo_later", &mut flooded)] {
            rounds.push(round(host, database, &client, walker, &read, plan.load).await?);
        }
    }
    let title = format!("{CALLERS} callers that wait for each end, and {CALLERS} that do not");
    let mut table = Table::new(&title, &["POSTs/s", "ends/s", "of served", "GET /walkers p50", "p99"]);
    let ends = |rounds: &[Round]| median(rounds.iter().map(|round| round.ends));
    let of_served = ends(&flooded) / ends(&served);
    for (name, rounds, of) in [("served", served, 1.0), ("flooded", flooded, of_served)] {
        let posts = median(rounds.iter().map(|round| round.posts));
        let ends = ends(&rounds);
        let reads = Summary::of(&rounds.into_iter().map(|round| round.reads).collect::<Vec<_>>());
        table.row(name, &[count(posts), count(ends), ratio(of), time(reads.p50), time(reads.p99)]);
    }
    table.print();
    verdict("ends under a flood, of ends while each waits", of_served, "", Goal::AtLeast(0.8));
    Ok(())
}

async fn round(
    host: &Host,
    database: &Database,
    client: &Client,
    walker: &str,
    read: &[u8],
    lasts: Duration,
) -> anyhow::Result<Round> {
    let before = database.results(client).await?;
    let (address, request) = (host.address.clone(), host.invocation(walker));
    let posts = tokio::task::spawn_blocking(move || callers(&address, &request, lasts));
    let reads = ask(host, read.to_vec(), READS, lasts).await?;
    let posts = posts.await??;
    let ended = database.results(client).await? - before;
    let began = std::time::Instant::now();
    while database.is_busy(client).await? {
        ensure!(began.elapsed() < DRAIN, "walkers have not ended {DRAIN:?} after the last was sent");
        tokio::time::sleep(LOOK).await;
    }
    Ok(Round { posts: posts.rate(), ends: ended as f64 / lasts.as_secs_f64(), reads })
}
