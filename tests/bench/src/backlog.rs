//! One tenant has half a million walkers waiting: how long another's new walker takes.
//!
//! The rows are those that callers would have left, put there at once; the host takes them as fast as it can meanwhile.

use std::time::Duration;

use anyhow::ensure;
use tokio_postgres::Client;

use crate::Plan;
use crate::connection::{Connection, request};
use crate::database::Database;
use crate::host::{Folder, Host};
use crate::neighbours;
use crate::report::{Goal, Table, count, time, verdict};
use crate::stats::Samples;
use crate::steady::ask;

/// New walkers of the other tenant in a second.
const RATE: f64 = 50.0;
/// How long a run computes before it is another's turn: an epoch.
const SLICE_MS: f64 = 1.0;

/// Rows for `$1` more walkers like the latest that another than `$2` started, with ids of this moment.
const FILL: &str = "
    with model as (
        select w.*, l.id lane from walkers w
        join lanes l on l.tenant_id = w.tenant_id and l.walker = w.walker and l.priority = w.priority
        where w.tenant_id <> $2 order by w.id desc limit 1),
    u as materialized (
        select (lpad(to_hex((extract(epoch from now()) * 1000)::int8), 12, '0') || '7' || substr(md5(random()::text), 1, 3)
                || '8' || substr(md5(random()::text), 1, 15))::uuid id
        from generate_series(1, $1::int8)),
    w as (
        insert into walkers (id, tenant_id, walker, module_id, module_version, node_kind, node_id, root_id, execute_date, fields,
                             depth, priority)
        select u.id, m.tenant_id, m.walker, m.module_id, m.module_version, m.node_kind, m.node_id, m.root_id, now(), m.fields,
               m.depth, m.priority
        from u, model m)
    insert into queue (id, tenant_id, lane, execute_date, attempt) select u.id, m.tenant_id, m.lane, now(), 0 from u, model m";

/// How long walkers of `$1` that were stored since `$2` (in seconds) waited until they were started.
const WAITED: &str = "
    select extract(epoch from r.executed_date - w.created_at)::float8 from walkers w join results r using (id)
    where w.tenant_id = $1 and w.created_at >= to_timestamp($2)";

/// Measures with nobody else there, and beside the backlog.
pub(crate) async fn measure(plan: Plan) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let host = Host::start(&folder).await?;
    host.publish().await?;
    let other = neighbours::tenant(&host, "other").await?;
    let put = request("PUT", "/modules/faults", &other, &walker_harness::module("faults"));
    Connection::open(&host.address).await?.ask(&put).await?.expect(201)?;
    let client = Database::of(&folder).await?.connect().await?;
    let own = host.invocation("echo_later?wait=30s");
    let theirs = request("POST", "/walker/echo_later?wait=30s", &other, b"{}");
    for first in [&own, &theirs] {
        Connection::open(&host.address).await?.ask(first).await?.expect(200)?;
    }

    let tenant: i64 = client.query_one("select tenant_id from walkers order by id limit 1", &[]).await?.get(0);
    let (alone, alone_waited) = side(&host, &client, tenant, &own, plan).await?;
    client.execute(FILL, &[&plan.pending, &tenant]).await?;
    let before = waiting(&client).await?;
    let (beside, beside_waited) = side(&host, &client, tenant, &own, plan).await?;
    let after = waiting(&client).await?;
    ensure!(after > 0.0, "the backlog was gone before the measuring was");

    let title = format!("A tenant's new walkers, {RATE} a second");
    let mut table = Table::new(&title, &["POST → ended p50", "p99", "stored → started p50", "p99"]);
    let beside_name = format!("beside another's {} waiting, {} of them left in the end", count(before), count(after));
    for (name, lives, waited) in [("with nobody else", &alone, &alone_waited), (&beside_name, &beside, &beside_waited)]
    {
        let cells = [lives, waited].map(|side| [time(side.percentile(0.5)), time(side.percentile(0.99))]);
        table.row(name, &cells.concat());
    }
    table.print();
    let most = 2.0 * alone_waited.percentile(0.99) * 1e3 + SLICE_MS;
    verdict(
        "stored until started beside a backlog, p99",
        beside_waited.percentile(0.99) * 1e3,
        " ms",
        Goal::AtMost(most),
    );
    println!("  the rest is the machine's: the backlog is worked on with all there is of it");
    host.stop().await
}

/// How long the walkers of one side took, and how long they waited.
async fn side(
    host: &Host,
    client: &Client,
    tenant: i64,
    post: &[u8],
    plan: Plan,
) -> anyhow::Result<(Samples, Samples)> {
    let since: f64 = client.query_one("select extract(epoch from clock_timestamp())::float8", &[]).await?.get(0);
    let lives = ask(host, post.to_vec(), RATE, plan.load * 2).await?;
    let waited = client.query(WAITED, &[&tenant, &since]).await?;
    ensure!(waited.len() == lives.len(), "{} walkers were answered, but {} ended", lives.len(), waited.len());
    let waited = waited.iter().map(|row| Duration::from_secs_f64(row.get::<_, f64>(0).max(0.0))).collect();
    Ok((lives, Samples::new(waited, Duration::from_secs(1))))
}

/// How many rows wait.
async fn waiting(client: &Client) -> anyhow::Result<f64> {
    Ok(client.query_one("select count(*) from queue where owner is null", &[]).await?.get::<_, i64>(0) as f64)
}
