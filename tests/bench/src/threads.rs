//! What a second runner thread adds to whole lives, of walkers that compute for longer than their rows take Postgres.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use tokio::task::JoinSet;

use crate::Plan;
use crate::connection::{Connection, request};
use crate::host::{Folder, Host};
use crate::report::{Goal, Table, count, ratio, verdict};
use crate::stats::median;

/// What each walker burns, some ten milliseconds' worth, until its budget ends it. Callers, host and Postgres take one to two
/// milliseconds a life where each of its three rows is a batch of its own, and on two cores they take them from both threads.
const FUEL: u64 = 200_000_000;
/// Callers who wait for each end: more than both threads run, fewer than the host has slots.
const CALLERS: usize = 16;

/// Measures hosts of one and of two threads, in turns, on one database.
pub(crate) async fn measure(plan: Plan) -> anyhow::Result<()> {
    let folder = Folder::new()?;
    let one = Host::start_with(&folder, |command| {
        command.args(["--threads", "1"]);
    });
    let one = one.await?;
    one.publish().await?;
    let quotas = format!(r#"{{"quotas":{{"fuel":{FUEL}}}}}"#);
    let change = request("PATCH", "/tenants/default", &one.operator, quotas.as_bytes());
    Connection::open(&one.address).await?.ask(&change).await?.expect(200)?;
    let (url, beside) = (folder.url()?, folder.beside()?);
    let two = Host::start_with(&beside, |command| {
        command.args(["--threads", "2"]).env("DATABASE_URL", &url);
    });
    let two = two.await?;

    let hosts = [&one, &two];
    let mut rates: [Vec<f64>; 2] = Default::default();
    for _ in 0..plan.rounds {
        for (host, rates) in hosts.iter().zip(&mut rates) {
            rates.push(lives(host, plan.turn).await?);
        }
    }
    let [one_rate, two_rate] = rates.map(|rates| median(rates.into_iter()));
    let title = format!("Whole lives of walkers that burn {} fuel, from {CALLERS} callers", count(FUEL as f64));
    let mut table = Table::new(&title, &["lives/s", "of one"]);
    table.row("one runner thread", &[count(one_rate), ratio(1.0)]);
    table.row("two runner threads", &[count(two_rate), ratio(two_rate / one_rate)]);
    table.print();
    verdict("whole lives, two runner threads of one", two_rate / one_rate, "", Goal::AtLeast(1.6));
    two.stop().await?;
    one.stop().await
}

/// Lives a second, each caller starting one after the other.
async fn lives(host: &Host, lasts: Duration) -> anyhow::Result<f64> {
    let request = host.invocation("spins?wait=30s");
    // The first one loads the module.
    Connection::open(&host.address).await?.ask(&request).await?.expect(200)?;
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (address, request) = (host.address.clone(), request.clone());
        callers.spawn(async move {
            let mut connection = Connection::open(&address).await?;
            let mut lives = 0_u32;
            while began.elapsed() < lasts {
                connection.ask(&request).await?.expect(200)?;
                lives += 1;
            }
            anyhow::Ok(lives)
        });
    }
    let mut lives = 0.0;
    while let Some(caller) = callers.join_next().await {
        lives += f64::from(caller.map_err(|error| anyhow!("a caller died: {error}"))??);
    }
    Ok(lives / began.elapsed().as_secs_f64())
}
