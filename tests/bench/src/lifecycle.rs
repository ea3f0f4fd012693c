//! Whole lives under load: many callers at once, until everything they started has ended.
//!
//! Beside it, the same rows by bare statements, and who used the processors.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};

use crate::Plan;
use crate::bare_postgres::{self, Lifecycle, Model};
use crate::connection::Connection;
use crate::database::Database;
use crate::host::Host;
use crate::process;
use crate::report::{Goal, Table, count, ratio, time, verdict};
use crate::stats::{Samples, median};

/// Callers at once, each with a connection of its own.
pub(crate) const CALLERS: usize = 256;
/// How often is looked whether everything has ended.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
/// A host that takes longer has stopped working.
pub(crate) const DRAIN: Duration = Duration::from_secs(120);

/// What one round of load showed.
struct Load {
    posts: Samples,
    /// Lives per second, from the first POST to the last result.
    rate: f64,
    /// How long the last results took once nobody sent any more.
    drain: f64,
    used: Used,
}

/// Processor time of one round, in seconds.
#[derive(Clone, Copy)]
struct Used {
    callers: f64,
    host: f64,
    postgres: f64,
    others: f64,
    elapsed: f64,
    lives: f64,
}

/// One walker, and the bare statements that write the rows of its life.
struct Side {
    walker: &'static str,
    lifecycle: Lifecycle,
    ours: &'static str,
    theirs: &'static str,
}

const SIDES: [Side; 2] = [
    Side {
        walker: "echo_later",
        lifecycle: Lifecycle::Plain,
        ours: "`echo_later`: POST, commit, run, report, commit",
        theirs: "bare statements: insert and complete",
    },
    Side {
        walker: "sample",
        lifecycle: Lifecycle::Saving,
        ours: "`sample`: POST, commit, run, save and commit, report, commit",
        theirs: "bare statements: insert, save and complete",
    },
];

/// Measures the host and the bare statements in turns. Answers how many lives of `echo_later` there were in a second.
pub(crate) async fn measure(plan: Plan, host: &Host, database: &Database) -> anyhow::Result<f64> {
    let client = database.connect().await?;
    // Nobody hurries: three turns of the load take as long as five of anything else.
    let rounds = plan.rounds.min(3);
    let mut loads: [Vec<Load>; SIDES.len()] = Default::default();
    let mut bare: [Vec<f64>; SIDES.len()] = Default::default();
    for _ in 0..rounds {
        for (at, side) in SIDES.iter().enumerate() {
            loads[at].push(load(host, database, &client, side.walker, plan.load).await?);
            // The latest walker is one of these.
            let model = Model::of(&client).await?;
            bare[at].push(bare_postgres::rate(database, &model, side.lifecycle, plan.load / 2).await?);
        }
    }

    let title = format!("Whole lives from {CALLERS} callers, until the backlog is gone, durable");
    let mut table = Table::new(&title, &["lives/s", "of bare"]);
    let mut rates = [[0.0; 2]; SIDES.len()];
    for (at, side) in SIDES.iter().enumerate() {
        let (ours, theirs) = (median(loads[at].iter().map(|load| load.rate)), median(bare[at].iter().copied()));
        table.row(side.ours, &[count(ours), ratio(ours / theirs)]);
        table.row(side.theirs, &[count(theirs), ratio(1.0)]);
        rates[at] = [ours, ours / theirs];
    }
    table.print();
    for (side, [_, ratio]) in SIDES.iter().zip(rates) {
        verdict(&format!("lives of `{}` of bare statements", side.walker), ratio, "", Goal::AtLeast(0.25));
    }
    for (side, loads) in SIDES.iter().zip(&loads) {
        let over = |value: fn(&Load) -> f64| median(loads.iter().map(value));
        println!(
            "  `{}`: {} POSTs/s answered, p50 {}, p99 {}; the backlog took another {}",
            side.walker,
            count(over(|load| load.posts.rate())),
            time(over(|load| load.posts.percentile(0.50))),
            time(over(|load| load.posts.percentile(0.99))),
            time(over(|load| load.drain))
        );
    }
    for (side, loads) in SIDES.iter().zip(&loads) {
        who_worked(side.walker, loads);
    }
    Ok(rates[0][0])
}

fn who_worked(walker: &str, loads: &[Load]) {
    let mut table = Table::new(&format!("Who used the processors meanwhile, `{walker}`"), &["µs a life", "cores"]);
    let mut who = |name: &str, value: fn(Used) -> f64| {
        let each = median(loads.iter().map(|load| value(load.used) / load.used.lives * 1e6));
        let cores = median(loads.iter().map(|load| value(load.used) / load.used.elapsed));
        table.row(name, &[count(each), format!("{cores:.2}")]);
        cores
    };
    let callers = who("callers (this program)", |used| used.callers);
    who("host", |used| used.host);
    who("Postgres", |used| used.postgres);
    let others = who("anything else, the kernel included", |used| used.others);
    table.print();
    if callers > 0.9 {
        println!(
            "  NOTE: the callers had no more than one thread and needed it: the host could do more than was asked of it."
        );
    }
    if others > 0.5 {
        println!("  NOTE: something else used {others:.1} cores: the ratios above are worth less.");
    }
}

/// Sends for so long, then waits until everything has ended.
async fn load(
    host: &Host,
    database: &Database,
    client: &tokio_postgres::Client,
    walker: &str,
    turn: Duration,
) -> anyhow::Result<Load> {
    let before = database.results(client).await?;
    let mut used = usage(host, database)?;
    let began = Instant::now();
    let (address, request) = (host.address.clone(), host.invocation(walker));
    // A thread of their own with a runtime of its own: cheaper than many, and a known limit.
    let callers = tokio::task::spawn_blocking(move || callers(&address, &request, turn));
    let posts = callers.await.map_err(|error| anyhow!("the callers died: {error}"))??;
    let posted = Instant::now();
    while database.is_busy(client).await? {
        ensure!(posted.elapsed() < DRAIN, "walkers have not ended {DRAIN:?} after the last was sent");
        tokio::time::sleep(LOOK).await;
    }
    let elapsed = began.elapsed().as_secs_f64();
    let after = usage(host, database)?;
    let lives = database.results(client).await? - before;
    ensure!(lives as usize == posts.len(), "{} walkers were accepted, but {lives} ended", posts.len());
    used = Used {
        callers: after.callers - used.callers,
        host: after.host - used.host,
        postgres: after.postgres - used.postgres,
        others: after.others - used.others,
        elapsed,
        lives: lives as f64,
    };
    let drain = posted.elapsed().as_secs_f64();
    Ok(Load { posts, rate: lives as f64 / elapsed, drain, used })
}

/// Sends as fast as answers come, for so long.
pub(crate) fn callers(address: &str, request: &[u8], turn: Duration) -> anyhow::Result<Samples> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the callers")?;
    runtime.block_on(async {
        let connections = (0..CALLERS).map(|_| Connection::open(address));
        let connections = futures::future::try_join_all(connections).await?;
        let (began, stop) = (Instant::now(), AtomicBool::new(false));
        let calls = connections.into_iter().map(|mut connection| {
            let stop = &stop;
            async move {
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let answer = connection.ask(request).await?;
                    // The tenant has as many waiting as it may.
                    if answer.status != 429 {
                        answer.expect(200)?;
                        times.push(sent.elapsed());
                    }
                    if began.elapsed() > turn {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                anyhow::Ok(times)
            }
        });
        let times = futures::future::try_join_all(calls).await?;
        Ok(Samples::new(times.concat(), began.elapsed()))
    })
}

/// Processor time until now. `others` is the rest of the machine.
fn usage(host: &Host, database: &Database) -> anyhow::Result<Used> {
    let callers = process::cpu(std::process::id())?;
    let (host, postgres) = (process::cpu(host.pid()?)?, process::family_cpu(database.postmaster)?);
    let others = process::machine_cpu()? - callers - host - postgres;
    Ok(Used { callers, host, postgres, others, elapsed: 0.0, lives: 0.0 })
}
