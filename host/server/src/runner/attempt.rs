//! One attempt: a job on the walkers' threads, its output stored meanwhile.

use std::sync::Arc;

use walker_model::{Json, Outcome, TenantId, WalkerId};
use walker_sandbox::{HostFault, Job, Module, Stop};

use super::logs::RunLogs;
use super::{Ticket, Weight};
use crate::effects::RunEffects;
use crate::host::Host;
use crate::store::Lease;
use crate::store::logs::LogChunk;

/// What an attempt needs besides its job.
pub(super) struct Setting {
    pub(super) tenant: TenantId,
    /// What the tenant weighs beside others.
    pub(super) weight: Weight,
    /// `None` for a sync walker: nothing of it is stored before it ends.
    pub(super) lease: Option<Lease>,
    /// How many sync walkers deep this one was called; 1 is called by nobody.
    pub(super) depth: u32,
    /// How many generations of spawning lie before it.
    pub(super) spawn_depth: u32,
    /// How many reports the checkpoint of an earlier attempt held; `None`: there is none.
    pub(super) saved_reports: Option<i32>,
}

/// How an attempt ended.
pub(super) struct Attempted {
    pub(super) outcome: Outcome,
    /// Lines that are not stored elsewhere.
    pub(super) logs: Option<Json>,
    /// How many reports its last checkpoint held; `None`: there is none to remove.
    pub(super) saved_reports: Option<i32>,
}

impl Host {
    /// Runs `job` to its outcome.
    pub(super) async fn attempt(
        self: &Arc<Self>,
        module: Module,
        job: Job,
        setting: Setting,
        stop: Stop,
    ) -> Result<Attempted, HostFault> {
        let logs = Arc::new(RunLogs::default());
        let earlier = setting.saved_reports.map(|_| job.fields.clone());
        let effects = Arc::new(RunEffects::new(self.clone(), &job, &setting, logs.clone()));
        let (sandbox, seen) = (self.sandbox.clone(), effects.clone());
        let _stop_when_dropped = StopOnDrop(stop.clone());
        let ticket = Ticket::new(setting.tenant, setting.weight, stop.clone(), job.limits.time());
        let mut run = self.walkers.spawn(ticket, async move { sandbox.run(&module, job, seen, stop).await });
        let outcome = match setting.lease {
            None => run.await,
            Some(lease) => loop {
                tokio::select! {
                    biased;
                    outcome = &mut run => break outcome,
                    () = logs.due() => self.store_logs(lease, &logs).await,
                }
            },
        };
        effects.saved().await;
        // A panic below is this run's fault and nobody else's.
        let mut outcome =
            outcome.map_err(|_| HostFault::Failed("the sandbox panicked, or the host is stopping".into()))??;
        if let (Some(lease), true) = (setting.lease, logs.is_full()) {
            self.store_logs(lease, &logs).await;
        }
        (outcome.usage.call_depth, outcome.usage.spawn_depth) = (setting.depth.into(), setting.spawn_depth.into());
        let saved_reports = effects.saved_reports().or(setting.saved_reports);
        if outcome.failure().is_some() {
            outcome.fields = outcome.fields.or(earlier);
        }
        Ok(Attempted { outcome, logs: logs.take().map(|(_, lines)| lines), saved_reports })
    }

    async fn store_logs(&self, lease: Lease, logs: &RunLogs) {
        if let Some((seq, lines)) = logs.take() {
            self.writers.log(LogChunk { lease, seq, lines }).await;
        }
    }
}

impl RunEffects {
    fn new(host: Arc<Host>, job: &Job, setting: &Setting, logs: Arc<RunLogs>) -> Self {
        let id: WalkerId = job.id.clone();
        let log = Box::new(move |line| logs.push(line));
        Self::for_run(host, id, setting.tenant, job, setting.lease, [setting.depth, setting.spawn_depth], log)
    }
}

/// Ends a run whose caller is gone.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
