//! SQL and nothing else: connections, migrations, and one file for each purpose.
//!
//! Decides nothing: who may do what, and when, is asked and answered above.

pub(crate) mod attempts;
mod audit;
pub(crate) mod cancel;
pub(crate) mod checkpoint;
pub(crate) mod claim;
mod code;
pub(crate) mod complete;
mod deltas;
pub(crate) mod ending;
mod forget;
pub(crate) mod grants;
pub(crate) mod groups;
pub(crate) mod hosts;
pub(crate) mod intake;
pub(crate) mod keys;
pub(crate) mod lanes;
mod lease;
mod list;
mod listen;
pub(crate) mod live;
pub(crate) mod logs;
mod migrate;
pub(crate) mod modules;
pub(crate) mod orphans;
mod partitions;
mod read;
pub(crate) mod record;
pub(crate) mod removal;
pub(crate) mod retention;
mod roles;
mod scoped;
mod session;
pub(crate) mod stored;
pub(crate) mod strays;
pub(crate) mod tenants;
mod tokens;
mod usage;
mod users;
pub(crate) mod wake;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};

pub use audit::{Record, Whose};
pub use claim::CLAIM;
pub use grants::Grant;
pub(crate) use grants::Granted;
pub use hosts::HostId;
pub use lease::Lease;
pub use list::ListFilter;
pub use logs::{LogEntry, Logs};
pub use modules::{ModuleView, VersionView};
pub use read::{AttemptView, ModuleRef, RunView, WalkerView};
pub(crate) use read::{Found, READ, SMALL_WALKER_BYTES, read};
use roles::Role;
pub(crate) use session::{Session, within};
pub use tenants::{Changed, Tenant, TenantChange};
pub use tokens::{Bearer, KeyRow, Token};
pub use usage::DayUsage;
pub use users::User;

/// What its connections call themselves, and what the names of those with a purpose of their own begin with.
const APPLICATION: &str = "walker";
/// How long a request waits for a connection before it is told that the database is unavailable.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long somebody who reads a walker waits before they are told that the database is unavailable.
pub(crate) const READ_WAIT: Duration = Duration::from_secs(5);
/// How long what was sent may stay unacknowledged, and how soon an idle connection is asked whether it still is one:
/// without these, a connection that a firewall forgot is waited on for a quarter of an hour.
const SILENCE: Duration = Duration::from_secs(10);

/// A connection keeps buffers as large as the largest message that ever went through it. After one larger than this it is
/// closed: each would hold 16 MiB for good after a walker with long reports, and a new one costs less than the message did.
pub(crate) const LARGE_MESSAGE_BYTES: usize = 1 << 20;

/// For statements that look up by key: planned once. Planning anew for every partition of every day, which Postgres
/// takes for the better choice, made reading one walker ten times as expensive (0.8 against 0.085 ms). What a host held that
/// is suspended in the middle of a transaction must be free again before others take it for dead.
const ONE_PLAN: &str = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set jit = off; set idle_in_transaction_session_timeout = '5s'";

/// What went wrong between us and Postgres.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection could be had, or it broke.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Postgres refused a statement.
    #[error("the database refused a statement")]
    Statement(#[source] tokio_postgres::Error),
    /// The schema could not be brought up to date.
    #[error("the database schema could not be brought up to date")]
    Migration(#[source] Box<refinery::Error>),
    /// The database does not keep tenants apart.
    #[error(
        "the database role {login:?} may not create the role that keeps tenants apart, so that this host serves one tenant only: have somebody who may create roles run `{script}` and start the host again"
    )]
    OneTenantOnly {
        /// As which role hosts log in.
        login: String,
        /// What is to be run.
        script: String,
    },
    /// A file that a value goes into or comes from.
    #[error("a file could not be read or written")]
    File(#[source] std::io::Error),
    /// A stored value is not what this host writes.
    #[error("the database holds {0}")]
    Corrupt(String),
}

impl Error {
    /// Whether trying again later may help.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// The name of the constraint that refused a row, if one did.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Statement(error) => error.as_db_error()?.constraint(),
            _ => None,
        }
    }
}

/// Classes of errors that are about Postgres' state, not about the statement: connections (08), lack of disk, memory or
/// connections (53), an operator at work, crashes and cancelled statements (57), the operating system (58), and deadlocks (40).
const PASSING: [&str; 5] = ["08", "53", "57", "58", "40"];

/// Whether the same statement may go through later.
fn is_passing(code: &SqlState) -> bool {
    PASSING.iter().any(|class| code.code().starts_with(class))
        || [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            // A standby, until the failover has found the new primary.
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ]
        .contains(code)
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let passes = match error.code() {
            // Without a code the connection itself failed, or a value could not be converted.
            None => {
                error.is_closed()
                    || std::error::Error::source(&error).is_some_and(|source| source.is::<std::io::Error>())
            }
            Some(code) => is_passing(code),
        };
        if passes { Self::Unavailable(error.into()) } else { Self::Statement(error) }
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => error.into(),
            other => Self::Unavailable(other.into()),
        }
    }
}

/// A statement's parameter.
type Parameter<'a> = &'a (dyn ToSql + Sync);

/// The way to Postgres: pools for reads and rare writes, and the settings for connections of one's own.
#[derive(Clone)]
pub struct Store {
    /// As the owner of the tables, who sees everything.
    pool: Pool,
    /// As the role that row-level security binds.
    tenants: Pool,
    role: Role,
    /// Shared: copies of it are many, and it is not small.
    config: Arc<tokio_postgres::Config>,
}

impl Store {
    /// Connects, brings the schema up to date and makes the partitions for the days around today. Holds up to twice
    /// `pool_size` connections.
    ///
    /// # Errors
    /// When Postgres cannot be reached, the schema cannot be brought up to date, or there are several tenants and Postgres
    /// cannot keep them apart.
    pub async fn open(mut config: tokio_postgres::Config, pool_size: usize) -> Result<Self, Error> {
        config
            .application_name(APPLICATION)
            .connect_timeout(CONNECT_WAIT)
            .tcp_user_timeout(SILENCE)
            .keepalives_idle(SILENCE)
            .keepalives_interval(SILENCE / 5)
            .keepalives_retries(3);
        let role = migrate::migrate(&config).await?;
        let pool = |purpose, settings| pool(&session::named(&config, purpose), pool_size, settings);
        let (pool, tenants) = (pool("requests", String::new()), pool("requests of tenants", role.take_on()));
        let store = Self { pool, tenants, role, config: Arc::new(config) };
        store.add_days().await?;
        store.check_role().await?;
        Ok(store)
    }

    /// A pooled connection that sees everything. Never held across a run.
    pub(crate) async fn client(&self) -> Result<deadpool_postgres::Client, Error> {
        Ok(self.pool.get().await?)
    }

    /// Puts a pooled connection back after an answer, if its buffers are still small.
    pub(crate) fn put_back(client: deadpool_postgres::Client, answer: &[Row]) {
        if answer.iter().map(Row::raw_size_bytes).sum::<usize>() > LARGE_MESSAGE_BYTES {
            drop(deadpool_postgres::Client::take(client));
        }
    }

    /// Closes the pool: whoever asks from now on is told that the database is unavailable.
    pub fn close(&self) {
        self.pool.close();
        self.tenants.close();
    }

    /// Whether Postgres answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        self.client().await?.simple_query("select 1").await?;
        Ok(())
    }
}

/// A pool of connections that begin with these settings.
fn pool(config: &tokio_postgres::Config, size: usize, settings: String) -> Pool {
    let manager =
        Manager::from_config(config.clone(), NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let settings: Arc<str> = format!("{ONE_PLAN};{settings}").into();
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .post_create(Hook::async_fn(move |client, _| {
            let settings = settings.clone();
            Box::pin(async move { client.batch_execute(&settings).await.map_err(HookError::Backend) })
        }))
        .timeouts(Timeouts { wait: Some(CONNECT_WAIT), create: Some(CONNECT_WAIT), recycle: Some(CONNECT_WAIT) })
        .build()
        .expect("the pool has a runtime for its timeouts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_a_statement_is_refused_for() {
        let check = |code: &str, expect: bool| assert_eq!(is_passing(&SqlState::from_code(code)), expect, "{code}");
        for passing in
            ["08006", "53100", "53300", "57014", "57P01", "57P03", "58030", "40P01", "55P03", "25P03", "25006"]
        {
            check(passing, true);
        }
        for refused in ["23505", "23514", "22021", "22P05", "42P01", "54000", "XX000"] {
            check(refused, false);
        }
    }
}
