//! Sync walkers: run while the caller waits, stored with their result when they end.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use walker_model::{NodeId, Outcome, TenantId, WalkerId};
use walker_sandbox::{HostFault, Job};

use super::attempt::{Attempted, Setting};
use crate::access::Actor;
use crate::host::Host;
use crate::invoke::{Error, Ready};
use crate::queue::Slot;
use crate::store::complete::ResultRow;

/// How long a caller waits for a free slot before it is told to come back.
const SLOT_WAIT: Duration = Duration::from_secs(10);

/// How long the commit of a result may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recording {
    /// As long as a request waits. Whether it was committed after all is unknown then.
    InTime,
    /// As long as it takes: afterwards it is known.
    Sure,
}

impl Host {
    /// A slot for a walker whose caller waits.
    pub(crate) async fn slot_for_caller(&self, tenant: TenantId) -> Result<Slot, Error> {
        let slot = tokio::time::timeout(SLOT_WAIT, self.slots.enter(tenant)).await;
        slot.ok().and_then(Result::ok).ok_or(Error::Busy)
    }

    /// Runs a sync walker to its end; returns once its result is committed.
    /// One that another walker calls runs in that one's slot, so that calls cannot wait for each other.
    pub(crate) async fn run_sync(
        self: &Arc<Self>,
        actor: &Actor,
        ready: Ready,
        depth: u32,
        slot: Option<Slot>,
    ) -> Result<(WalkerId, Outcome), Error> {
        self.run_recorded(actor, ready, depth, slot, Recording::InTime).await
    }

    /// The same, for a caller who says how long the commit may take.
    pub(crate) async fn run_recorded(
        self: &Arc<Self>,
        actor: &Actor,
        ready: Ready,
        depth: u32,
        slot: Option<Slot>,
        recording: Recording,
    ) -> Result<(WalkerId, Outcome), Error> {
        let id = ready.id();
        let Ready { entry, walker, limits, weight, .. } = ready;
        if u64::from(depth) > limits.call_depth {
            return Err(Error::TooDeep(limits.call_depth));
        }
        let module = self.compiled.get(actor.tenant, &entry.module.sha256).await;
        let module = module.map_err(|error| Error::Fault(error.to_string()))?;
        let (_place, stop) = self.running.enter_sync(id.uuid, actor.tenant);
        let job = Job {
            id: id.clone(),
            node_id: walker.node.clone(),
            root_id: NodeId::root(walker.root),
            attempt: 1,
            fields: walker.fields.clone(),
            reports: Vec::new(),
            custom: walker.custom.clone(),
            limits,
            seed: rand::random(),
        };
        let setting = Setting {
            tenant: actor.tenant,
            weight,
            lease: None,
            depth,
            spawn_depth: walker.depth,
            saved_reports: None,
        };
        let executed_date = Utc::now();
        let Attempted { outcome, logs, saved_reports } =
            self.attempt(module, job, setting, stop).await.map_err(|fault| match fault {
                HostFault::Failed(fault) => Error::Fault(fault),
                HostFault::Fenced => Error::Fault("the run was stopped".into()),
            })?;
        drop(slot);
        let result = ResultRow::new(actor.root, executed_date, &outcome, logs, saved_reports);
        match recording {
            Recording::InTime => self.writers.record(walker, result).await?,
            Recording::Sure => self.writers.record_surely(walker, result).await?,
        }
        self.waiters.ended(id.uuid);
        Ok((id, outcome))
    }
}
