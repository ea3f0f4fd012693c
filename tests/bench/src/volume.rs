//! Two million walkers through one host: how large the queue becomes, and what claiming, listing and reading cost then.
//!
//! Callers want more than the host can run, so that walkers wait and are claimed, and hold back while too many wait, as
//! a quota makes them: the queue's size is then what two million leave behind. Probes take their times all along.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use tokio_postgres::{Client, Statement};
use uuid::Uuid;
use walker_server::store::CLAIM;

use crate::connection::{Connection, request};
use crate::database::Database;
use crate::host::Host;
use crate::report::{Goal, Table, count, time, verdict};
use crate::stats::Samples;

/// How many walkers.
pub(crate) const FULL: i64 = 2_000_000;
/// The same, to see whether it works.
pub(crate) const QUICK: i64 = 20_000;
/// Fewer than a host has by default: most of the walkers are to wait.
pub(crate) const SLOTS: &str = "64";
/// More than the slots.
const CALLERS: usize = 160;
/// While more wait than this, callers hold back.
const MAX_WAITING: i64 = 50_000;
/// How long a caller holds back before it looks again.
const HOLD: Duration = Duration::from_millis(20);
/// How often the queue's size is looked at.
const SIZE: Duration = Duration::from_millis(500);
/// Between two looks of the probes.
const LOOK: Duration = Duration::from_millis(40);
/// Looks once everything has ended.
const LOOKS_AFTER: usize = 250;
/// What the queue and its indexes may take on the way: 50,000 rows are some 10 MB, the rest is space to be used again.
const MAX_QUEUE_MB: f64 = 128.0;

/// The host's own statement claims at most so many in one look; rolled back, so that the host runs what was found.
const AT_MOST: i64 = 64;
/// And so many bytes, as the host does.
const MAX_CLAIM_BYTES: i64 = 32 << 20;

/// Measures; `lives` walkers go through.
pub(crate) async fn measure(host: &Host, database: &Database, lives: i64) -> anyhow::Result<()> {
    let mut probe = Probe::connect(host, database).await?;
    let before = database.results(&probe.client).await?;
    let began = Instant::now();
    let (address, post) = (host.address.clone(), host.invocation("sample"));
    let is_full = Arc::new(AtomicBool::new(false));
    let seen = is_full.clone();
    let callers = tokio::task::spawn_blocking(move || callers(&address, &post, lives, &seen));
    let (mut during, mut largest, mut waiting) = (Times::default(), 0.0_f64, 0);
    let mut next_size = began;
    while !callers.is_finished() || database.is_busy(&probe.client).await? {
        probe.look(&mut during).await?;
        if next_size <= Instant::now() {
            next_size = Instant::now() + SIZE;
            let (megabytes, rows) = probe.queue().await?;
            is_full.store(rows > MAX_WAITING, Ordering::Relaxed);
            largest = largest.max(megabytes);
            waiting = waiting.max(rows);
        }
        tokio::time::sleep(LOOK).await;
    }
    callers.await.map_err(|error| anyhow!("the callers died: {error}"))??;
    let elapsed = began.elapsed();
    let ended = database.results(&probe.client).await? - before;
    ensure!(ended == lives, "{lives} walkers were accepted, but {ended} ended");
    let (left, _) = probe.queue().await?;
    let mut after = Times::default();
    for _ in 0..LOOKS_AFTER {
        probe.look(&mut after).await?;
    }

    let title = format!("{} walkers through, {}/s", count(lives as f64), count(lives as f64 / elapsed.as_secs_f64()));
    let mut table = Table::new(&title, &["p50", "p99", "afterwards p50", "p99"]);
    let sides = during.sides(elapsed).into_iter().zip(after.sides(elapsed));
    let mut worst = Vec::new();
    for (name, (during, after)) in ["claim, 64 at most", "list 20", "read one of any age"].iter().zip(sides) {
        let cells = [&during, &after].map(|side| [time(side.percentile(0.50)), time(side.percentile(0.99))]);
        table.row(name, &cells.concat());
        worst.push((during.percentile(0.99) * 1e3, after.percentile(0.99) * 1e3));
    }
    table.print();
    println!(
        "  the queue with its indexes: {largest:.0} MB at most, {left:.0} MB in the end; at most {} rows in it",
        count(waiting as f64)
    );
    verdict("queue's size", largest, " MB", Goal::AtMost(MAX_QUEUE_MB));
    for (name, (during, after), goal) in [("claim", worst[0], 5.0), ("list", worst[1], 10.0), ("read", worst[2], 10.0)]
    {
        verdict(&format!("{name} p99 under load"), during, " ms", Goal::AtMost(goal));
        verdict(&format!("{name} p99 afterwards"), after, " ms", Goal::AtMost(goal));
    }
    Ok(())
}

/// What the probes took: claim, list, read.
#[derive(Default)]
struct Times([Vec<Duration>; 3]);

impl Times {
    fn sides(self, elapsed: Duration) -> [Samples; 3] {
        self.0.map(|times| Samples::new(times, elapsed))
    }
}

struct Probe {
    client: Client,
    claim: Statement,
    connection: Connection,
    list: Vec<u8>,
    token: String,
    host: i32,
    began_ms: u64,
    looks: u64,
}

impl Probe {
    async fn connect(host: &Host, database: &Database) -> anyhow::Result<Self> {
        let client = database.connect().await?;
        let claim = client.prepare(CLAIM).await?;
        let id = client.query_one("select max(id) from hosts", &[]).await?.get(0);
        Ok(Self {
            client,
            claim,
            connection: Connection::open(&host.address).await?,
            list: request("GET", "/walkers?limit=20", &host.token, b""),
            token: host.token.clone(),
            host: id,
            began_ms: now_ms(),
            looks: 0,
        })
    }

    /// Takes the time of each once.
    async fn look(&mut self, times: &mut Times) -> anyhow::Result<()> {
        let lanes: Vec<i32> =
            self.client.query("select id from lanes", &[]).await?.iter().map(|row| row.get(0)).collect();
        let at_most = vec![AT_MOST; lanes.len()];
        self.client.batch_execute("begin").await?;
        let began = Instant::now();
        self.client.query(&self.claim, &[&lanes, &at_most, &self.host, &false, &MAX_CLAIM_BYTES]).await?;
        times.0[0].push(began.elapsed());
        self.client.batch_execute("rollback").await?;

        let began = Instant::now();
        self.connection.ask(&self.list).await?.expect(200)?;
        times.0[1].push(began.elapsed());

        if let Some(id) = self.any_id().await? {
            let read = request("GET", &format!("/walkers/w:sample:{id}"), &self.token, b"");
            let began = Instant::now();
            self.connection.ask(&read).await?.expect(200)?;
            times.0[2].push(began.elapsed());
        }
        Ok(())
    }

    /// A walker of any age: of times spread evenly, the first one after.
    async fn any_id(&mut self) -> anyhow::Result<Option<Uuid>> {
        self.looks += 1;
        let part = (self.looks as f64 * 0.618_033_988_75).fract();
        let moment = self.began_ms + ((now_ms() - self.began_ms) as f64 * part) as u64;
        let floor = Uuid::from_u128(u128::from(moment) << 80);
        let row = self
            .client
            .query_opt("select id from walkers where id >= $1 and walker = 'sample' order by id limit 1", &[&floor])
            .await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Megabytes of the queue with its indexes, and its rows.
    async fn queue(&self) -> anyhow::Result<(f64, i64)> {
        let sql = "select pg_total_relation_size('queue')::float8 / 1048576, (select count(*) from queue)";
        let row = self.client.query_one(sql, &[]).await?;
        Ok((row.get(0), row.get(1)))
    }
}

fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn callers(address: &str, request: &[u8], lives: i64, is_full: &AtomicBool) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the callers")?;
    runtime.block_on(async {
        let connections = futures::future::try_join_all((0..CALLERS).map(|_| Connection::open(address))).await?;
        let left = AtomicI64::new(lives);
        let calls = connections.into_iter().map(|mut connection| {
            let left = &left;
            async move {
                while left.fetch_sub(1, Ordering::Relaxed) > 0 {
                    while is_full.load(Ordering::Relaxed) {
                        tokio::time::sleep(HOLD).await;
                    }
                    connection.ask(request).await?.expect(200)?;
                }
                anyhow::Ok(())
            }
        });
        futures::future::try_join_all(calls).await?;
        Ok(())
    })
}
