//! From what a caller asks to an accepted or ended walker: the one way in, for HTTP and for guests.

mod batch;
mod fields;
mod keyed;
mod place;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use walker_model::{Json, Limits, NodeId, Outcome, Priority, Quotas, TenantId, WalkerId};

use crate::access::{Actor, Reach};
use crate::aside::LITTLE_BYTES;
use crate::host::Host;
use crate::modules::Entry;
use crate::quotas::{SUSPENDED, StorageFull};
use crate::runner::{RunTerms, Weight};
use crate::store;
use crate::store::intake::NewWalker;
use crate::store::lanes::LaneId;

pub use fields::FieldProblem;
pub(crate) use fields::{Effort, Fields};
pub(crate) use keyed::Answered;

use fields::OutOfSteps;

/// How far ahead a walker may be scheduled: its row stays in its day's partition until then.
const MAX_AHEAD: TimeDelta = TimeDelta::days(90);

/// What a caller asks for.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The walker's name.
    pub walker: String,
    /// The node to enter; the actor's root when `None`.
    pub node: Option<NodeId>,
    /// The fields as the caller wrote them; `{}` when `None`.
    pub fields: Option<Json>,
    /// `schedule.custom`.
    pub custom: Option<Json>,
    /// Not before this time.
    pub execute_date: Option<DateTime<Utc>>,
    /// Its place among the tenant's own waiting walkers; normal when `None`.
    pub priority: Option<Priority>,
}

impl Invocation {
    /// Whether it is to wait for a time or in an order, which only async walkers can.
    fn is_put_off(&self) -> bool {
        self.execute_date.is_some() || self.priority.is_some()
    }
}

/// What became of it.
#[derive(Debug)]
pub enum Invoked {
    /// An async walker: its row is committed.
    Accepted(WalkerId),
    /// A sync walker: it ended and its result is committed.
    Ended {
        /// Its id.
        id: WalkerId,
        /// How it ended.
        outcome: Box<Outcome>,
    },
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tenant has no such walker.
    #[error("there is no walker called {0:?}")]
    UnknownWalker(String),
    /// The walker needs a token.
    #[error("walker {0} is not public; send a token")]
    NotPublic(String),
    /// There is no such node within reach.
    #[error("there is no node {0}")]
    UnknownNode(NodeId),
    /// The walker has no ability for that type of node.
    #[error("walker {walker} cannot enter {kind}; it enters {enters}")]
    CannotEnter {
        /// The walker.
        walker: String,
        /// The node's type.
        kind: String,
        /// What it can enter.
        enters: String,
    },
    /// The fields are not a JSON object at all.
    #[error("{0}")]
    Malformed(String),
    /// Some fields are not acceptable.
    #[error("{} of the walker's fields {} not acceptable", .0.len(), if .0.len() == 1 { "is" } else { "are" })]
    Fields(Vec<FieldProblem>),
    /// The time lies too far ahead.
    #[error("execute_date is more than 90 days ahead")]
    TooFarAhead,
    /// A sync walker cannot be put off.
    #[error("walker {0} is synchronous and runs at once; only async walkers take execute_date, delay or priority")]
    NotDeferrable(String),
    /// A guest called an async walker.
    #[error("walker {0} is async; spawn it instead of calling it")]
    NotSync(String),
    /// A guest spawned a sync walker.
    #[error("walker {0} is synchronous; call it instead of spawning it")]
    NotAsync(String),
    /// Calls nest too deeply.
    #[error("walkers call each other more than {0} deep; call less deeply, or have limit call_depth raised")]
    TooDeep(u64),
    /// Spawning has gone on for too many generations.
    #[error("walkers spawn each other more than {0} generations deep; end the chain, or have limit spawn_depth raised")]
    SpawnedTooDeep(u64),
    /// The custom value is larger than the walker may have it.
    #[error("the custom value takes {0} bytes; its limit custom_bytes is {1}")]
    CustomTooLarge(usize, u64),
    /// The operator has suspended the tenant.
    #[error("{SUSPENDED}")]
    Suspended,
    /// The tenant has as many live walkers as it may have.
    #[error(
        "the tenant may have {0} walkers pending or running at once; try again when some have ended, or have quota live_walkers raised"
    )]
    TooManyWalkers(u64),
    /// The tenant has as much stored as it may have.
    #[error(transparent)]
    StorageFull(#[from] StorageFull),
    /// The host has no slot for a sync walker now.
    #[error("the host is busy; try again shortly")]
    Busy,
    /// An idempotency key stands for another request.
    #[error("this Idempotency-Key was used for another request; use a new one for each")]
    KeyReused,
    /// The first request with this key is still being answered.
    #[error("the first request with this Idempotency-Key is still running; ask again shortly")]
    KeyInProgress,
    /// What the key stood for was deleted.
    #[error("the walker that this Idempotency-Key started was forgotten")]
    KeyForgotten,
    /// The database failed.
    #[error("the walker could not be stored")]
    Store(#[from] store::Error),
    /// The database failed to say what the tenant may use.
    #[error("the tenant's quotas could not be read")]
    Quotas(#[source] Arc<store::Error>),
    /// The host itself failed.
    #[error("the walker could not be run: {0}")]
    Fault(String),
}

impl Error {
    /// The stable code, the same for HTTP callers and for guests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownWalker(_) => "walker.not_found",
            Self::NotPublic(_) => "token.missing",
            Self::UnknownNode(_) => "node.not_found",
            Self::CannotEnter { .. } => "node.not_enterable",
            Self::Malformed(_) => "body.malformed",
            Self::Fields(_) => "fields.invalid",
            Self::TooFarAhead => "execute_date.invalid",
            Self::NotDeferrable(_) => "walker.not_deferrable",
            Self::NotSync(_) => "walker.not_sync",
            Self::NotAsync(_) => "walker.not_async",
            Self::TooDeep(_) => "limit.calls",
            Self::SpawnedTooDeep(_) => "limit.spawn_depth",
            Self::CustomTooLarge(..) => "custom.too_large",
            Self::Suspended => "tenant.suspended",
            Self::TooManyWalkers(_) => "quota.walkers",
            Self::StorageFull(_) => "quota.stored_bytes",
            Self::Busy => "host.busy",
            Self::KeyReused => "idempotency.key_reused",
            Self::KeyInProgress => "idempotency.in_progress",
            Self::KeyForgotten => "walker.not_found",
            Self::Store(error) if error.is_unavailable() => "database.unavailable",
            Self::Quotas(error) if error.is_unavailable() => "database.unavailable",
            Self::Store(_) | Self::Quotas(_) | Self::Fault(_) => "host.fault",
        }
    }
}

/// A checked invocation, ready to be stored or run.
pub(crate) struct Ready {
    pub(crate) entry: Arc<Entry>,
    pub(crate) walker: NewWalker,
    /// What its run may use, if it starts now.
    pub(crate) limits: Limits,
    /// What its tenant weighs beside others.
    pub(crate) weight: Weight,
    /// How many live walkers its tenant may have.
    pub(crate) live_walkers: u64,
    /// How many bytes its tenant may have stored.
    pub(crate) storage: Option<u64>,
    /// How many of its tenant's walkers may run at once.
    pub(crate) concurrency: Option<u32>,
}

impl Ready {
    /// The id it will have.
    pub(crate) fn id(&self) -> WalkerId {
        WalkerId { name: self.walker.walker.clone(), uuid: self.walker.id }
    }

    /// What its run goes by, if it starts now.
    fn terms(&self) -> RunTerms {
        RunTerms { entry: self.entry.clone(), limits: self.limits, weight: self.weight }
    }
}

impl Host {
    /// Starts a walker for `actor`: an async one is stored, a sync one runs to its end.
    ///
    /// # Errors
    /// When it may not be started, its input is not acceptable, or the host fails.
    pub async fn invoke(self: &Arc<Self>, actor: &Actor, what: Invocation) -> Result<Invoked, Error> {
        let is_put_off = what.is_put_off();
        let ready = self.check(actor, what).await?;
        if ready.entry.definition.is_async {
            return self.accept(ready).await.map(Invoked::Accepted);
        }
        if is_put_off {
            return Err(Error::NotDeferrable(ready.walker.walker));
        }
        Box::pin(self.run_for_caller(actor, ready)).await
    }

    async fn run_for_caller(self: &Arc<Self>, actor: &Actor, ready: Ready) -> Result<Invoked, Error> {
        // Counted while it runs, like any other.
        let _coming = self.room_for(std::slice::from_ref(&ready)).await?;
        let slot = self.slot_for_caller(actor.tenant).await?;
        let (id, outcome) = self.run_sync(actor, ready, 1, Some(slot)).await?;
        Ok(Invoked::Ended { id, outcome: Box::new(outcome) })
    }

    /// Whether `actor` may start this walker at all, whatever its fields.
    ///
    /// # Errors
    /// When it may not, or the database fails.
    pub async fn may_invoke(&self, actor: &Actor, walker: &str) -> Result<(), Error> {
        self.invocable(actor, walker).await.map(drop)
    }

    /// The walker of this name, and what its tenant may use.
    async fn invocable(&self, actor: &Actor, walker: &str) -> Result<(Arc<Entry>, Quotas), Error> {
        let entry = self.catalog.active(actor.tenant, walker).await?;
        let entry = entry.ok_or_else(|| Error::UnknownWalker(walker.to_owned()))?;
        if actor.reach == Reach::Public && !entry.definition.is_public {
            return Err(Error::NotPublic(walker.to_owned()));
        }
        let terms = self.quotas.terms(actor.tenant).await.map_err(Error::Quotas)?;
        if terms.is_open { Ok((entry, terms.quotas)) } else { Err(Error::Suspended) }
    }

    /// Checks an invocation without storing anything.
    pub(crate) async fn check(&self, actor: &Actor, what: Invocation) -> Result<Ready, Error> {
        let (entry, quotas) = self.invocable(actor, &what.walker).await?;
        let definition = &entry.definition;
        let own_root = NodeId::root(actor.root);
        let node = what.node.unwrap_or_else(|| own_root.clone());
        if node != own_root {
            return Err(Error::UnknownNode(node));
        }
        if !definition.may_enter(&node.kind) {
            let kind = if node.is_root() { "a root".to_owned() } else { format!("a {}", node.kind) };
            return Err(Error::CannotEnter { walker: what.walker, kind, enters: definition.enters.join(", ") });
        }
        if what.execute_date.is_some_and(|date| date > Utc::now() + MAX_AHEAD) {
            return Err(Error::TooFarAhead);
        }
        let limits = definition.limits(quotas.limits);
        let custom_bytes = what.custom.as_ref().map_or(0, Json::len);
        if custom_bytes as u64 > limits.custom_bytes {
            return Err(Error::CustomTooLarge(custom_bytes, limits.custom_bytes));
        }
        let fields = self.check_fields(actor.tenant, &entry, what.fields, limits.fields_bytes).await?;
        let walker = NewWalker {
            id: WalkerId::new("").uuid,
            tenant: actor.tenant,
            lane: LaneId::default(),
            priority: what.priority.unwrap_or_default(),
            walker: what.walker,
            module_id: entry.module_id,
            module_version: entry.module.version,
            node,
            root: actor.root,
            execute_date: what.execute_date,
            custom: what.custom,
            fields,
            depth: 0,
        };
        Ok(Ready {
            entry,
            walker,
            limits,
            weight: quotas.weight(),
            live_walkers: quotas.tenant.live_walkers,
            storage: quotas.storage(),
            concurrency: quotas.concurrency(),
        })
    }

    /// Checks a walker's fields: here if that takes little, and aside if not. What it takes, nobody knows before.
    async fn check_fields(
        &self,
        tenant: TenantId,
        entry: &Arc<Entry>,
        given: Option<Json>,
        max_bytes: u64,
    ) -> Result<Json, Error> {
        if given.as_ref().map_or(0, Json::len) <= LITTLE_BYTES
            && let Ok(checked) = entry.fields.check(given.as_ref(), max_bytes, Effort::Little)
        {
            return checked;
        }
        let entry = entry.clone();
        let checked = self.aside.of(tenant, move || entry.fields.check(given.as_ref(), max_bytes, Effort::All));
        Box::pin(checked).await.unwrap_or_else(|OutOfSteps| Err(Error::Fault("all steps end with an answer".into())))
    }

    /// Stores an async walker; returns once that is committed.
    pub(crate) async fn accept(self: &Arc<Self>, ready: Ready) -> Result<WalkerId, Error> {
        let (id, terms) = (ready.id(), ready.terms());
        let (mut place, mut walkers) = self.place(vec![ready]).await?;
        let start = self.slot_in(&mut place).await.map(|slot| self.start_in(slot, terms));
        let is_queued = start.is_none();
        let walker = walkers.pop().expect("one was given, and one is placed");
        self.writers.accept(walker, start).await?;
        if is_queued {
            self.wait_in(place);
        }
        Ok(id)
    }
}
