//! How soon one host runs what another has taken in: from the row's commit to its claim, both by the database's clock.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::Plan;
use crate::connection::Connection;
use crate::database::Database;
use crate::host::{Folder, Host};
use crate::report::{Goal, Table, time, verdict};
use crate::stats::Samples;

/// Posts in a second.
const RATE: u32 = 100;
/// After this the hosts have seen each other.
const ACQUAINTED: Duration = Duration::from_secs(3);
/// A host that takes longer has stopped working.
const DRAIN: Duration = Duration::from_secs(30);

/// Measures a host that takes in and a host that runs, on a new cluster.
pub(crate) async fn measure(plan: Plan) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let api = Host::start_with(&folder, |command| {
        command.args(["--role", "api"]);
    });
    let api = api.await?;
    api.publish().await?;
    let url = folder.url()?;
    let beside = folder.beside()?;
    let runner = Host::start_with(&beside, |command| {
        command.args(["--role", "runner"]).env("DATABASE_URL", &url);
    });
    let runner = runner.await?;
    let database = Database::of(&folder).await?;
    let client = database.connect().await?;
    tokio::time::sleep(ACQUAINTED).await;

    let mut connection = Connection::open(&api.address).await?;
    let post = api.invocation("sample");
    // The first one loads the module.
    connection.ask(&post).await?.expect(200)?;
    while database.is_busy(&client).await? {}
    let began = Instant::now();
    let turn = plan.turn * plan.rounds as u32;
    let mut pace = tokio::time::interval(Duration::from_secs(1) / RATE);
    let mut count = 0;
    while began.elapsed() < turn {
        pace.tick().await;
        connection.ask(&post).await?.expect(200)?;
        count += 1;
    }
    let elapsed = began.elapsed();
    while database.is_busy(&client).await? {
        ensure!(began.elapsed() < turn + DRAIN, "walkers do not end");
    }
    let sql = "select extract(epoch from r.executed_date - w.created_at)::float8
               from walkers w join results r using (id) order by id desc limit $1";
    let times = client.query(sql, &[&i64::from(count)]).await?;
    let times = times.iter().map(|row| Duration::from_secs_f64(row.get::<_, f64>(0).max(0.0))).collect();
    let samples = Samples::new(times, elapsed);
    let mut table = Table::new(&format!("An api host and a runner, {RATE} POSTs a second"), &["p50", "p99"]);
    table.row(
        "stored until claimed by the other host",
        &[time(samples.percentile(0.5)), time(samples.percentile(0.99))],
    );
    table.print();
    verdict("wake-up across hosts, p99", samples.percentile(0.99) * 1e3, " ms", Goal::AtMost(20.0));
    runner.stop().await?;
    api.stop().await
}
