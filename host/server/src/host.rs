//! One host: everything that requests and runs share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;
use walker_model::{TenantId, WalkerId};
use walker_sandbox::Sandbox;

use crate::access::Actor;
use crate::aside::Aside;
use crate::config::Config;
use crate::follow::follow;
use crate::identity::{self, Identity, WRITE_EVERY};
use crate::memory::Memory;
use crate::modules::{Backtraces, Catalog, Compiled, Spool};
use crate::queue::{
    Backlog, Cancels, Claiming, HostLease, Lanes, NoRoom, Readers, Removals, Slots, Stored, Strays, Waiters, Wake,
    Writers, add_up_usage, announce, claim_due, forget_keys, free_strays, hear, keep_size, recover, remove_tenants,
    stop_cancelled, tell,
};
use crate::quotas::{StorageFull, TenantQuotas};
use crate::requests::{Requests, Sender};
use crate::runner::{Running, Turns};
use crate::store::{self, Store, WalkerView};

/// How often a waiting reader looks for itself, in case another host ran the walker: first so soon, then so that it learns
/// of the end at most an eighth later than it could have, but at most so often.
const FIRST_POLL: Duration = Duration::from_millis(10);
const WAIT_POLL: Duration = Duration::from_millis(250);
/// The same while this host runs the walker: its end is told, unless the run came too late and another host's counts.
const WAIT_POLL_HERE: Duration = Duration::from_secs(1);
/// How often the days ahead are made.
const ADD_DAYS: Duration = Duration::from_secs(3600);

/// When a waiting reader looks for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstLook {
    /// At once: the walker may have ended long ago.
    Now,
    /// When it ends, or a moment later: it was accepted just now.
    AfterAWhile,
}

/// What a host is made of.
pub struct Parts {
    /// The way to Postgres.
    pub store: Store,
    /// Runs walkers.
    pub sandbox: Sandbox,
    /// Their compiled code.
    pub compiled: Compiled,
    /// Their turns on the threads they run on.
    pub walkers: Turns,
    /// The settings; `slots` and `quotas` count here, the rest is for those who ask.
    pub config: Config,
}

/// One host.
pub struct Host {
    /// The way to Postgres.
    pub store: Store,
    /// Who calls.
    pub identity: Identity,
    /// Which walker a name stands for.
    pub catalog: Catalog,
    /// The settings.
    pub config: Config,
    pub(crate) compiled: Compiled,
    pub(crate) sandbox: Sandbox,
    pub(crate) quotas: TenantQuotas,
    pub(crate) requests: Requests,
    pub(crate) backlog: Backlog,
    pub(crate) stored: Stored,
    pub(crate) writers: Writers,
    pub(crate) readers: Readers,
    pub(crate) slots: Slots,
    pub(crate) lanes: Lanes,
    pub(crate) wake: Wake,
    pub(crate) lease: HostLease,
    pub(crate) waiters: Waiters,
    pub(crate) running: Running,
    pub(crate) cancels: Cancels,
    pub(crate) removals: Removals,
    /// What all runs share.
    pub(crate) memory: Memory<TenantId>,
    /// What all bodies share that callers send.
    pub(crate) bodies: Memory<Sender>,
    /// What takes long, and whose is done next.
    pub(crate) aside: Aside,
    /// The walkers' turns on their threads.
    pub(crate) walkers: Turns,
    /// The threads of everything else.
    pub(crate) io: Handle,
    backtraces: Backtraces,
    is_stopping: AtomicBool,
    /// What this host does beside requests and runs.
    tasks: Mutex<JoinSet<()>>,
}

impl Host {
    /// Enters the hosts and starts to work. Called on the runtime of everything but the walkers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(parts: Parts) -> Result<Arc<Self>, store::Error> {
        let Parts { store, sandbox, compiled, walkers, config } = parts;
        let lease = HostLease::register(&store, config.role).await?;
        let waiters = Waiters::default();
        let (cancels, announced) = Cancels::new();
        let lanes = Lanes::new(store.clone());
        let host = Arc::new(Self {
            readers: Readers::start(&store),
            writers: Writers::start(&store, waiters.clone(), config.role.runs().then(|| lanes.clone())),
            identity: Identity::new(store.clone(), config.logins, config.session_lifetime),
            catalog: Catalog::new(store.clone()),
            quotas: TenantQuotas::new(store.clone(), config.quotas),
            requests: Requests::default(),
            backlog: Backlog::new(store.clone(), lease.clone()),
            stored: Stored::new(store.clone()),
            backtraces: Backtraces::new(compiled.clone()),
            compiled,
            sandbox,
            slots: Slots::new(config.slots),
            memory: Memory::new(config.runs_memory_bytes),
            bodies: Memory::new(config.bodies_memory_bytes),
            aside: Aside::new(),
            lanes,
            wake: Wake::default(),
            store,
            config,
            lease,
            waiters,
            running: Running::default(),
            cancels,
            removals: Removals::default(),
            walkers,
            io: Handle::current(),
            is_stopping: AtomicBool::new(false),
            tasks: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(host.lease.clone().keep(host.store.clone(), host.backlog.clone()));
        tasks.spawn(host.backlog.clone().follow());
        tasks.spawn(host.stored.clone().follow());
        tasks.spawn(recover(host.store.clone(), host.lease.clone(), host.waiters.clone()));
        tasks.spawn(follow(host.clone()));
        tasks.spawn(announce(host.store.clone(), announced));
        tasks.spawn(forget_keys(host.store.clone()));
        let stopper = host.clone();
        tasks.spawn(async move {
            let stop = |lease: store::Lease| stopper.running.cancel(lease.id, lease.attempt);
            stop_cancelled(stopper.store.clone(), stopper.lease.clone(), &stopper.cancels, stop).await;
        });
        let stopper = host.clone();
        tasks.spawn(async move {
            let stop = |tenant| stopper.running.stop_sync_of(tenant);
            remove_tenants(stopper.store.clone(), &stopper.removals, stop).await;
        });
        tasks.spawn(add_days(host.store.clone()));
        tasks.spawn(add_up_usage(host.store.clone()));
        let users = host.clone();
        tasks.spawn(async move { users.write_uses().await });
        tasks.spawn(keep_size(host.store.clone(), host.config.keep_days));
        tasks.spawn(host.compiled.clone().keep_forgetting());
        tasks.spawn(tell(host.store.clone(), host.lease.clone(), host.wake.clone()));
        if host.runs_async() {
            let (store, lease, lanes, strays) = (&host.store, &host.lease, &host.lanes, Strays::default());
            tasks.spawn(hear(store.clone(), lease.clone(), lanes.clone()));
            let runner = host.clone();
            let running = move || runner.running.ids();
            tasks.spawn(free_strays(
                store.clone(),
                lease.clone(),
                lanes.clone(),
                host.waiters.clone(),
                strays.clone(),
                running,
            ));
            let claiming = Claiming {
                store: store.clone(),
                lease: lease.clone(),
                slots: host.slots.clone(),
                lanes: lanes.clone(),
                catalog: host.catalog.clone(),
                quotas: host.config.quotas,
                strays,
            };
            let starter = host.clone();
            tasks.spawn(claim_due(claiming, move |claimed, slot| starter.start_claimed(claimed, slot)));
        }
        *host.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
        Ok(host)
    }

    /// Whether this host may take traffic; if not, why.
    ///
    /// # Errors
    /// The reason, in words that may leave the host.
    pub async fn is_ready(&self) -> Result<(), String> {
        if self.is_stopping() {
            return Err("the host is stopping".into());
        }
        self.store.ping().await.map_err(|error| {
            tracing::debug!(error = &error as &dyn std::error::Error, "not ready");
            "the database cannot be reached".to_owned()
        })
    }

    /// Reads a walker once it has ended, or after `at_most`, however it stands then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wait_for_end(
        &self,
        actor: &Actor,
        id: &WalkerId,
        at_most: Duration,
        look: FirstLook,
    ) -> Result<Option<WalkerView>, store::Error> {
        let began = Instant::now();
        let until = began + at_most;
        let waiter = self.waiters.enter(id.uuid);
        let hears = async |pause: Duration| {
            let left = until.saturating_duration_since(Instant::now());
            tokio::time::timeout(left.min(pause), waiter.ended()).await.is_ok()
        };
        if look == FirstLook::AfterAWhile && !hears(FIRST_POLL).await && self.running.has(id.uuid) {
            hears(WAIT_POLL_HERE).await;
        }
        loop {
            // Whoever has just made it may see it, and it has ended once.
            if look == FirstLook::AfterAWhile
                && let Some(view) = waiter.view()
            {
                return Ok(Some(view.clone()));
            }
            let view = self.readers.walker(actor, id).await?;
            let left = until.saturating_duration_since(Instant::now());
            let has_ended = view.as_ref().is_none_or(|view| view.schedule.status.is_final());
            if left.is_zero() || has_ended {
                return Ok(view);
            }
            let elsewhere = || (began.elapsed() / 8).clamp(FIRST_POLL, WAIT_POLL);
            hears(if self.running.has(id.uuid) { WAIT_POLL_HERE } else { elsewhere() }).await;
        }
    }

    /// Room for so many more bytes of a tenant that may store `quota` in all.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub(crate) async fn room_to_store<E>(&self, tenant: TenantId, bytes: u64, quota: u64) -> Result<(), E>
    where
        E: From<StorageFull> + From<store::Error>,
    {
        self.stored.admit(tenant, bytes, quota).await.map_err(|refused| match refused {
            NoRoom::Full(stored) => StorageFull { stored, quota }.into(),
            NoRoom::Store(error) => error.into(),
        })
    }

    /// Where uploads are kept while they are looked at.
    pub(crate) fn spool(&self) -> &Spool {
        self.compiled.spool()
    }

    /// A failed walker's stack, innermost first: `function at file:line`. The tenant is its reader's.
    pub async fn backtrace(&self, tenant: TenantId, view: &WalkerView) -> Arc<Vec<String>> {
        match &view.run.failure {
            Some(failure) if !failure.frames.is_empty() => {
                self.backtraces.of(tenant, view.run.module.sha256, &failure.frames).await
            }
            _ => Arc::default(),
        }
    }

    /// From now on takes no new work, and says so to whoever asks whether it is ready.
    pub fn begin_stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.slots.close();
    }

    /// Stops: no new work, `grace` for what runs, then everything is handed back.
    pub async fn stop(&self, grace: Duration) {
        self.begin_stop();
        if tokio::time::timeout(grace, self.running.idle()).await.is_err() {
            let count = self.running.count();
            tracing::info!(count, "{count} walkers still run; handing them back");
            self.running.stop_all();
            drop(tokio::time::timeout(grace, self.running.idle()).await);
        }
        // Before leaving, or the heartbeat would enter this host anew.
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
        self.identity.write_uses().await.unwrap_or_else(|error| untold_uses(&error));
        match self.store.leave(self.lease.id()).await {
            Ok(0) => {}
            Ok(freed) => tracing::info!(freed, "handed back {freed} walkers"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not hand back what this host held; others take it over within ten seconds"
            ),
        }
        self.store.close();
    }

    /// Whether this host runs async walkers, or leaves them to others.
    pub(crate) fn runs_async(&self) -> bool {
        self.config.role.runs()
    }

    /// Writes when keys were used for as long as this host lives; never returns.
    async fn write_uses(&self) {
        loop {
            tokio::time::sleep(WRITE_EVERY).await;
            self.identity.write_uses().await.unwrap_or_else(|error| untold_uses(&error));
        }
    }

    /// Whether this host is about to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }
}

/// Nothing but a time in a list is late.
fn untold_uses(error: &identity::Error) {
    tracing::debug!(error = error as &dyn std::error::Error, "could not write when keys were last used");
}

/// Makes the days ahead for as long as this host lives; never returns.
async fn add_days(store: Store) {
    loop {
        tokio::time::sleep(ADD_DAYS).await;
        if let Err(error) = store.add_days().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not make the days ahead; trying again in an hour"
            );
        }
    }
}
