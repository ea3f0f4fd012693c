//! More callers than the host can serve: whether walkers still end as fast as they can, and reads are still answered.
//!
//! The same host first with as many callers as wait for their walkers' ends, so that none queues for long; then with as many that
//! do not wait, and with as many that bring a hundred walkers each time.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio_postgres::Client;

use crate::Plan;
use crate::connection::request;
use crate::database::Database;
use crate::host::Host;
use crate::lifecycle::{CALLERS, callers};
use crate::report::{Goal, Table, count, ratio, time, verdict};
use crate::stats::{Samples, Summary, median};
use crate::steady::ask;

/// Reads in a second.
const READS: f64 = 100.0;
/// Walkers in a batch.
const BATCH: usize = 100;
/// How often is looked whether all have ended.
const LOOK: Duration = Duration::from_millis(50);
/// A host that takes longer has stopped working.
const DRAIN: Duration = Duration::from_secs(300);

/// What one round showed.
struct Round {
    posts: f64,
    /// While callers called, and afterwards.
    ends: f64,
    drained: f64,
    reads: Samples,
}

/// Measures all three in turns. `most` is how many lives there were in a second without reads.
pub(crate) async fn measure(plan: Plan, host: &Host, database: &Database, most: f64) -> anyhow::Result<()> {
    let client = database.connect().await?;
    let batch = format!(r#"{{"walkers":[{}]}}"#, ["{}"; BATCH].join(","));
    let cases = [
        ("served", host.invocation("echo_later?wait=30s")),
        ("flooded", host.invocation("echo_later")),
        ("flooded by batches", request("POST", "/walker/echo_later/batch", &host.token, batch.as_bytes())),
    ];
    let read = request("GET", "/walkers?limit=1", &host.token, b"");
    let mut rounds: [Vec<Round>; 3] = Default::default();
    for _ in 0..plan.rounds.min(3) {
        for ((_, post), rounds) in cases.iter().zip(&mut rounds) {
            rounds.push(round(host, database, &client, post, &read, plan.load).await?);
        }
    }
    let ends = |rounds: &[Round]| median(rounds.iter().map(|round| round.ends));
    let drained = median(rounds.iter().flatten().map(|round| round.drained).filter(|rate| *rate > 0.0));
    let peak = rounds.iter().map(|rounds| ends(rounds)).fold(most, f64::max);
    let title =
        format!("{CALLERS} callers that wait for each end, that do not, and that bring {BATCH} walkers each time");
    let mut table = Table::new(&title, &["requests/s", "ends/s", "of the peak", "GET /walkers p50", "p99"]);
    let mut verdicts = Vec::new();
    for ((name, _), rounds) in cases.iter().zip(rounds) {
        let posts = median(rounds.iter().map(|round| round.posts));
        let of_peak = ends(&rounds) / peak;
        let ends = ends(&rounds);
        let reads = Summary::of(&rounds.into_iter().map(|round| round.reads).collect::<Vec<_>>());
        table.row(name, &[count(posts), count(ends), ratio(of_peak), time(reads.p50), time(reads.p99)]);
        verdicts.push((name, of_peak, reads.p50));
    }
    table.print();
    println!(
        "  the peak: {} a second, of all there were; what was left over then ended at {} a second",
        count(peak),
        count(drained)
    );
    let [(_, _, served), flooded @ ..] = verdicts.as_slice() else { return Ok(()) };
    for (name, of_peak, reads) in flooded {
        verdict(&format!("{name}: ends of the peak"), *of_peak, "", Goal::AtLeast(0.8));
        verdict(&format!("{name}: reads' p50 of those while each waits"), reads / served, "", Goal::AtMost(2.0));
    }
    Ok(())
}

async fn round(
    host: &Host,
    database: &Database,
    client: &Client,
    post: &[u8],
    read: &[u8],
    lasts: Duration,
) -> anyhow::Result<Round> {
    let before = database.results(client).await?;
    let (address, post) = (host.address.clone(), post.to_vec());
    let posts = tokio::task::spawn_blocking(move || callers(&address, &post, lasts));
    let reads = ask(host, read.to_vec(), READS, lasts).await?;
    let posts = posts.await??;
    let ended = database.results(client).await? - before;
    let began = Instant::now();
    while database.is_busy(client).await? {
        ensure!(began.elapsed() < DRAIN, "walkers have not ended {DRAIN:?} after the last was sent");
        tokio::time::sleep(LOOK).await;
    }
    let left = database.results(client).await? - before - ended;
    // What takes less than a few looks says nothing.
    let drained = if began.elapsed() > 10 * LOOK { left as f64 / began.elapsed().as_secs_f64() } else { 0.0 };
    Ok(Round { posts: posts.rate(), ends: ended as f64 / lasts.as_secs_f64(), drained, reads })
}
