//! Async walkers: from a lease to a committed result.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use walker_model::{Code, Ended, Failure, Json, Limits, NodeId, Outcome, TenantId, WalkerId};
use walker_sandbox::{HostFault, Job, Module};

use super::Weight;
use super::attempt::{Attempted, Setting};
use super::shown::Shown;
use crate::host::Host;
use crate::modules::{Entry, Unloadable};
use crate::queue::{Accepted, Fenced, MAX_LOSSES, Slot, Start};
use crate::store::Lease;
use crate::store::attempts::{FailedAttempt, Released, Retry};
use crate::store::claim::{Claimed, Input};
use crate::store::complete::ResultRow;
use crate::store::ending::cancelled;

/// Before a walker is tried again that failed through a fault of this host.
const FAULT_PAUSE: Duration = Duration::from_secs(1);

/// An async walker that this host holds.
struct Run {
    lease: Lease,
    tenant: TenantId,
    claimed_at: DateTime<Utc>,
    /// Since when it might run, where that is known.
    execute_date: Option<DateTime<Utc>>,
    input: Input,
    /// `None`: they are to be looked up.
    terms: Option<RunTerms>,
}

/// What a run goes by, beside its input.
pub(crate) struct RunTerms {
    pub(crate) entry: Arc<Entry>,
    pub(crate) limits: Limits,
    /// What its tenant weighs beside others.
    pub(crate) weight: Weight,
}

/// What an attempt needs.
struct Prepared {
    module: Module,
    job: Job,
    setting: Setting,
    /// What its author allows should it fail.
    retries: Option<Retry>,
    shown: Option<Shown>,
}

impl Host {
    /// How a walker starts here that is stored as this host's: by the terms on which it was let in a moment before.
    pub(crate) fn start_in(self: &Arc<Self>, slot: Slot, terms: RunTerms) -> Start {
        // What waits for a database that is away does not keep a stopped host.
        let host = Arc::downgrade(self);
        let run = move |accepted| {
            if let Some(host) = host.upgrade() {
                host.start_accepted(accepted, slot, terms);
            }
        };
        Start { owner: self.lease.id(), run: Box::new(run) }
    }

    fn start_accepted(self: &Arc<Self>, accepted: Accepted, slot: Slot, terms: RunTerms) {
        let Accepted { walker, lease, claimed_at } = accepted;
        self.lanes.started(walker.tenant);
        // Stored as claimed at the moment when it might run, unless its caller named another.
        let execute_date = walker.execute_date.is_none().then_some(claimed_at);
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
        let run = Run { lease, tenant: walker.tenant, claimed_at, execute_date, input, terms: Some(terms) };
        self.spawn_run(run, slot);
    }

    /// Runs a walker that was taken from the waiting ones.
    pub(crate) fn start_claimed(self: &Arc<Self>, claimed: Claimed, slot: Slot) {
        let Claimed { lease, tenant, claimed_at, input, .. } = claimed;
        self.backlog.claimed(tenant);
        match input {
            Some(input) => {
                let run = Run { lease, tenant, claimed_at, execute_date: None, input, terms: None };
                self.spawn_run(run, slot);
            }
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
        // Boxed once: a runtime moves the tasks that it is given several times.
        tokio::spawn(Box::pin(async move {
            host.run(run, slot).await;
            drop(ran);
        }));
    }

    /// Runs an async walker and commits what came of it.
    async fn run(self: Arc<Self>, run: Run, slot: Slot) {
        let (lease, tenant, root, claimed_at) = (run.lease, run.tenant, run.input.root, run.claimed_at);
        let walker = run.input.walker.clone();
        let (place, stop) = self.running.enter(lease.id, lease.attempt);
        let attempted = match self.prepare(run).await {
            Ok(Prepared { module, job, setting, retries, shown }) => {
                self.attempt(module, job, setting, stop.clone()).await.map(|attempted| (attempted, retries, shown))
            }
            Err(fault) => Err(HostFault::Failed(fault)),
        };
        let (Attempted { mut outcome, logs, saved_reports }, retries, shown) = match attempted {
            // Stopped because this host stops: it is handed back, not ended.
            Ok((Attempted { outcome, .. }, ..))
                if self.is_stopping() && was_stopped(&outcome) && !place.is_cancelled() =>
            {
                return;
            }
            Ok(attempted) => attempted,
            Err(HostFault::Fenced) => {
                tracing::info!(walker = %lease.id, "walker {} was taken over; this attempt writes nothing", lease.id);
                return;
            }
            Err(HostFault::Failed(fault)) => {
                tracing::error!(walker = %lease.id, fault, "walker {} could not be run", lease.id);
                return Box::pin(self.give_back(tenant, lease)).await;
            }
        };
        let fuel = outcome.usage.fuel;
        if let (Some(failure), Some(retry), false) = (outcome.failure(), retries, place.is_cancelled())
            && failure.code.counts_for_retries()
        {
            let attempt = FailedAttempt {
                lease,
                root,
                started: claimed_at,
                failure: failure.clone(),
                usage: Json::of(&(outcome.usage, outcome.limits)),
                fuel,
                logs: logs.clone(),
                retry,
            };
            // Without a yes it ends as it failed; if the yes got lost, its lease is gone and that writes nothing.
            if Box::pin(self.writers.again(attempt)).await.unwrap_or(false) {
                self.lanes.ended(tenant, &walker, fuel);
                return self.waits_again(tenant);
            }
        }
        if place.is_cancelled() {
            cancel(&mut outcome);
        }
        let result = ResultRow::new(root, claimed_at, &outcome, logs.clone(), saved_reports);
        let lease_to_end = if place.is_cancelled() { lease.to_stop() } else { lease };
        let view = shown.filter(|_| self.waiters.is_awaited(lease.id)).and_then(|shown| shown.view(&result, &outcome));
        let mut written = self.writers.complete_and_show(lease_to_end, result, view, slot).await;
        if matches!(written, Ok(Fenced::Lost)) && !place.is_cancelled() {
            // Cancelled at the last moment: whoever cancelled it was told so.
            cancel(&mut outcome);
            let result = ResultRow::new(root, claimed_at, &outcome, logs, saved_reports);
            written = Box::pin(self.writers.complete(lease.to_stop(), result, ())).await;
        }
        self.lanes.ended(tenant, &walker, fuel);
        match written {
            Ok(Fenced::Written) => {}
            Ok(Fenced::Lost) => {
                tracing::info!(walker = %lease.id, "the result of walker {} came too late and was not stored", lease.id);
            }
            Err(error) => {
                tracing::error!(walker = %lease.id, error = &error as &dyn std::error::Error, "the database refused the result of walker {}", lease.id);
                // Another attempt would end the same way, so it ends now, without what was refused.
                let failure = Failure::new(Code::LimitOutput, "what it left behind could not be stored");
                let ending = async {
                    if !self.end(lease, &failure).await || !self.end(lease.to_stop(), &cancelled()).await {
                        self.give_back(tenant, lease).await;
                    }
                };
                Box::pin(ending).await;
            }
        }
    }

    async fn prepare(&self, run: Run) -> Result<Prepared, String> {
        let Run { lease, tenant, execute_date, input, terms, .. } = run;
        let RunTerms { entry, limits, weight } = match terms {
            Some(terms) => terms,
            None => Box::pin(self.run_terms(tenant, &input)).await?,
        };
        let module = loop {
            match self.compiled.get(tenant, &entry.module.sha256).await {
                Err(Unloadable::Away(_)) if !self.is_stopping() => tokio::time::sleep(FAULT_PAUSE).await,
                module => break module,
            }
        };
        let module = module.map_err(|error| error.to_string())?;
        let shown = Shown::new(lease, execute_date, &input, &entry);
        let saved_reports = input.is_saved.then(|| i32::try_from(input.reports.len()).unwrap_or(i32::MAX));
        let job = Job {
            id: WalkerId { name: input.walker, uuid: lease.id },
            node_id: input.node,
            root_id: NodeId::root(input.root),
            attempt: lease.attempt as u16,
            fields: input.fields,
            reports: input.reports,
            custom: input.custom,
            limits,
            seed: rand::random(),
        };
        let retries = entry.definition.retries().map(|asked| Retry {
            times: asked.times,
            backoff: Duration::from_millis(asked.backoff_ms),
            max_backoff: Duration::from_millis(asked.max_backoff_ms),
        });
        let setting = Setting { tenant, weight, lease: Some(lease), depth: 1, spawn_depth: input.depth, saved_reports };
        Ok(Prepared { module, job, setting, retries, shown })
    }

    /// What a walker's run goes by now. Nothing has begun: a database that is away must not cost the walker an attempt.
    async fn run_terms(&self, tenant: TenantId, input: &Input) -> Result<RunTerms, String> {
        let entry = loop {
            match self.catalog.pinned(input.module_id, input.module_version, &input.walker).await {
                Err(error) if error.is_unavailable() && !self.is_stopping() => tokio::time::sleep(FAULT_PAUSE).await,
                entry => break entry,
            }
        };
        let entry = entry.map_err(|error| error.to_string())?.ok_or("its module's version is no longer stored")?;
        let quotas = loop {
            match self.quotas.of(tenant).await {
                Err(error) if error.is_unavailable() && !self.is_stopping() => tokio::time::sleep(FAULT_PAUSE).await,
                quotas => break quotas,
            }
        };
        let quotas = quotas.map_err(|error| error.to_string())?;
        Ok(RunTerms { limits: entry.definition.limits(quotas.limits), weight: quotas.weight(), entry })
    }

    /// Ends a walker that this host holds, with what it last saved. A database that is away is waited for. `false`: that
    /// could not be written either.
    async fn end(&self, lease: Lease, failure: &Failure) -> bool {
        loop {
            match self.store.end(lease, failure).await {
                Ok(true) => self.waiters.ended(lease.id),
                Ok(false) => tracing::debug!(walker = %lease.id, "walker {} was ended by somebody else", lease.id),
                Err(error) if error.is_unavailable() && !self.is_stopping() => {
                    tracing::warn!(walker = %lease.id, error = &error as &dyn std::error::Error, "could not end walker {}; trying again", lease.id);
                    tokio::time::sleep(FAULT_PAUSE).await;
                    continue;
                }
                Err(error) => {
                    tracing::error!(walker = %lease.id, error = &error as &dyn std::error::Error, "could not end walker {}", lease.id);
                    return false;
                }
            }
            return true;
        }
    }

    /// Lets a walker be tried again, unless hosts failed it too often. Whoever else could free it would wait for this
    /// host's death, so that a database that is away is waited for.
    async fn give_back(&self, tenant: TenantId, lease: Lease) {
        loop {
            match self.store.release(lease, FAULT_PAUSE, MAX_LOSSES).await {
                Ok(Released::Waiting) => break self.waits_again(tenant),
                Ok(Released::NotAgain) => {
                    let message = format!("the host could not run it, in {MAX_LOSSES} attempts");
                    self.end(lease, &Failure::new(Code::HostLost, message)).await;
                    // Cancelled meanwhile; nothing of it runs any more.
                    self.end(lease.to_stop(), &cancelled()).await;
                    break;
                }
                Err(error) if error.is_unavailable() && !self.is_stopping() => {
                    tracing::warn!(walker = %lease.id, error = &error as &dyn std::error::Error, "could not give walker {} back; trying again", lease.id);
                    tokio::time::sleep(FAULT_PAUSE).await;
                }
                // A host that stops hands back all it holds.
                Err(error) => {
                    tracing::error!(walker = %lease.id, error = &error as &dyn std::error::Error, "could not give walker {} back", lease.id);
                    break;
                }
            }
        }
    }

    /// A walker that this host held waits, for this host or another.
    fn waits_again(&self, tenant: TenantId) {
        self.backlog.given_back(tenant);
        self.lanes.heard();
    }
}

/// Whether a run ended because it was asked to.
fn was_stopped(outcome: &Outcome) -> bool {
    outcome.failure().is_some_and(|failure| failure.code == Code::Cancelled)
}

/// However the run ended: its walker was cancelled first. Where it stood then is nobody's mistake, and looking that up
/// would take its first reader longer than the whole cancel.
fn cancel(outcome: &mut Outcome) {
    outcome.ended = Ended::Failed(cancelled());
    outcome.http_status = None;
}
