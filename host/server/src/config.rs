//! What `walker serve` can be told: every setting, its default, and where it may come from.
//!
//! Knows nothing of what the settings do; the command line's own parser lives in the `walker` binary.

mod connections;
mod cors;
mod logins;
mod machine;
mod parse;
mod proxies;
mod quotas;
mod secret;
mod sources;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axum::http::HeaderValue;
use walker_sandbox::JailLimits;

use crate::quotas::QuotaRules;

pub use connections::Connections;
pub use logins::Logins;
pub use parse::duration as parse_duration;
pub use proxies::{ForwardedHeader, Proxies};
pub use secret::Secret;
pub use sources::{Invalid, Sources};
pub use tls::{PlainHttp, TlsFiles};

/// The settings of one host. Each is a flag, an environment variable and a key of the TOML file; the first that is
/// given counts, in that order.
///
/// | field | flag | environment | TOML |
/// |---|---|---|---|
/// | `listen` | `--listen` | `WALKER_LISTEN` | `listen` |
/// | `tls.cert` | `--tls-cert` | `WALKER_TLS_CERT` | `tls_cert` |
/// | `tls.key` | `--tls-key` | `WALKER_TLS_KEY` | `tls_key` |
/// | `plain_http` | `--plain-http` | `WALKER_PLAIN_HTTP` | `plain_http` |
/// | `data_dir` | `--data-dir` | `WALKER_DATA_DIR` | `data_dir` |
/// | `database_url` | | `DATABASE_URL` | `database_url` |
/// | `threads` | `--threads` | `WALKER_THREADS` | `threads` |
/// | `role` | `--role` | `WALKER_ROLE` | `role` |
/// | `operator_token` | | `WALKER_OPERATOR_TOKEN` | `operator_token` |
/// | `log_format` | `--log-format` | `WALKER_LOG_FORMAT` | `log_format` |
/// | `log_filter` | `--log` | `WALKER_LOG` | `log` |
/// | `slots` | `--slots` | `WALKER_SLOTS` | `slots` |
/// | `runs_memory_bytes` | | `WALKER_RUNS_MEMORY_BYTES` | `runs_memory_bytes` |
/// | `bodies_memory_bytes` | | `WALKER_BODIES_MEMORY_BYTES` | `bodies_memory_bytes` |
/// | `clock_resolution` | | `WALKER_CLOCK_RESOLUTION` | `clock_resolution` |
/// | `grace` | `--grace` | `WALKER_GRACE` | `grace` |
/// | `max_body_bytes` | | `WALKER_MAX_BODY_BYTES` | `max_body_bytes` |
/// | `module_cache_bytes` | | `WALKER_MODULE_CACHE_BYTES` | `module_cache_bytes` |
/// | `module_disk_bytes` | | `WALKER_MODULE_DISK_BYTES` | `module_disk_bytes` |
/// | `keep_days` | | `WALKER_KEEP_DAYS` | `keep_days` |
/// | `quotas` | | | `[limits]` and `[ceiling]`, by the names of [`walker_model::Quotas`] |
/// | `jail` | | | `[jail]`, `[jail.bounds]` |
/// | `connections.max` | | `WALKER_MAX_CONNECTIONS` | `max_connections` |
/// | `connections.head_timeout` | | `WALKER_HEAD_TIMEOUT` | `head_timeout` |
/// | `connections.idle_timeout` | | `WALKER_IDLE_TIMEOUT` | `idle_timeout` |
/// | `connections.transfer_timeout` | | `WALKER_TRANSFER_TIMEOUT` | `transfer_timeout` |
/// | `connections.transfer_min_bytes` | | `WALKER_TRANSFER_MIN_BYTES` | `transfer_min_bytes` |
/// | `logins.per_address` | | `WALKER_LOGINS_PER_ADDRESS` | `logins_per_address` |
/// | `logins.per_account` | | `WALKER_LOGINS_PER_ACCOUNT` | `logins_per_account` |
/// | `session_lifetime` | | `WALKER_SESSION_LIFETIME` | `session_lifetime` |
/// | `proxies.trusted` | | `WALKER_TRUSTED_PROXIES` | `trusted_proxies` |
/// | `proxies.header` | | `WALKER_FORWARDED_HEADER` | `forwarded_header` |
/// | `cors_origins` | | `WALKER_CORS_ORIGINS` | `cors_origins` |
///
/// Secrets are no flags: everybody on the machine can read a process's arguments.
///
/// Durations are written `500ms`, `10s` or `5m`; sizes `64MiB`, `16 MiB`, `512KiB`, or plain bytes; lists with
/// commas between, or as TOML's.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where HTTP is served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The certificate that HTTPS is served with; without one, HTTP is served in the clear.
    pub tls: Option<TlsFiles>,
    /// Where that may be, if there is no certificate.
    pub plain_http: PlainHttp,
    /// Where the host keeps its files: the embedded Postgres, compiled modules, the client's token.
    pub data_dir: PathBuf,
    /// An external Postgres; without one the host runs its own.
    pub database_url: Option<Secret>,
    /// How many threads run walkers.
    pub threads: usize,
    /// What this host does.
    pub role: Role,
    /// The operator's token; without one, the first start makes one.
    pub operator_token: Option<Secret>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written, as `tracing` filters read it.
    pub log_filter: String,
    /// How many walkers run at once, those waiting for something included.
    pub slots: usize,
    /// How much memory all running walkers may have together.
    pub runs_memory_bytes: u64,
    /// How much memory all bodies may have together that callers send.
    pub bodies_memory_bytes: u64,
    /// How coarse the clocks are that walkers read.
    pub clock_resolution: Duration,
    /// How long running walkers may go on once the host is asked to stop.
    pub grace: Duration,
    /// The largest body of any other request.
    pub max_body_bytes: u64,
    /// How much compiled code is kept ready in memory.
    pub module_cache_bytes: u64,
    /// How much compiled code is kept in the data directory.
    pub module_disk_bytes: u64,
    /// How many days after a walker's end it can still be read, for tenants with no period of their own.
    pub keep_days: u16,
    /// What tenants may use, and what they can be given at most.
    pub quotas: QuotaRules,
    /// What checking and compiling one module may use, and how much of what a module may hold.
    pub jail: JailLimits,
    /// What clients' connections may cost.
    pub connections: Connections,
    /// How often passwords may be tried.
    pub logins: Logins,
    /// How long a user stays logged in.
    pub session_lifetime: Duration,
    /// Whose word counts on where a request came from.
    pub proxies: Proxies,
    /// The sites whose pages may call the host from a browser, such as `https://app.example`.
    pub cors_origins: Vec<HeaderValue>,
}

/// A tenant alone may hold two thirds of the memory for bodies; beside others who are as greedy, less. Each should be able to
/// send the largest body there is.
const BODIES_FOR_ONE: u64 = 4;

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            tls: None,
            plain_http: PlainHttp::OnLoopback,
            data_dir: PathBuf::from(".walker"),
            database_url: None,
            threads: std::thread::available_parallelism().map_or(1, NonZero::get),
            role: Role::All,
            operator_token: None,
            log_format: LogFormat::Pretty,
            // Postgres' notices ("already exists, skipping") tell an operator nothing.
            log_filter: "info,tokio_postgres=warn".to_owned(),
            // Enough that walkers waiting for others do not starve the cores; one tenant alone gets two thirds of them.
            // Bounded by the pooled instance slots.
            slots: 384,
            // The rest is for the host itself, the system's own cache of files, and a Postgres beside it.
            runs_memory_bytes: machine::memory_bytes() / 2,
            // A thousand bodies of a megabyte on a machine of 16 GiB; checking and storing them takes about as much again.
            bodies_memory_bytes: (machine::memory_bytes() / 16).max(BODIES_FOR_ONE * (16 << 20)),
            // Coarse enough to be useless for timing neighbours, fine enough for timestamps.
            clock_resolution: Duration::from_millis(1),
            // What container runtimes give by default before they kill.
            grace: Duration::from_secs(10),
            // Python and JavaScript components are 2–20 MB.
            // Leaves room for fields of 8 MiB and for batches.
            max_body_bytes: 16 << 20,
            // Some fifty large guests, or thousands of Rust ones.
            module_cache_bytes: 1 << 30,
            // Eight times what is kept in memory, and still little beside what a Postgres on the same disk takes.
            module_disk_bytes: 8 << 30,
            // Long enough to look into what happened last month; what is to stay belongs into the caller's own database.
            keep_days: 30,
            quotas: QuotaRules::default(),
            jail: JailLimits::default(),
            connections: Connections::default(),
            logins: Logins::default(),
            // A month: long enough not to annoy, short enough that a forgotten machine does not stay logged in.
            session_lifetime: Duration::from_secs(30 * 86_400),
            proxies: Proxies::default(),
            cors_origins: Vec::new(),
        }
    }
}

/// What a host does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Serves HTTP and runs walkers.
    All,
    /// Serves HTTP only; another host runs the walkers.
    Api,
    /// Runs walkers only; HTTP answers nothing but health.
    Runner,
}

impl Role {
    /// Whether it answers tenants' requests.
    pub(crate) fn serves(self) -> bool {
        match self {
            Self::All | Self::Api => true,
            Self::Runner => false,
        }
    }

    /// Whether it runs what waits.
    pub(crate) fn runs(self) -> bool {
        match self {
            Self::All | Self::Runner => true,
            Self::Api => false,
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "api" => Ok(Self::Api),
            "runner" => Ok(Self::Runner),
            _ => Err("expected all, api or runner".to_owned()),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For eyes.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            _ => Err("expected pretty or json".to_owned()),
        }
    }
}
