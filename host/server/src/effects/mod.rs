//! What walkers may do: one file for each thing.
//!
//! Everything is done on behalf of the run's own root, and nothing of the host's reaches the guest but plain data.

mod call;
mod read;
mod save;
mod spawn;

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;
use walker_model::{NodeId, TenantId, WalkerId};
use walker_sandbox::{Effects, Invoke, Job, LogLine, Problem, Refusal, Reply, Request};

use crate::access::{Actor, Reach};
use crate::host::Host;
use crate::invoke::{self, Invocation};
use crate::store::{self, Lease};

/// The world, as one run sees it.
pub(crate) struct RunEffects {
    context: Arc<Context>,
    log: Box<dyn Fn(LogLine) + Send + Sync>,
}

/// Who asks.
struct Context {
    host: Arc<Host>,
    id: WalkerId,
    actor: Actor,
    node: NodeId,
    lease: Option<Lease>,
    depth: u32,
    spawn_depth: u32,
    most_spawn_depth: u64,
    /// How many reports the last save held; negative before the first.
    saved_reports: AtomicI32,
    /// Held by a save until it is known whether it was written.
    saving: Arc<Mutex<()>>,
}

impl RunEffects {
    pub(crate) fn for_run(
        host: Arc<Host>,
        id: WalkerId,
        tenant: TenantId,
        job: &Job,
        lease: Option<Lease>,
        [depth, spawn_depth]: [u32; 2],
        log: Box<dyn Fn(LogLine) + Send + Sync>,
    ) -> Self {
        let actor = Actor { tenant, root: job.root_id.uuid, reach: Reach::Root };
        let node = job.node_id.clone();
        let context = Context {
            host,
            id,
            actor,
            node,
            lease,
            depth,
            spawn_depth,
            most_spawn_depth: job.limits.spawn_depth,
            saved_reports: AtomicI32::new(-1),
            saving: Arc::default(),
        };
        Self { context: Arc::new(context), log }
    }

    /// Returns once nothing more is written of a run that has ended: one that was stopped did not wait for its last save, and
    /// that must not come after its end, which removes what was saved.
    pub(crate) async fn saved(&self) {
        drop(self.context.saving.lock().await);
    }

    /// How many reports the last save held; `None` when there was none.
    pub(crate) fn saved_reports(&self) -> Option<i32> {
        Some(self.context.saved_reports.load(Ordering::Acquire)).filter(|count| *count >= 0)
    }
}

impl Effects for RunEffects {
    fn perform(&self, request: Request) -> BoxFuture<'_, Result<Reply, Refusal>> {
        let context = self.context.clone();
        if let Request::Save { fields, reports } = request {
            return async move { context.save(fields, reports).await }.boxed();
        }
        // Database connections and timers live with the host's other I/O, not on the walkers' threads.
        let host = context.host.clone();
        let task = host.io.spawn(async move {
            match request {
                Request::Read { id } => context.read(&id).await,
                Request::Spawn(invoke) => context.spawn(invoke).await,
                Request::Call(invoke) => context.call(invoke).await,
                Request::Save { fields, reports } => context.save(fields, reports).await,
            }
        });
        let task = AbortOnDropHandle::new(task);
        async move { task.await.unwrap_or_else(|panic| Err(Refusal::Fault(format!("the host failed: {panic}")))) }
            .boxed()
    }

    fn log(&self, line: LogLine) {
        (self.log)(line);
    }

    fn take_memory(&self, bytes: u64) -> bool {
        self.context.host.memory.take(self.context.actor.tenant, bytes)
    }

    fn put_back_memory(&self, bytes: u64) {
        self.context.host.memory.put_back(self.context.actor.tenant, bytes);
    }
}

impl Context {
    /// What a guest asks to start, as the host's own request.
    fn invocation(&self, invoke: Invoke) -> Result<Invocation, Refusal> {
        let node = match invoke.node {
            None => self.node.clone(),
            Some(node) => {
                node.parse().map_err(|error: walker_model::InvalidId| problem("node.not_found", error.to_string()))?
            }
        };
        Ok(Invocation {
            walker: invoke.walker,
            node: Some(node),
            fields: Some(invoke.fields),
            custom: None,
            execute_date: None,
            priority: None,
        })
    }
}

/// The guest gets this error.
fn problem(code: &str, message: impl Into<String>) -> Refusal {
    Refusal::Problem(Problem { code: code.to_owned(), message: message.into() })
}

/// The guest's mistakes are problems it can handle; the host's own end the run, to be tried again.
fn refused(error: invoke::Error) -> Refusal {
    match &error {
        invoke::Error::Store(error) => fault(error),
        invoke::Error::Quotas(error) => fault(error),
        invoke::Error::Fault(fault) => Refusal::Fault(fault.clone()),
        invoke::Error::Fields(problems) => {
            let details: Vec<String> =
                problems.iter().map(|field| format!("{}: {}", field.pointer, field.detail)).collect();
            problem(error.code(), details.join("; "))
        }
        _ => problem(error.code(), error.to_string()),
    }
}

fn fault(error: &store::Error) -> Refusal {
    tracing::warn!(error = error as &dyn std::error::Error, "an effect failed");
    Refusal::Fault(error.to_string())
}
