//! What all limits cost together: the sandbox, in turns as the host has it, beside bare wasmtime with fuel alone.
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
        let name = subject.parts().1;
        let ours = Arc::new(runtime.block_on(Sandboxed::new(subject, Config::default()))?);
        let bare = BareWasmtime::new(subject, Metering::Fuel, PagemapScan::Auto)?;
        let mut table = Table::new(
            &format!("All limits and turns: `{name}`, a fresh store for every run"),
            &["runs/s", "of bare", "processor a run", "of bare"],
        );
        let mut verdicts = Vec::new();
        let mut in_turns = Vec::new();
        for threads in &sizes {
            let mut rounds: [Vec<Cost>; 3] = Default::default();
            for _ in 0..plan.rounds {
                rounds[0].push(used(plan, || turns(&ours, *threads, plan.turn, runtime.handle()))?);
                rounds[1].push(used(plan, || Ok(drive(&*ours, *threads, plan.turn)?.rate()))?);
                rounds[2].push(used(plan, || Ok(drive(&bare, *threads, plan.turn)?.rate()))?);
            }
            let [turns, plain, bare] = rounds.map(|rounds| Cost {
                rate: median(rounds.iter().map(|round| round.rate)),
                cpu: median(rounds.iter().map(|round| round.cpu)),
            });
            let noun = if *threads == 1 { "thread" } else { "threads" };
            let names = ["all limits, in turns", "all limits", "bare wasmtime, fuel alone"];
            for (side, of) in names.iter().zip([turns, plain, bare]) {
                let cells = [count(of.rate), ratio(of.rate / bare.rate), time(of.cpu), ratio(of.cpu / bare.cpu)];
                table.row(&format!("{side}, {threads} {noun}"), &cells);
            }
            let what = format!("`{name}` with all limits, in turns, of fuel alone, {threads} {noun}");
            verdicts.push((what, turns.rate / bare.rate));
            in_turns.push((*threads, turns.rate));
        }
        table.print();
        for (what, value) in verdicts {
            match subject {
                Subject::Sample => verdict(&what, value, "", Goal::AtLeast(0.85)),
                // The goal is about runs; what metering costs a loop is in docs/decisions.
                Subject::Spins => println!("  {what}: {}", ratio(value)),
            }
        }
        if let [(1, one), (2, two), ..] = in_turns.as_slice() {
            verdict(&format!("`{name}` in turns, two threads of one"), two / one, "", Goal::AtLeast(1.7));
        }
    }
    Ok(())
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
