//! Two tenants on one host: how much one that spins delays another, and HTTP; and what the processors are worth to each.
//!
//! The host is the real one, with a time limit so short that walkers which never end keep ending.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::Plan;
use crate::connection::{Connection, request};
use crate::database::Database;
use crate::host::{Folder, Host};
use crate::report::{Goal, Table, ratio, time, verdict};
use crate::stats::Samples;
use crate::steady::ask;

/// Walkers that the quiet tenant starts each second, and requests of each kind.
const RATE: f64 = 100.0;
/// How long a walker may run here.
const TIME_MS: u64 = 2_000;
const SPINNERS: &str = "spinners";
/// How often is looked whether some have ended.
const FEED: Duration = Duration::from_millis(50);
/// Fewer than there are by default, so that some spinning walkers wait.
const SLOTS: &str = "96";
/// More than the slots.
const MANY: usize = 200;

/// Measures without spinning walkers, with four for each core, and with many more than there are slots.
pub(crate) async fn measure(plan: Plan, cores: usize) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let settings = folder.settings(&format!("[limits]\ntime_ms = {TIME_MS}\n"))?;
    let host = Host::start_with(&folder, |command| {
        command.args(["--grace", "1s", "--slots", SLOTS, "--config"]).arg(&settings);
    });
    let host = host.await?;
    host.publish().await?;
    let spinners = tenant(&host, SPINNERS).await?;
    let put = request("PUT", "/modules/faults", &spinners, &walker_harness::module("faults"));
    Connection::open(&host.address).await?.ask(&put).await?.expect(201)?;
    let database = Database::of(&folder).await?;
    let client = database.connect().await?;
    let own = request("POST", "/walker/sample?wait=30s", &host.token, b"{}");
    Connection::open(&host.address).await?.ask(&own).await?.expect(200)?;

    let mut table = Table::new(
        &format!("A tenant beside one that spins: {RATE} requests of each kind a second"),
        &["POST → ended p50", "p99", "GET /healthz p50", "p99", "GET /walkers p50", "p99"],
    );
    let mut verdicts = Vec::new();
    for (name, count) in [("nobody spins", 0), ("4 spin for each core", 4 * cores), ("200 spin or wait", MANY)] {
        let load = Load::start(&host, &database, &spinners, count).await?;
        let since = now(&client).await?;
        let lasts = plan.load * 2;
        let (lives, health, lists) = tokio::try_join!(
            ask(&host, own.clone(), RATE, lasts),
            ask(&host, request("GET", "/healthz", &host.token, b""), RATE, lasts),
            ask(&host, request("GET", "/walkers?limit=10", &host.token, b""), RATE, lasts),
        )?;
        let overshoot = overshoot(&client, since).await?;
        load.stop(&client).await?;
        let cells = [&lives, &health, &lists].map(|side| [time(side.percentile(0.5)), time(side.percentile(0.99))]);
        table.row(name, &cells.concat());
        if count > 0 {
            let http = health.percentile(0.99).max(lists.percentile(0.99));
            verdicts.push((format!("{name}: another's walker, POST → ended, p99"), lives.percentile(0.99) * 1e3, 50.0));
            verdicts.push((format!("{name}: HTTP, p99"), http * 1e3, 20.0));
            let what = format!("{name}: past the time limit, p99 of {}", overshoot.len());
            verdicts.push((what, overshoot.percentile(0.99) * 1e3, 10.0));
        }
    }
    table.print();
    for (what, value, goal) in verdicts {
        verdict(&what, value, " ms", Goal::AtMost(goal));
    }
    println!("\nProcessor time of a tenant with {} spinning walkers beside one with {}", 2 * cores, 8 * cores);
    for weight in [100, 300] {
        let change = format!(r#"{{"quotas":{{"weight":{weight}}}}}"#);
        let change = request("PATCH", "/tenants/default", &host.operator, change.as_bytes());
        Connection::open(&host.address).await?.ask(&change).await?.expect(200)?;
        let share = share(&host, &database, &spinners, plan, cores).await?;
        let due = f64::from(weight) / (f64::from(weight) + 100.0);
        println!("  with a weight of {weight} beside 100: {} of all", ratio(share));
        verdict("distance from its share", (share / due - 1.0).abs() * 100.0, " %", Goal::AtMost(10.0));
    }
    host.stop().await
}

/// What of all processor time a tenant gets with a quarter of another's spinning walkers, both with more than the
/// threads can run.
async fn share(host: &Host, database: &Database, spinners: &str, plan: Plan, cores: usize) -> anyhow::Result<f64> {
    let client = database.connect().await?;
    let few = Load::start(host, database, &host.token, 2 * cores).await?;
    let many = Load::start(host, database, spinners, 8 * cores).await?;
    let since = now(&client).await?;
    // Not to wait for something: this is how long they are measured. Twice the longest run at least.
    tokio::time::sleep((plan.load * 3).max(Duration::from_millis(5 * TIME_MS))).await;
    let sql = "select r.tenant_id, sum((r.usage->0->>'fuel')::float8) from results r join walkers w using (id)
               where w.walker = 'spins' and r.finished_at > to_timestamp($1) group by 1 order by 1";
    let fuel: Vec<f64> = client.query(sql, &[&since]).await?.iter().map(|row| row.get(1)).collect();
    // Both end at once: neither waits for the other to go on alone.
    few.is_over.store(true, Relaxed);
    many.stop(&client).await?;
    few.stop(&client).await?;
    let [few, many] = fuel.as_slice() else { return Err(anyhow!("not both tenants' walkers ended")) };
    Ok(few / (few + many))
}

/// The database's time, in seconds.
async fn now(client: &Client) -> anyhow::Result<f64> {
    Ok(client.query_one("select extract(epoch from now())::float8", &[]).await?.get(0))
}

/// By how much walkers ran longer than they may that ended since then.
async fn overshoot(client: &Client, since: f64) -> anyhow::Result<Samples> {
    let sql = "select (r.usage->0->>'duration_ms')::float8 from results r join walkers w using (id)
               where w.walker = 'spins' and r.finished_at > to_timestamp($1)";
    let rows = client.query(sql, &[&since]).await?;
    let late = rows.iter().map(|row| Duration::from_secs_f64((row.get::<_, f64>(0) - TIME_MS as f64).max(0.0) / 1e3));
    Ok(Samples::new(late.collect(), Duration::from_secs(1)))
}

/// Makes a tenant; answers a key of it that may do everything.
pub(crate) async fn tenant(host: &Host, name: &str) -> anyhow::Result<String> {
    let mut connection = Connection::open(&host.address).await?;
    let body = format!(r#"{{"name":"{name}"}}"#);
    connection.ask(&request("POST", "/tenants", &host.operator, body.as_bytes())).await?.expect(201)?;
    let path = format!("/tenants/{name}/keys");
    let body = br#"{"name":"bench","scopes":["deploy","read","invoke"]}"#;
    let made = connection.ask(&request("POST", &path, &host.operator, body)).await?.expect(201)?.to_owned();
    Ok(serde_json::from_str::<Value>(&made)?["key"].as_str().context("there is no key")?.to_owned())
}

/// So many spinning walkers of a tenant at any time: as some end, others are started.
struct Load {
    is_over: Arc<AtomicBool>,
    feeder: JoinHandle<anyhow::Result<()>>,
}

impl Load {
    /// Returns once all of them are stored.
    async fn start(host: &Host, database: &Database, token: &str, count: usize) -> anyhow::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (client, mut connection) = (database.connect().await?, Connection::open(&host.address).await?);
        let spin = request("POST", "/walker/spins", token, b"{}");
        let mut first = None;
        for _ in 0..count {
            let answer = connection.ask(&spin).await?.expect(200)?.to_owned();
            let id =
                serde_json::from_str::<Value>(&answer)?["walker_id"].as_str().context("there is no id")?.to_owned();
            first.get_or_insert(id);
        }
        let is_over_there = is_over.clone();
        let feeder = tokio::spawn(async move {
            let Some(first) = first else { return Ok(()) };
            let first = first.rsplit(':').next().context("the id has no end")?.to_owned();
            let sql = "select count(*) from queue where tenant_id = (select tenant_id from walkers where id = $1::text::uuid)";
            while !is_over_there.load(Relaxed) {
                let left: i64 = client.query_one(sql, &[&first]).await?.get(0);
                for _ in left as usize..count {
                    connection.ask(&spin).await?.expect(200)?;
                }
                tokio::time::sleep(FEED).await;
            }
            Ok(())
        });
        Ok(Self { is_over, feeder })
    }

    /// Starts no more and waits until none is left.
    async fn stop(self, client: &Client) -> anyhow::Result<()> {
        self.is_over.store(true, Relaxed);
        self.feeder.await.map_err(|error| anyhow!("the feeder died: {error}"))??;
        let began = Instant::now();
        while client.query_one("select exists (select from queue)", &[]).await?.get(0) {
            ensure!(
                began.elapsed() < Duration::from_secs(120),
                "walkers have not ended two minutes after the last began"
            );
            tokio::time::sleep(FEED).await;
        }
        Ok(())
    }
}
