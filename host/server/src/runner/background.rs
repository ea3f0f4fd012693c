//! Async walkers: from a lease to a committed result.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use walker_model::{Code, Ended, Failure, Json, NodeId, Outcome, TenantId, Usage, WalkerId};
use walker_sandbox::{HostFault, Job};

use super::attempt::{Attempted, Setting};
use crate::host::Host;
use crate::modules::Unloadable;
use crate::queue::{Accepted, Fenced, MAX_ATTEMPTS, Slot};
use crate::store::Lease;
use crate::store::claim::{Claimed, Input};
use crate::store::complete::ResultRow;

/// Before a walker is tried again that failed through a fault of this host.
const FAULT_PAUSE: Duration = Duration::from_secs(1);

/// An async walker that this host holds.
struct Run {
    lease: Lease,
    tenant: TenantId,
    claimed_at: DateTime<Utc>,
    input: Input,
}

impl Host {
    /// Runs a walker that was stored as this host's.
    pub(crate) fn start_accepted(self: &Arc<Self>, accepted: Accepted) {
        let Accepted { walker, lease, claimed_at, slot } = accepted;
        let input = Input {
            walker: walker.walker,
            module_id: walker.module_id,
            module_version: walker.module_version,
            node: walker.node,
            root: walker.root,
            custom: walker.custom,
            fields: walker.fields,
            reports: Vec::new(),
            depth: walker.depth,
            is_saved: false,
        };
        self.spawn_run(Run { lease, tenant: walker.tenant, claimed_at, input }, slot);
    }

    /// Runs a walker that was taken from the waiting ones.
    pub(crate) fn start_claimed(self: &Arc<Self>, claimed: Claimed, slot: Slot) {
        let Claimed { lease, tenant, claimed_at, input, .. } = claimed;
        self.backlog.claimed(tenant);
        match input {
            Some(input) => self.spawn_run(Run { lease, tenant, claimed_at, input }, slot),
            None => {
                let host = self.clone();
                tokio::spawn(async move {
                    tracing::error!(walker = %lease.id, "the input of walker {} is no longer stored; dropped it", lease.id);
                    if let Err(error) = host.store.forget(lease).await {
                        tracing::warn!(error = &error as &dyn std::error::Error, "could not drop walker {}", lease.id);
                    }
                });
            }
        }
    }

    fn spawn_run(self: &Arc<Self>, run: Run, slot: Slot) {
        let (host, ran) = (self.clone(), self.backlog.run(run.tenant, run.lease.id));
        tokio::spawn(async move {
            host.run(run, slot).await;
            drop(ran);
        });
    }

    /// Runs an async walker and commits what came of it.
    async fn run(self: Arc<Self>, run: Run, slot: Slot) {
        let (lease, tenant, root, claimed_at) = (run.lease, run.tenant, run.input.root, run.claimed_at);
        let walker = run.input.walker.clone();
        let (_place, stop) = self.running.enter(lease.id);
        let attempted = match self.prepare(run).await {
            Ok((module, job, setting)) => self.attempt(module, job, setting, stop.clone()).await,
            Err(fault) => Err(HostFault::Failed(fault)),
        };
        let Attempted { outcome, logs, is_saved } = match attempted {
            // Stopped because this host stops: it is handed back, not ended.
            Ok(Attempted { outcome, .. }) if self.is_stopping() && was_stopped(&outcome) => return,
            Ok(attempted) => attempted,
            Err(HostFault::Fenced) => {
                tracing::info!(walker = %lease.id, "walker {} was taken over; this attempt writes nothing", lease.id);
                return;
            }
            Err(HostFault::Failed(fault)) => {
                tracing::error!(walker = %lease.id, fault, "walker {} could not be run", lease.id);
                if lease.attempt < MAX_ATTEMPTS {
                    return self.give_back(lease).await;
                }
                let message = format!("the host could not run it, {MAX_ATTEMPTS} times in a row");
                Attempted { outcome: self.ended_badly(Code::HostLost, message), logs: None, is_saved: true }
            }
        };
        let result = ResultRow::new(root, claimed_at, &outcome, logs);
        let written = self.writers.complete(lease, result, is_saved, slot).await;
        self.lanes.ended(tenant, &walker, outcome.usage.fuel);
        match written {
            Ok(Fenced::Written) => {}
            Ok(Fenced::Lost) => {
                tracing::info!(walker = %lease.id, "the result of walker {} came too late and was not stored", lease.id);
            }
            Err(error) => {
                tracing::error!(walker = %lease.id, error = &error as &dyn std::error::Error, "the database refused the result of walker {}", lease.id);
                // Another attempt would end the same way, so it ends now, without what was refused.
                let outcome = self.ended_badly(Code::LimitOutput, "what it left behind could not be stored");
                let result = ResultRow::new(root, claimed_at, &outcome, None);
                if self.writers.complete(lease, result, true, ()).await.is_err() {
                    self.give_back(lease).await;
                }
            }
        }
    }

    async fn prepare(&self, run: Run) -> Result<(walker_sandbox::Module, Job, Setting), String> {
        let Run { lease, tenant, input, .. } = run;
        let entry = loop {
            match self.catalog.pinned(input.module_id, input.module_version, &input.walker).await {
                // Nothing has begun: a database that is away must not cost the walker an attempt.
                Err(error) if error.is_unavailable() && !self.is_stopping() => tokio::time::sleep(FAULT_PAUSE).await,
                entry => break entry,
            }
        };
        let entry = entry.map_err(|error| error.to_string())?.ok_or("its module's version is no longer stored")?;
        let module = loop {
            match self.compiled.get(&entry.module.sha256).await {
                Err(Unloadable::Away(_)) if !self.is_stopping() => tokio::time::sleep(FAULT_PAUSE).await,
                module => break module,
            }
        };
        let module = module.map_err(|error| error.to_string())?;
        let quotas = loop {
            match self.quotas.of(tenant).await {
                Err(error) if error.is_unavailable() && !self.is_stopping() => tokio::time::sleep(FAULT_PAUSE).await,
                quotas => break quotas,
            }
        };
        let quotas = quotas.map_err(|error| error.to_string())?;
        let job = Job {
            id: WalkerId { name: input.walker, uuid: lease.id },
            node_id: input.node,
            root_id: NodeId::root(input.root),
            attempt: lease.attempt as u16,
            fields: input.fields,
            reports: input.reports,
            custom: input.custom,
            limits: entry.definition.limits(quotas.limits),
            seed: rand::random(),
        };
        Ok((
            module,
            job,
            Setting { tenant, lease: Some(lease), depth: 1, spawn_depth: input.depth, is_saved: input.is_saved },
        ))
    }

    /// Lets a walker be tried again. Whoever else could free it would wait for this host's death, so that a database
    /// that is away is waited for.
    async fn give_back(&self, lease: Lease) {
        while let Err(error) = self.store.release(lease, FAULT_PAUSE).await {
            // A host that stops hands back all it holds.
            if !error.is_unavailable() || self.is_stopping() {
                tracing::error!(walker = %lease.id, error = &error as &dyn std::error::Error, "could not give walker {} back", lease.id);
                break;
            }
            tracing::warn!(walker = %lease.id, error = &error as &dyn std::error::Error, "could not give walker {} back; trying again", lease.id);
            tokio::time::sleep(FAULT_PAUSE).await;
        }
        self.lanes.heard();
    }

    /// An outcome that the host itself decides.
    fn ended_badly(&self, code: Code, message: impl Into<String>) -> Outcome {
        Outcome {
            ended: Ended::Failed(Failure::new(code, message)),
            fields: None,
            reports: Vec::<Json>::new(),
            http_status: None,
            custom: None,
            usage: Usage::default(),
            limits: self.quotas.rules().default.limits,
        }
    }
}

/// Whether a run ended because it was asked to.
fn was_stopped(outcome: &Outcome) -> bool {
    outcome.failure().is_some_and(|failure| failure.code == Code::Cancelled)
}
