//! What one run holds while it lasts: its budgets, its streams, and what it has said so far.
//!
//! Knows nothing of wasmtime's store around it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use walker_model::{Json, Limits, Usage};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::sockets::WasiSocketsCtx;

use crate::abort::{Abort, Leash};
use crate::charge::Charges;
use crate::clock::Clock;
use crate::held::Held;
use crate::limiter::Limiter;
use crate::output::SharedOutput;
use crate::wasi::Random;
use crate::{Effects, Job, Stop};

/// What a report takes beside its own bytes: its place in the list, and what an allocation costs.
const REPORT_BYTES: u64 = 64;

/// What one run holds while it lasts.
pub(crate) struct State {
    pub(crate) limits: Limits,
    pub(crate) limiter: Limiter,
    pub(crate) held: Held,
    pub(crate) leash: Leash,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) output: SharedOutput,
    pub(crate) table: ResourceTable,
    pub(crate) filesystem: WasiFilesystemCtx,
    pub(crate) sockets: WasiSocketsCtx,
    pub(crate) effects: Arc<dyn Effects>,
    pub(crate) said: Said,
    pub(crate) charges: Charges,
    phase: Phase,
    host_calls: u64,
    largest_call: u64,
    /// How much stack its calls used, in bytes.
    pub(crate) stack_peak: u64,
}

/// What a run has said so far, beyond what it printed.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) reports: Vec<Json>,
    pub(crate) report_bytes: u64,
    /// The fields as last saved by this run.
    pub(crate) saved: Option<Json>,
    /// The largest fields that it was given, saved or left behind.
    pub(crate) fields_bytes: u64,
    /// The largest custom value.
    pub(crate) custom_bytes: u64,
    pub(crate) spawns: u64,
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
    pub(crate) seed: [u8; 32],
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
            fields_bytes: job.fields.len() as u64,
            custom_bytes: job.custom.as_ref().map_or(0, |custom| custom.len() as u64),
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
        table.set_max_capacity(usize::try_from(start.limits.handles).unwrap_or(usize::MAX));
        let charges = Charges::new(start.limits.fuel);
        let output = SharedOutput::new(Arc::clone(&start.effects), start.limits, charges.clone(), start.started);
        Self {
            limiter: Limiter::new(&start.limits, Arc::clone(&start.effects)),
            held: Held::new(Arc::clone(&start.effects)),
            leash: Leash::new(start.stop, start.started, start.limits.time()),
            clock: Clock::new(start.started, start.clock_resolution),
            random: Random::new(start.seed),
            output,
            table,
            filesystem: WasiFilesystemCtx::default(),
            sockets: WasiSocketsCtx::default(),
            limits: start.limits,
            effects: start.effects,
            said,
            charges,
            phase,
            host_calls: 0,
            largest_call: 0,
            stack_peak: 0,
        }
    }

    /// The state as one host function sees it: whoever gets it is charged for a call.
    pub(crate) fn called(&mut self) -> &mut Self {
        self.charges.call();
        self
    }

    /// Counts a call of the contract that carries so many bytes. `describe` may make none at all.
    pub(crate) fn count_call(&mut self, name: &'static str, bytes: usize) -> Result<(), Abort> {
        if self.phase == Phase::Describing {
            return Err(Abort::Describing(name));
        }
        if self.host_calls >= self.limits.host_calls {
            return Err(Abort::Calls);
        }
        self.host_calls += 1;
        self.largest_call = self.largest_call.max(bytes as u64);
        self.charges.bytes(bytes as u64)?;
        self.held.carry(bytes as u64)
    }

    /// Counts what the answer to a call carries: as the effect gave it, and as it is passed on.
    pub(crate) fn count_answer(&mut self, bytes: u64) -> Result<(), Abort> {
        self.charges.bytes(bytes)?;
        self.held.carry(bytes.saturating_mul(2))
    }

    /// Keeps a report.
    pub(crate) fn keep_report(&mut self, report: Json) -> Result<(), Abort> {
        self.held.keep(REPORT_BYTES.saturating_add(report.len() as u64))?;
        self.said.report_bytes += report.len() as u64;
        self.said.reports.push(report);
        Ok(())
    }

    /// Counts what the run was given: what it begins with is held for it until it ends.
    pub(crate) fn keep_given(&mut self) -> Result<(), Abort> {
        let Said { reports, report_bytes, fields_bytes, custom_bytes, .. } = &self.said;
        let reports = (reports.len() as u64).saturating_mul(REPORT_BYTES).saturating_add(*report_bytes);
        self.held.keep(reports.saturating_add(*fields_bytes).saturating_add(*custom_bytes))
    }

    /// What the run used, but for what only its store knows: fuel and time. Nothing runs after this.
    pub(crate) fn usage(&mut self) -> Usage {
        let printed = self.output.finish();
        Usage {
            memory_peak_bytes: self.limiter.memory_peak(),
            table_elements: self.limiter.tables_peak(),
            reports: self.said.reports.len() as u64,
            report_bytes: self.said.report_bytes,
            fields_bytes: self.said.fields_bytes,
            custom_bytes: self.said.custom_bytes,
            log_bytes: printed.bytes,
            log_bytes_per_second: printed.per_second,
            host_calls: self.host_calls,
            host_call_bytes: self.largest_call,
            handles: most_handles(&mut self.table),
            spawns: self.said.spawns,
            stack_bytes: self.stack_peak.min(self.limits.stack_bytes),
            ..Usage::default()
        }
    }
}

/// The most handles that a table ever held. It never shrinks, so that its free places tell; they are used up by this.
fn most_handles(table: &mut ResourceTable) -> u64 {
    table.set_max_capacity(0);
    while table.push(()).is_ok() {}
    table.iter_mut().count() as u64
}
