//! What all limits cost: bare wasmtime with all that the sandbox sets beside the same with fuel alone, and what the sandbox
//! and the host's turns add to that.
//!
//! No HTTP, no database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use walker_model::TenantId;
use walker_sandbox::{Config, PagemapScan, Stop};
use walker_server::runner::{Ticket, Turns, Weight};

use crate::Plan;
use crate::bare_wasmtime::{BareWasmtime, Metering};
use crate::process;
use crate::report::{Goal, Table, count, ratio, time, verdict};
use crate::sandbox::{Sandboxed, Side, Subject, drive};
use crate::stats::median;

/// Runs that wait for a turn, for each thread: one is always ready when another ends.
const WAITING: usize = 2;

/// Measures a small walker and one that spins, on one thread, on two and on all.
pub(crate) fn measure(plan: Plan, threads: usize, runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
    let mut sizes = vec![1, 2.min(threads), threads];
    sizes.dedup();
    for subject in [Subject::Sample, Subject::Spins] {
        let ours = Arc::new(runtime.block_on(Sandboxed::new(subject, Config::default()))?);
        let limited = BareWasmtime::new(subject, Metering::All, PagemapScan::Auto)?;
        let bare = BareWasmtime::new(subject, Metering::Fuel, PagemapScan::Auto)?;
        let mut rounds: Vec<[Vec<Cost>; 4]> = sizes.iter().map(|_| Default::default()).collect();
        for _ in 0..plan.rounds {
            // All sizes in each round: what the machine does meanwhile must not pass for what another thread adds.
            for (threads, rounds) in sizes.iter().zip(&mut rounds) {
                rounds[0].push(used(plan, || turns(&ours, *threads, plan.turn, runtime.handle()))?);
                rounds[1].push(used(plan, || Ok(drive(&*ours, *threads, plan.turn)?.rate()))?);
                rounds[2].push(used(plan, || Ok(drive(&limited, *threads, plan.turn)?.rate()))?);
                rounds[3].push(used(plan, || Ok(drive(&bare, *threads, plan.turn)?.rate()))?);
            }
        }
        print(subject, &sizes, &rounds);
    }
    Ok(())
}

/// What the rounds came to, on each number of threads.
fn print(subject: Subject, sizes: &[usize], rounds: &[[Vec<Cost>; 4]]) {
    let name = subject.parts().1;
    let title = format!("Limits and turns: `{name}`, a fresh store for every run");
    let mut table = Table::new(&title, &["runs/s", "of bare", "processor a run", "of bare"]);
    let names = ["sandbox, in turns", "sandbox", "bare wasmtime, all limits", "bare wasmtime, fuel alone"];
    let mut costs = Vec::new();
    for (threads, sides) in sizes.iter().zip(rounds) {
        let noun = if *threads == 1 { "thread" } else { "threads" };
        let sides = sides.each_ref().map(|rounds| Cost {
            rate: median(rounds.iter().map(|round| round.rate)),
            cpu: median(rounds.iter().map(|round| round.cpu)),
        });
        let [.., bare] = sides;
        for (side, of) in names.iter().zip(sides) {
            let cells = [count(of.rate), ratio(of.rate / bare.rate), time(of.cpu), ratio(of.cpu / bare.cpu)];
            table.row(&format!("{side}, {threads} {noun}"), &cells);
        }
        costs.push((format!("{threads} {noun}"), sides));
    }
    table.print();
    for (threads, [.., limited, bare]) in &costs {
        let what = format!("`{name}` with all limits, of fuel alone, by processor time, {threads}");
        match subject {
            Subject::Sample => verdict(&what, bare.cpu / limited.cpu, "", Goal::AtLeast(0.85)),
            // The goal is about runs; what metering costs a loop is in docs/decisions.
            Subject::Spins => println!("  {what}: {}", ratio(bare.cpu / limited.cpu)),
        }
    }
    if let [(_, one), (_, two), ..] = costs.as_slice() {
        let [more, .., bare] = [0, 1, 2, 3].map(|side| two[side].rate / one[side].rate);
        verdict(&format!("`{name}` in turns, two threads of one"), more, "", Goal::AtLeast(1.7));
        println!("  the same on bare wasmtime, fuel alone: {}", ratio(bare));
    }
}

/// What one side did in one round: runs a second, and the processor time of each, which other work on the machine
/// changes least.
#[derive(Clone, Copy)]
struct Cost {
    rate: f64,
    cpu: f64,
}

/// Lets one side run for a turn.
fn used(plan: Plan, side: impl FnOnce() -> anyhow::Result<f64>) -> anyhow::Result<Cost> {
    let before = process::cpu(std::process::id())?;
    let rate = side()?;
    let cpu = process::cpu(std::process::id())? - before;
    Ok(Cost { rate, cpu: cpu / (rate * plan.turn.as_secs_f64()) })
}

/// Runs a second on so many threads that take turns: each run starts another as it ends.
fn turns<S: Side>(
    side: &Arc<S>,
    threads: usize,
    turn: Duration,
    timers: &tokio::runtime::Handle,
) -> anyhow::Result<f64> {
    let turns = Turns::default();
    let chains = Arc::new(Chains::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let _timers = timers.enter();
                turns.work();
            });
        }
        let began = Instant::now();
        (0..threads * WAITING).for_each(|_| chains.clone().go_on(turns.clone(), side.clone()));
        std::thread::sleep(turn);
        chains.is_over.store(true, Relaxed);
        let (done, elapsed) = (chains.done.load(Relaxed), began.elapsed());
        turns.close();
        ensure!(!chains.has_failed.load(Relaxed), "a run in turns failed");
        Some(done as f64 / elapsed.as_secs_f64()).filter(|rate| *rate > 0.0).context("nothing ran")
    })
}

#[derive(Default)]
struct Chains {
    done: AtomicUsize,
    is_over: AtomicBool,
    has_failed: AtomicBool,
}

impl Chains {
    /// Starts a run, and when that ends another.
    fn go_on<S: Side>(self: Arc<Self>, turns: Turns, side: Arc<S>) {
        let ticket = Ticket::new(TenantId(1), Weight::MIN, Stop::default(), Duration::from_secs(60));
        let again = turns.clone();
        drop(turns.spawn(ticket, async move {
            if side.run().await.is_err() {
                self.has_failed.store(true, Relaxed);
            }
            self.done.fetch_add(1, Relaxed);
            if !self.is_over.load(Relaxed) {
                self.go_on(again, side);
            }
        }));
    }
}
