//! A host from its settings to its end.
//!
//! Only puts the parts together, in the order in which they need each other.

mod autogroup;
mod cache_key;
mod threads;

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use walker_sandbox::{ArtifactCache, Jail, Sandbox};

use crate::config::Config;
use crate::embedded_postgres::{self, EmbeddedPostgres};
use crate::host::{Host, Parts};
use crate::http::connections::Tls;
use crate::identity;
use crate::modules::{Compiled, Spool};
use crate::store::{self, Store};
use crate::{http, shutdown};

/// What closing idle connections may take, however short the grace period is.
const CLOSING: Duration = Duration::from_millis(100);
/// Connections for requests; each is held for one statement. With the queue's own (docs/operations.md counts them)
/// this leaves room for two hosts under Postgres' default of a hundred.
const POOL_SIZE: usize = 8;

/// Why a host could not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of the data directory.
    #[error("cannot {what} {path}")]
    File {
        /// What was to be done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The private Postgres.
    #[error("cannot run the embedded PostgreSQL")]
    Embedded(#[from] embedded_postgres::Error),
    /// `DATABASE_URL` is not one.
    #[error("DATABASE_URL cannot be read; expected postgres://user:password@host:port/database")]
    DatabaseUrl(#[source] tokio_postgres::Error),
    /// The database.
    #[error("cannot use the database")]
    Store(#[from] store::Error),
    /// The first tokens.
    #[error("cannot make the first tokens")]
    FirstStart(#[from] identity::FirstStartError),
    /// The sandbox.
    #[error("cannot make the sandbox")]
    Sandbox(#[from] walker_sandbox::Error),
    /// The address to listen on.
    #[error("cannot listen on {address}; is another host running? give another --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The certificate for HTTPS.
    #[error("cannot serve HTTPS")]
    Tls(#[from] http::connections::TlsError),
    /// The operating system refused something basic.
    #[error("cannot {what}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

/// Runs a host until it is asked to stop. `listening` is told the URL once it takes requests.
///
/// Called on the runtime for everything but walkers, which get threads of their own. The program must answer to
/// `<program> jail …` with [`walker_sandbox::jail_main`]: modules are read and compiled in such children.
///
/// # Errors
/// When a part cannot start.
pub async fn serve(config: Config, listening: impl FnOnce(&str)) -> Result<(), Error> {
    let stop = shutdown::signal().map_err(|source| Error::System { what: "wait for signals", source })?;
    let file = |what, path: PathBuf| move |source| Error::File { what, path, source };
    // It holds secrets and other people's code: nobody else's business. One that exists keeps its mode.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir);
    made.map_err(file("make the folder", config.data_dir.clone()))?;
    let tls = config.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
    // The socket first: a second host on the same address must not get as far as the database.
    let listener =
        http::connections::listen(config.listen).map_err(|source| Error::Listen { address: config.listen, source })?;
    let address = listener.local_addr().map_err(|source| Error::Listen { address: config.listen, source })?;

    let socket = Socket { listener, address, tls };
    match &config.database_url {
        Some(url) => {
            let database = url.expose().parse().map_err(Error::DatabaseUrl)?;
            with_database(&config, database, socket, listening, stop).await
        }
        None => {
            let embedded = EmbeddedPostgres::start(&config.data_dir).await?;
            let served = with_database(&config, embedded.config(), socket, listening, stop).await;
            embedded.stop().await?;
            served
        }
    }
}

/// Where requests will come from.
struct Socket {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
}

impl Socket {
    fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

/// From a database that answers to the host's end.
async fn with_database(
    config: &Config,
    database: tokio_postgres::Config,
    socket: Socket,
    listening: impl FnOnce(&str),
    stop: impl Future<Output = &'static str>,
) -> Result<(), Error> {
    let store = Store::open(database, POOL_SIZE).await?;
    let operator = config.operator_token.as_ref().map(|token| token.expose());
    let secrets = identity::first_start(&store, &config.data_dir, operator).await?;

    // The pool has room for what the ceiling lets any tenant be given.
    let most = config.quotas.ceiling.0.limits;
    let levels = u32::try_from(most.call_depth).unwrap_or(u32::MAX).max(1);
    let sandbox_config = walker_sandbox::Config {
        // A walker that calls others holds one store for each level.
        slots: u32::try_from(config.slots).unwrap_or(u32::MAX).saturating_mul(levels),
        // No run may have more; 4 GiB is what a memory of 32 bits can have.
        max_memory_bytes: most.memory_bytes.clamp(1, 4 << 30).next_multiple_of(1 << 16),
        max_table_elements: u32::try_from(most.table_elements).unwrap_or(u32::MAX).max(1),
        max_core_instances: u32::try_from(most.core_instances).unwrap_or(u32::MAX),
        stack_bytes: most.stack_bytes,
        clock_resolution_us: u64::try_from(config.clock_resolution.as_micros()).unwrap_or(u64::MAX),
        ..walker_sandbox::Config::default()
    };
    let sandbox = Sandbox::new(sandbox_config.clone())?;
    // Where the machine lets us reserve less, fewer run at once.
    let slots = sandbox.slots().map_or(config.slots, |slots| (slots / levels) as usize);
    let config = Config { slots: config.slots.min(slots.max(1)), ..config.clone() };
    // This very program, even when its file was replaced since.
    let program = std::path::PathBuf::from("/proc/self/exe");
    let uploads = config.data_dir.join("uploads");
    let spool = Spool::open(&uploads).map_err(|source| Error::File {
        what: "use the folder",
        path: uploads.clone(),
        source,
    })?;
    let jail = Jail::new(program, sandbox_config, config.jail, config.quotas.ceiling.0.upload, uploads);
    tokio::spawn(tell_walls(jail.clone()));
    let cache = config.data_dir.join("compiled");
    let key = cache_key::load(&config.data_dir)?;
    let disk = ArtifactCache::open(&cache, key, sandbox.fingerprint(), config.module_disk_bytes)
        .map_err(|source| Error::File { what: "use the folder", path: cache, source })?;
    let compiled = Compiled::new(store.clone(), sandbox.clone(), jail, disk, spool, config.module_cache_bytes);

    let walkers = threads::Walkers::start(config.threads)
        .map_err(|source| Error::System { what: "start the walkers' threads", source })?;
    let parts = Parts { store, sandbox, compiled, walkers: walkers.turns(), config: config.clone() };
    let host = Host::start(parts).await?;

    let url = socket.url();
    identity::write_client(&config.data_dir, &url, &secrets.key).map_err(|source| Error::File {
        what: "write the client's settings in",
        path: config.data_dir.clone(),
        source,
    })?;
    listening(&url);
    requests(&host, socket, stop).await;
    host.stop(config.grace).await;
    drop(walkers);
    Ok(())
}

/// Says once what stands around the children that read modules, and what this machine cannot put up.
async fn tell_walls(jail: Jail) {
    match jail.walls().await {
        Ok(walls) if walls.missing.is_empty() => {
            tracing::info!("modules are read in a jail: {}", walls.standing.join("; "));
        }
        Ok(walls) => tracing::info!(
            "modules are read in a jail: {}; missing on this machine, see SECURITY.md: {}",
            walls.standing.join("; "),
            walls.missing.join("; ")
        ),
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the jail for modules does not work"),
    }
}

/// Answers requests until the signal, then those under way.
async fn requests(host: &Arc<Host>, socket: Socket, stop: impl Future<Output = &'static str>) {
    let stopping = CancellationToken::new();
    let Socket { listener, tls, .. } = socket;
    if let Some(tls) = &tls {
        let follow = tls.clone().follow_files();
        tokio::spawn(stopping.clone().run_until_cancelled_owned(follow));
    }
    let (router, settings) = (http::router(host.clone()), host.config.connections);
    let connections = http::connections::serve(listener, tls, router, settings, stopping.clone());
    let server = tokio::spawn(connections);
    let signal = stop.await;
    tracing::info!(signal, "got {signal}: finishing what runs, for at most {:?}", host.config.grace);
    host.begin_stop();
    stopping.cancel();
    // Idle keep-alive connections end at once, which takes its moment; requests under way have the grace period.
    if tokio::time::timeout(host.config.grace.max(CLOSING), server).await.is_err() {
        tracing::warn!("some requests were still under way and are cut");
    }
}
