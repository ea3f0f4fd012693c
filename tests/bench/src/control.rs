//! How soon a spinning walker is stopped when it is cancelled, here and from another host, and how late a date is kept with
//! a million walkers waiting for theirs.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio_postgres::Client;

use crate::Plan;
use crate::connection::{Connection, request};
use crate::database::Database;
use crate::host::{Folder, Host};
use crate::report::{Goal, Table, count, time, verdict};
use crate::stats::Samples;

/// After this the hosts have seen each other.
const ACQUAINTED: Duration = Duration::from_secs(3);
/// Walkers put off, in all.
const DATES: i64 = 200;
/// By how much at least; each a little more than the one before.
const DELAY_MS: u64 = 2_000;
/// A host that takes longer has stopped working.
const DRAIN: Duration = Duration::from_secs(60);

/// Measures two hosts on a new cluster.
pub(crate) async fn measure(plan: Plan) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let host = Host::start(&folder).await?;
    host.publish().await?;
    let (url, beside) = (folder.url()?, folder.beside()?);
    let other = Host::start_with(&beside, |command| {
        command.args(["--role", "api"]).env("DATABASE_URL", &url);
    });
    let other = other.await?;
    let client = Database::of(&folder).await?.connect().await?;
    tokio::time::sleep(ACQUAINTED).await;

    let mut table =
        Table::new("Cancelling a walker that spins, until a reader on its host knows it ended", &["p50", "p99"]);
    let mut verdicts = Vec::new();
    for (name, address, goal) in
        [("asked of its host", &host.address, 20.0), ("asked of another", &other.address, 50.0)]
    {
        let times = cancels(&host, address, plan.cancels).await?;
        let samples = Samples::new(times, Duration::from_secs(1));
        table.row(name, &[time(samples.percentile(0.5)), time(samples.percentile(0.99))]);
        verdicts.push((name, samples.percentile(0.99) * 1e3, goal));
    }
    table.print();
    for (name, value, goal) in verdicts {
        verdict(&format!("cancel {name}, p99"), value, " ms", Goal::AtMost(goal));
    }
    dates(&host, &client, plan.waiting).await?;
    other.stop().await?;
    host.stop().await
}

/// How long each of so many spinning walkers of `host` went on after `address` was asked to cancel it.
async fn cancels(host: &Host, address: &str, count: usize) -> anyhow::Result<Vec<Duration>> {
    let mut asker = Connection::open(address).await?;
    let mut reader = Connection::open(&host.address).await?;
    let post = host.invocation("spins");
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let answer: Value = serde_json::from_str(reader.ask(&post).await?.expect(200)?)?;
        let id = answer["walker_id"].as_str().context("an answer without an id")?.to_owned();
        let read = request("GET", &format!("/walkers/{id}"), &host.token, b"");
        while !reader.ask(&read).await?.expect(200)?.contains("\"saved\"") {}
        let wait = request("GET", &format!("/walkers/{id}?wait=30s"), &host.token, b"");
        let cancel = request("POST", &format!("/walkers/{id}/cancel"), &host.token, b"");
        let ended = async {
            let answer = reader.ask(&wait).await?;
            anyhow::ensure!(answer.expect(200)?.contains("\"cancelled\""), "it was not cancelled: {answer:?}");
            Ok(Instant::now())
        };
        let asked = async {
            // By then the reader waits.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = Instant::now();
            asker.ask(&cancel).await?.expect(202)?;
            Ok(now)
        };
        let (ended, asked) = tokio::try_join!(ended, asked)?;
        times.push(ended.saturating_duration_since(asked));
    }
    Ok(times)
}

/// How late walkers begin that were put off, while many others wait for dates of their own.
async fn dates(host: &Host, client: &Client, waiting: i64) -> anyhow::Result<()> {
    // Another tenant's, in a few lanes: they are never due.
    let fill = "
        with l as (
            insert into lanes (tenant_id, walker, priority) select 0, 'later_' || n, 0 from generate_series(1, 10) n returning id),
        i as (select array_agg(id) ids from l)
        insert into queue (id, tenant_id, lane, execute_date)
        select gen_random_uuid(), 0, ids[1 + n % 10], now() + interval '1 day' + n * interval '1 ms'
        from i, generate_series(1, $1::int8) n";
    client.execute(fill, &[&waiting]).await?;
    client.batch_execute("analyze queue").await?;
    let mut connection = Connection::open(&host.address).await?;
    let began = Instant::now();
    for number in 0..DATES as u64 {
        let post = host.invocation(&format!("sample?delay={}ms", DELAY_MS + number * 7));
        connection.ask(&post).await?.expect(200)?;
    }
    let sql = "select extract(epoch from r.executed_date - w.execute_date)::float8
               from walkers w join results r using (id) where w.execute_date > w.created_at + interval '1 s' and w.walker = 'sample'";
    let late = loop {
        let rows = client.query(sql, &[]).await?;
        if rows.len() as i64 == DATES {
            break rows;
        }
        if began.elapsed() > DRAIN {
            bail!("{} of {DATES} walkers ran", rows.len());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let late = late.iter().map(|row| Duration::from_secs_f64(row.get::<_, f64>(0).max(0.0))).collect();
    let samples = Samples::new(late, Duration::from_secs(1));
    let title = format!("{DATES} walkers put off, {} others waiting", count(waiting as f64));
    let mut table = Table::new(&title, &["p50", "p99", "at most"]);
    table.row("due until claimed", &[0.5, 0.99, 1.0].map(|part| time(samples.percentile(part))));
    table.print();
    verdict("dates kept, at most", samples.percentile(1.0) * 1e3, " ms late", Goal::AtMost(250.0));
    Ok(())
}
