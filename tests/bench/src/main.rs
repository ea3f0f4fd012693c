//! `make bench`: how fast the host is, as ratios to bare wasmtime and bare Postgres doing the same on the same machine.
//!
//! Decides only what is measured in which order, and for how long.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod authentication;
mod backlog;
mod bare_postgres;
mod bare_wasmtime;
mod canary;
mod connection;
mod control;
mod database;
mod host;
mod idle;
mod lifecycle;
mod limits;
mod neighbours;
mod overload;
mod pace;
mod post;
mod process;
mod report;
mod sandbox;
mod stats;
mod steady;
mod threads;
mod tight_loops;
mod uploads;
mod volume;
mod wake;

use std::time::Duration;

use anyhow::{Context, bail};

// As in the host.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
    /// How often slots are used again while runs look for what others left.
    reuses: usize,
    /// How many walkers are put through one host, to see what they leave.
    lives: i64,
    /// How many spinning walkers are cancelled.
    cancels: usize,
    /// How many walkers wait for a date of their own while others come due.
    waiting: i64,
    /// How many of one tenant's walkers wait while another's are started.
    pending: i64,
}

/// About twenty minutes, of which the million reuses take four.
const FULL: Plan = Plan {
    rounds: 5,
    turn: Duration::from_millis(1_500),
    load: Duration::from_secs(4),
    starts: 5,
    reuses: 1_000_000,
    lives: volume::FULL,
    cancels: 200,
    waiting: 1_000_000,
    pending: 500_000,
};
/// About a minute: says whether it works, not how fast.
const QUICK: Plan = Plan {
    rounds: 1,
    turn: Duration::from_millis(1_000),
    load: Duration::from_secs(2),
    starts: 1,
    reuses: 20_000,
    lives: volume::QUICK,
    cancels: 20,
    waiting: 20_000,
    pending: 200_000,
};

/// What can be measured alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Sandbox,
    Limits,
    Loops,
    Canary,
    Host,
    Lives,
    Threads,
    Neighbours,
    Backlog,
    Uploads,
    Wake,
    Control,
    Volume,
}

/// `lives` is a part of `host`; `volume` takes too long to be a part of the whole.
const SECTIONS: [(&str, Section); 13] = [
    ("sandbox", Section::Sandbox),
    ("limits", Section::Limits),
    ("loops", Section::Loops),
    ("canary", Section::Canary),
    ("host", Section::Host),
    ("lives", Section::Lives),
    ("threads", Section::Threads),
    ("neighbours", Section::Neighbours),
    ("backlog", Section::Backlog),
    ("uploads", Section::Uploads),
    ("wake", Section::Wake),
    ("control", Section::Control),
    ("volume", Section::Volume),
];

fn main() -> anyhow::Result<()> {
    let mut plan = FULL;
    let mut wanted = Vec::new();
    for argument in std::env::args().skip(1) {
        match SECTIONS.iter().find(|(name, _)| *name == argument) {
            Some((_, section)) => wanted.push(*section),
            None if argument == "--quick" => plan = QUICK,
            None => {
                let names = SECTIONS.map(|(name, _)| name).join(", ");
                bail!("expected --quick or any of {names}; got {argument:?}")
            }
        }
    }
    if wanted.is_empty() {
        wanted = SECTIONS.map(|(_, section)| section).to_vec();
        wanted.retain(|section| !matches!(section, Section::Lives | Section::Volume));
    }
    let threads = std::thread::available_parallelism().context("cannot count the cores")?.get();
    report::machine(threads);
    let runtime = tokio::runtime::Runtime::new().context("cannot start the measuring threads")?;
    for section in wanted {
        match section {
            Section::Sandbox => sandbox::measure(plan, threads, &runtime)?,
            Section::Limits => limits::measure(plan, threads, &runtime)?,
            Section::Loops => tight_loops::measure(plan, &runtime)?,
            Section::Canary => canary::measure(plan, threads, &runtime)?,
            Section::Host => runtime.block_on(measure_host(plan))?,
            Section::Lives => runtime.block_on(measure_lives(plan))?,
            Section::Threads => runtime.block_on(threads::measure(plan))?,
            Section::Neighbours => runtime.block_on(neighbours::measure(plan, threads))?,
            Section::Backlog => runtime.block_on(backlog::measure(plan))?,
            Section::Uploads => runtime.block_on(uploads::measure(plan))?,
            Section::Wake => runtime.block_on(wake::measure(plan))?,
            Section::Control => runtime.block_on(control::measure(plan))?,
            Section::Volume => runtime.block_on(measure_volume(plan))?,
        }
    }
    Ok(())
}

async fn measure_lives(plan: Plan) -> anyhow::Result<()> {
    let folder = host::Folder::new()?;
    let host = host::Host::start(&folder).await?;
    host.publish().await?;
    let database = database::Database::of(&folder).await?;
    lifecycle::measure(plan, &host, &database).await?;
    host.stop().await
}

async fn measure_volume(plan: Plan) -> anyhow::Result<()> {
    let folder = host::Folder::new()?;
    let host = host::Host::start_with(&folder, |command| {
        command.args(["--slots", volume::SLOTS]);
    });
    let host = host.await?;
    host.publish().await?;
    let database = database::Database::of(&folder).await?;
    volume::measure(&host, &database, plan.lives).await?;
    idle::after_load(&host)?;
    host.stop().await
}

async fn measure_host(plan: Plan) -> anyhow::Result<()> {
    let (folder, host) = idle::measure(plan).await?;
    let database = database::Database::of(&folder).await?;
    post::measure(plan, &host, &database).await?;
    authentication::measure(plan, &host, &database).await?;
    let most = lifecycle::measure(plan, &host, &database).await?;
    pace::measure(plan, &host, most).await?;
    overload::measure(plan, &host, &database, most).await?;
    idle::after_load(&host)?;
    host.stop().await
}
