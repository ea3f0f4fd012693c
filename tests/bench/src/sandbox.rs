//! The sandbox alone, beside bare wasmtime doing the same.
//!
//! No HTTP, no database: effects that are answered at once.

use std::io::Write as _;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use walker_model::{Ended, Json, Limits, NodeId, WalkerId};
use walker_sandbox::{Config, Effects, Jail, JailLimits, Job, LogLine, Module, Refusal, Reply, Request, Sandbox, Stop};

use crate::bare_wasmtime::BareWasmtime;
use crate::report::{Goal, Table, count, ratio, time, verdict};
use crate::stats::{Samples, Summary};
use crate::{Plan, host};

/// The walker's fields before and after.
pub(crate) const BEFORE: &str = r#"{"value":0}"#;
pub(crate) const AFTER: &str = r#"{"value":1}"#;

/// Something that runs the walker once.
pub(crate) trait Side: Sync {
    /// Runs it in a store of its own, and makes sure that it did its work.
    fn run(&self) -> impl Future<Output = anyhow::Result<()>>;
}

/// Measures both sides on one thread and on all.
pub(crate) fn measure(plan: Plan, threads: usize, runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
    let wasm = walker_harness::module("seed");
    let bare = BareWasmtime::new(&wasm)?;
    let ours = runtime.block_on(Sandboxed::new(wasm.into()))?;
    let mut table =
        Table::new("Sandbox alone: `sample`, a fresh store for every run", &["runs/s", "p50", "p99", "of bare"]);
    let mut verdicts = Vec::new();
    let mut sizes = vec![1, threads];
    sizes.dedup();
    for threads in sizes {
        let (mut our_rounds, mut bare_rounds) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            our_rounds.push(drive(&ours, threads, plan.turn)?);
            bare_rounds.push(drive(&bare, threads, plan.turn)?);
        }
        let (our, bare) = (Summary::of(&our_rounds), Summary::of(&bare_rounds));
        let noun = if threads == 1 { "thread" } else { "threads" };
        for (name, side) in [("sandbox", our), ("bare wasmtime", bare)] {
            let cells = [count(side.rate), time(side.p50), time(side.p99), ratio(side.rate / bare.rate)];
            table.row(&format!("{name}, {threads} {noun}"), &cells);
        }
        verdicts.push((format!("sandbox of bare wasmtime, {threads} {noun}"), our.rate / bare.rate));
    }
    table.print();
    for (what, value) in verdicts {
        verdict(&what, value, "", Goal::AtLeast(0.6));
    }
    Ok(())
}

/// Runs one side on so many threads for so long.
fn drive<S: Side>(side: &S, threads: usize, turn: Duration) -> anyhow::Result<Samples> {
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
struct Sandboxed {
    sandbox: Sandbox,
    module: Module,
    job: Job,
    effects: Arc<dyn Effects>,
}

impl Sandboxed {
    async fn new(wasm: Bytes) -> anyhow::Result<Self> {
        let config = Config::default();
        let sandbox = Sandbox::new(config.clone())?;
        let mut module = tempfile::tempfile()?;
        module.write_all(&wasm)?;
        let jail = Jail::new(host::binary()?, config, JailLimits::default(), std::env::temp_dir());
        let admitted = jail.admit(&module).await?;
        let sample = admitted.definitions.iter().find(|definition| definition.name == "sample");
        let limits = sample.context("the module has no walker `sample`")?.limits(Limits::default());
        let root = NodeId::root(uuid::Uuid::now_v7());
        let job = Job {
            id: WalkerId::new("sample"),
            node_id: root.clone(),
            root_id: root,
            attempt: 1,
            fields: Json::parse(BEFORE.to_owned())?,
            reports: Vec::new(),
            custom: None,
            limits,
            seed: 7,
        };
        Ok(Self { module: sandbox.load(&admitted.artifact)?, sandbox, job, effects: Arc::new(Memory) })
    }
}

impl Side for Sandboxed {
    async fn run(&self) -> anyhow::Result<()> {
        let ran = self.sandbox.run(&self.module, self.job.clone(), self.effects.clone(), Stop::default());
        let outcome = ran.await?;
        let is_right = matches!(outcome.ended, Ended::Completed)
            && outcome.fields.as_ref().is_some_and(|fields| fields.as_str() == AFTER)
            && outcome.reports.len() == 1;
        ensure!(is_right, "the walker ended otherwise than it should: {outcome:?}");
        Ok(())
    }
}

/// Where every save succeeds at once and nobody reads what is printed.
struct Memory;

impl Effects for Memory {
    fn perform(&self, request: Request) -> BoxFuture<'_, Result<Reply, Refusal>> {
        let reply = match request {
            Request::Save { .. } => Ok(Reply::Saved),
            other => Err(Refusal::Fault(format!("`sample` does not ask for {other:?}"))),
        };
        async { reply }.boxed()
    }

    fn log(&self, line: LogLine) {
        std::hint::black_box(line);
    }
}
