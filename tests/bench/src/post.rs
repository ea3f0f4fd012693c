//! One caller at a time: how long a walker takes until it is stored, and until it has ended.
//!
//! Beside it, the same statements on one connection to the same Postgres.

use std::time::{Duration, Instant};

use crate::Plan;
use crate::bare_postgres::{Bare, Model, insert_times, lifecycle_times};
use crate::connection::Connection;
use crate::database::Database;
use crate::host::Host;
use crate::report::{Goal, Table, ratio, time, verdict};
use crate::stats::{Samples, Summary};

/// Measures all four in turns.
pub(crate) async fn measure(plan: Plan, host: &Host, database: &Database) -> anyhow::Result<()> {
    let mut connection = Connection::open(&host.address).await?;
    let (post, post_and_wait) = (host.invocation("sample"), host.invocation("sample?wait=30s"));
    // The first runs load the module and fill caches.
    for _ in 0..50 {
        ended(connection.ask(&post_and_wait).await?.expect(200)?)?;
    }
    let client = database.connect().await?;
    anyhow::ensure!(database.is_durable(&client).await?, "the host's Postgres is not durable");
    let model = Model::of(&client).await?;
    let bare = Bare::connect(database, &model).await?;

    let mut rounds: [Vec<Samples>; 4] = Default::default();
    for _ in 0..plan.rounds {
        rounds[0].push(ask(&mut connection, &post, plan.turn).await?);
        rounds[1].push(insert_times(&bare, plan.turn).await?);
        rounds[2].push(ask(&mut connection, &post_and_wait, plan.turn).await?);
        rounds[3].push(lifecycle_times(&bare, plan.turn).await?);
    }
    let title = "One caller at a time, durable (`sample` saves once, so that its life has three commits)";
    let mut table = Table::new(title, &["p50", "p99", "of bare p50"]);
    let names = [
        "POST until committed",
        "bare insert, one row",
        "POST ?wait= until its end is answered",
        "bare insert, save, complete, one row",
    ];
    let summaries = rounds.map(|rounds| Summary::of(&rounds));
    for (at, (name, side)) in names.iter().zip(summaries).enumerate() {
        let bare = summaries[at | 1];
        table.row(name, &[time(side.p50), time(side.p99), ratio(side.p50 / bare.p50)]);
    }
    table.print();
    verdict("POST until committed, p50", summaries[0].p50 * 1e3, " ms", Goal::AtMost(3.0));
    verdict("POST until ended, p50", summaries[2].p50 * 1e3, " ms", Goal::AtMost(6.0));
    Ok(())
}

async fn ask(connection: &mut Connection, request: &[u8], turn: Duration) -> anyhow::Result<Samples> {
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < turn {
        let sent = Instant::now();
        connection.ask(request).await?.expect(200)?;
        times.push(sent.elapsed());
    }
    Ok(Samples::new(times, began.elapsed()))
}

/// Makes sure that an answer tells of a walker that ended well.
fn ended(view: &str) -> anyhow::Result<()> {
    anyhow::ensure!(view.contains(r#""status":"completed""#), "the walker did not end well: {view}");
    Ok(())
}
