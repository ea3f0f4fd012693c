//! `make bench`: how fast the host is, as ratios to bare wasmtime and bare Postgres doing the same on the same machine.
//!
//! Decides only what is measured in which order, and for how long.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod bare_postgres;
mod bare_wasmtime;
mod connection;
mod database;
mod host;
mod idle;
mod lifecycle;
mod post;
mod process;
mod report;
mod sandbox;
mod stats;
mod volume;
mod wake;

use std::time::Duration;

use anyhow::{Context, bail};

// As in the host.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long and how often everything is measured.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Each comparison is made this often, its sides taking turns; the median is printed.
    rounds: usize,
    /// How long one side of a comparison runs in one round.
    turn: Duration,
    /// The same where a backlog has to build up.
    load: Duration,
    /// How often the host is started.
    starts: usize,
}

/// About three minutes.
const FULL: Plan = Plan { rounds: 5, turn: Duration::from_millis(1_500), load: Duration::from_secs(4), starts: 5 };
/// About half a minute: says whether it works, not how fast.
const QUICK: Plan = Plan { rounds: 1, turn: Duration::from_millis(1_000), load: Duration::from_secs(2), starts: 1 };

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = || tokio::runtime::Runtime::new().context("cannot start the measuring threads");
    let plan = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => FULL,
        ["--quick"] => QUICK,
        // Takes too long to be a part of the whole.
        ["--only", "volume"] => return alone(volume::FULL),
        ["--only", "volume", "--quick"] => return alone(volume::QUICK),
        ["--only", "wake"] => return runtime()?.block_on(wake::measure(FULL)),
        _ => bail!("expected nothing, --quick, --only volume or --only wake, got {arguments:?}"),
    };
    let threads = std::thread::available_parallelism().context("cannot count the cores")?.get();
    report::machine(threads);
    let runtime = runtime()?;
    sandbox::measure(plan, threads, &runtime)?;
    runtime.block_on(measure_host(plan))
}

/// `lives` walkers through a new host.
fn alone(lives: i64) -> anyhow::Result<()> {
    report::machine(std::thread::available_parallelism().context("cannot count the cores")?.get());
    tokio::runtime::Runtime::new().context("cannot start the measuring threads")?.block_on(async {
        let folder = host::Folder::new()?;
        let host = host::Host::start(&folder).await?;
        host.publish().await?;
        let database = database::Database::of(&folder).await?;
        volume::measure(&host, &database, lives).await?;
        idle::after_load(&host)?;
        host.stop().await
    })
}

async fn measure_host(plan: Plan) -> anyhow::Result<()> {
    let (folder, host) = idle::measure(plan).await?;
    let database = database::Database::of(&folder).await?;
    post::measure(plan, &host, &database).await?;
    lifecycle::measure(plan, &host, &database).await?;
    idle::after_load(&host)?;
    host.stop().await
}
