//! What one run holds while it lasts: its budgets, its streams, and what it has said so far.
//!
//! Knows nothing of wasmtime's store around it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use walker_model::{Json, Limits};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::sockets::WasiSocketsCtx;

use crate::abort::{Abort, Leash};
use crate::clock::Clock;
use crate::limiter::Limiter;
use crate::output::SharedOutput;
use crate::wasi::Random;
use crate::{Effects, Job, Stop};

/// How many WASI handles a guest may hold: Python's interpreter holds tens.
const MAX_HANDLES: usize = 1_000;

/// What one run holds while it lasts.
pub(crate) struct State {
    pub(crate) limits: Limits,
    pub(crate) limiter: Limiter,
    pub(crate) leash: Leash,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) output: SharedOutput,
    pub(crate) table: ResourceTable,
    pub(crate) filesystem: WasiFilesystemCtx,
    pub(crate) sockets: WasiSocketsCtx,
    pub(crate) effects: Arc<dyn Effects>,
    pub(crate) said: Said,
    phase: Phase,
    host_calls: u64,
}

/// What a run has said so far, beyond what it printed.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) reports: Vec<Json>,
    pub(crate) report_bytes: u64,
    /// The fields as last saved by this run.
    pub(crate) saved: Option<Json>,
    pub(crate) http_status: Option<u16>,
    pub(crate) custom: Option<Json>,
    /// What the guest's panic hook told.
    pub(crate) panic: Option<Panic>,
}

/// A panic, as the guest's hook told it.
#[derive(Debug)]
pub(crate) struct Panic {
    pub(crate) message: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

/// What the guest was called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Describing,
    Running,
}

/// What a store needs to begin with, whatever it is for.
pub(crate) struct Start {
    pub(crate) limits: Limits,
    pub(crate) seed: u64,
    pub(crate) stop: Stop,
    pub(crate) started: Instant,
    pub(crate) clock_resolution: Duration,
    pub(crate) effects: Arc<dyn Effects>,
}

impl State {
    /// For one run.
    pub(crate) fn running(start: Start, job: &Job) -> Self {
        let said = Said {
            report_bytes: job.reports.iter().map(|report| report.len() as u64).sum(),
            reports: job.reports.clone(),
            ..Said::default()
        };
        Self::new(start, said, Phase::Running)
    }

    /// For asking a module what it defines.
    pub(crate) fn describing(start: Start) -> Self {
        Self::new(start, Said::default(), Phase::Describing)
    }

    fn new(start: Start, said: Said, phase: Phase) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self {
            limiter: Limiter::new(&start.limits),
            leash: Leash::new(start.stop, start.started, start.limits.time()),
            clock: Clock::new(start.started, start.clock_resolution),
            random: Random::new(start.seed),
            output: SharedOutput::new(Arc::clone(&start.effects), start.limits.log_bytes),
            table,
            filesystem: WasiFilesystemCtx::default(),
            sockets: WasiSocketsCtx::default(),
            limits: start.limits,
            effects: start.effects,
            said,
            phase,
            host_calls: 0,
        }
    }

    /// Counts a call to the host, which `describe` may not make at all.
    pub(crate) fn count_call(&mut self, name: &'static str) -> Result<(), Abort> {
        if self.phase == Phase::Describing {
            return Err(Abort::Describing(name));
        }
        if self.host_calls >= self.limits.host_calls {
            return Err(Abort::Calls);
        }
        self.host_calls += 1;
        Ok(())
    }

    /// How often the host was asked.
    pub(crate) fn host_calls(&self) -> u64 {
        self.host_calls
    }
}
