//! The sandbox alone, beside bare wasmtime doing the same.
//!
//! No HTTP, no database: effects that are answered at once.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;
use walker_model::{Code, Ended, Json, Limits, NodeId, UploadCost, WalkerId};
use walker_sandbox::{
    Config, Effects, Jail, JailLimits, Job, LogLine, Module, PagemapScan, Refusal, Reply, Request, Sandbox, Stop,
};

use crate::bare_wasmtime::{BareWasmtime, Metering};
use crate::report::{Goal, Table, count, ratio, time, verdict};
use crate::stats::{Samples, Summary};
use crate::{Plan, host};

/// The walker's fields before and after.
pub(crate) const BEFORE: &str = r#"{"value":0}"#;
pub(crate) const AFTER: &str = r#"{"value":1}"#;
/// What a spinning walker may burn: some ten milliseconds.
pub(crate) const SPIN_FUEL: u64 = 50_000_000;

/// Which walker is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Little work: what a run costs.
    Sample,
    /// A tight loop until its fuel is gone: what metering costs.
    Spins,
}

impl Subject {
    /// The module that holds it, its name and its fields.
    pub(crate) fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Sample => ("seed", "sample", BEFORE),
            Self::Spins => ("faults", "spins", r#"{"stage":"begun"}"#),
        }
    }
}

/// Something that runs the walker once.
pub(crate) trait Side: Send + Sync + 'static {
    /// Runs it in a store of its own, and makes sure that it did its work.
    fn run(&self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Measures both sides on one thread, on two and on all.
pub(crate) fn measure(plan: Plan, threads: usize, runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
    let mut sizes = vec![1, 2.min(threads), threads];
    sizes.dedup();
    let mut cases: Vec<_> = sizes.into_iter().map(|threads| (threads, PagemapScan::Auto)).collect();
    cases.push((1, PagemapScan::Off));
    let mut sides = Vec::new();
    for (threads, pagemap_scan) in cases {
        let config = Config { pagemap_scan, ..Config::default() };
        let ours = runtime.block_on(Sandboxed::new(Subject::Sample, config))?;
        let bare = BareWasmtime::new(Subject::Sample, Metering::FuelAndEpochs, pagemap_scan)?;
        sides.push((threads, pagemap_scan, ours, bare, [Vec::new(), Vec::new()]));
    }
    for _ in 0..plan.rounds {
        // All cases in each round: what the machine does meanwhile must not pass for what another thread adds.
        for (threads, _, ours, bare, [our_rounds, bare_rounds]) in &mut sides {
            our_rounds.push(drive(ours, *threads, plan.turn)?);
            bare_rounds.push(drive(bare, *threads, plan.turn)?);
        }
    }

    let mut table =
        Table::new("Sandbox alone: `sample`, a fresh store for every run", &["runs/s", "p50", "p99", "of bare"]);
    let mut summaries = Vec::new();
    for (threads, scan, .., [our_rounds, bare_rounds]) in &sides {
        let (our, bare) = (Summary::of(our_rounds), Summary::of(bare_rounds));
        let noun = if *threads == 1 { "thread" } else { "threads" };
        let note = if *scan == PagemapScan::Off { ", no pagemap scan" } else { "" };
        let case = format!("{threads} {noun}{note}");
        for (name, side) in [("sandbox", &our), ("bare wasmtime", &bare)] {
            let cells = [count(side.rate), time(side.p50), time(side.p99), ratio(side.rate / bare.rate)];
            table.row(&format!("{name}, {case}"), &cells);
        }
        summaries.push((case, our, bare));
    }
    table.print();
    for (case, our, bare) in &summaries {
        verdict(&format!("sandbox of bare wasmtime, {case}"), our.rate / bare.rate, "", Goal::AtLeast(0.8));
    }
    verdict("sandbox, one run on one thread, p50", summaries[0].1.p50 * 1e6, " µs", Goal::AtMost(40.0));
    if let [(_, our_one, bare_one), (_, our_two, bare_two), _, _, ..] = summaries.as_slice() {
        verdict("sandbox, two threads of one", our_two.rate / our_one.rate, "", Goal::AtLeast(1.7));
        println!("  the same on bare wasmtime: {}", ratio(bare_two.rate / bare_one.rate));
    }
    Ok(())
}

/// Runs one side on so many threads for so long.
pub(crate) fn drive<S: Side>(side: &S, threads: usize, turn: Duration) -> anyhow::Result<Samples> {
    let ready = Barrier::new(threads);
    let one_thread = || -> anyhow::Result<Vec<Duration>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        ready.wait();
        runtime.context("cannot start a measuring thread")?.block_on(async {
            let mut times = Vec::with_capacity(1 << 17);
            let until = Instant::now() + turn;
            let mut last = Instant::now();
            while last < until {
                side.run().await?;
                let now = Instant::now();
                times.push(now - last);
                last = now;
            }
            Ok(times)
        })
    };
    let times = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one_thread)).collect();
        let done = running.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a measuring thread died"))?);
        done.collect::<anyhow::Result<Vec<_>>>()
    });
    Ok(Samples::new(times?.concat(), turn))
}

/// The walker in the host's sandbox, admitted as an upload is.
pub(crate) struct Sandboxed {
    subject: Subject,
    sandbox: Sandbox,
    module: Module,
    job: Job,
    effects: Arc<dyn Effects>,
}

impl Sandboxed {
    /// Admits and loads the walker.
    pub(crate) async fn new(subject: Subject, config: Config) -> anyhow::Result<Self> {
        let (module, name, fields) = subject.parts();
        let sandbox = Sandbox::new(config.clone())?;
        let jail = Jail::new(host::binary()?, config, JailLimits::default(), UploadCost::DEFAULT, std::env::temp_dir());
        let admitted = jail.admit(&file(&walker_harness::module(module))?, &UploadCost::DEFAULT).await?;
        let definition = admitted.definitions.iter().find(|definition| definition.name == name);
        let mut limits = definition.with_context(|| format!("there is no walker {name}"))?.limits(Limits::default());
        if subject == Subject::Spins {
            limits.fuel = SPIN_FUEL;
        }
        Ok(Self {
            subject,
            module: sandbox.load(&admitted.artifact)?,
            sandbox,
            job: job(name, fields, limits)?,
            effects: Arc::new(Memory),
        })
    }
}

/// A job for a walker without anything around it.
pub(crate) fn job(name: &str, fields: &str, limits: Limits) -> anyhow::Result<Job> {
    let root = NodeId::root(uuid::Uuid::now_v7());
    Ok(Job {
        id: WalkerId::new(name),
        node_id: root.clone(),
        root_id: root,
        attempt: 1,
        fields: Json::parse(fields.to_owned())?,
        reports: Vec::new(),
        custom: None,
        limits,
        seed: [7; 32],
    })
}

impl Side for Sandboxed {
    async fn run(&self) -> anyhow::Result<()> {
        let ran = self.sandbox.run(&self.module, self.job.clone(), self.effects.clone(), Stop::default());
        let outcome = ran.await?;
        let is_right = match self.subject {
            Subject::Sample => {
                matches!(outcome.ended, Ended::Completed)
                    && outcome.fields.as_ref().is_some_and(|fields| fields.as_str() == AFTER)
                    && outcome.reports.len() == 1
            }
            Subject::Spins => outcome.failure().is_some_and(|failure| failure.code == Code::LimitFuel),
        };
        ensure!(is_right, "the walker ended otherwise than it should: {outcome:?}");
        Ok(())
    }
}

/// A module as an upload comes: in a file without a name.
pub(crate) fn file(module: &[u8]) -> anyhow::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(module)?;
    Ok(file)
}

/// Where every save succeeds at once and nobody reads what is printed.
pub(crate) struct Memory;

impl Effects for Memory {
    fn perform(&self, request: Request) -> BoxFuture<'_, Result<Reply, Refusal>> {
        let reply = match request {
            Request::Save { .. } => Ok(Reply::Saved),
            other => Err(Refusal::Fault(format!("nobody here asks for {other:?}"))),
        };
        async { reply }.boxed()
    }

    fn log(&self, line: LogLine) {
        std::hint::black_box(line);
    }
}
