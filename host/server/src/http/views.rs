//! The JSON that leaves the host, field by field as it is documented.
//!
//! What users wrote (fields, reports, custom values, schemas) passes through as text, never through a parser.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use walker_model::{Definition, Field, Json, NodeId, Schedule, Settings, Status, WalkerId, micros};

use crate::store::{KeyRow, LogEntry, ModuleView, Tenant, User, VersionView, WalkerView};

/// Whether the host is well.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    #[schema(example = "ok")]
    pub(super) status: &'static str,
}

/// An async walker was accepted: its row is committed.
#[derive(Serialize, ToSchema)]
pub(super) struct Accepted {
    #[schema(example = 200)]
    pub(super) status: u16,
    #[schema(value_type = String, example = "w:sample:550e8400-e29b-41d4-a716-446655440000")]
    pub(super) walker_id: WalkerId,
}

/// A sync walker ended well.
#[derive(Serialize, ToSchema)]
pub(super) struct Ended {
    /// The walker's `http_status`.
    #[schema(example = 200)]
    pub(super) status: u16,
    #[schema(value_type = String, example = "w:view_sample_result:550e8400-e29b-41d4-a716-446655440000")]
    pub(super) walker_id: WalkerId,
    /// What it reported, in order.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub(super) reports: Vec<Json>,
}

/// One walker.
#[derive(Serialize, ToSchema)]
pub(super) struct WalkerAnswer {
    #[schema(example = 200)]
    pub(super) status: u16,
    pub(super) walker: Walker,
}

/// A page of walkers, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct WalkerPage {
    #[schema(example = 200)]
    pub(super) status: u16,
    pub(super) walkers: Vec<Walker>,
    /// Where the next page starts; null on the last one.
    pub(super) cursor: Option<String>,
}

/// Everything there is to know about one walker.
#[derive(Serialize, ToSchema)]
pub(super) struct Walker {
    #[schema(value_type = String, example = "w:sample:550e8400-e29b-41d4-a716-446655440000")]
    id: WalkerId,
    /// Its fields: while it runs the last saved, after it ended the final ones.
    #[schema(value_type = serde_json::Value)]
    context: Json,
    #[schema(value_type = ScheduleSchema)]
    schedule: Schedule,
    run: Run,
}

/// The execution record of one invocation.
#[derive(ToSchema)]
#[schema(as = Schedule)]
#[expect(dead_code, reason = "only says what the model's Schedule looks like")]
struct ScheduleSchema {
    #[schema(value_type = String, example = "completed")]
    status: Status,
    #[schema(value_type = String, example = "n::018f7f1e-0000-7000-8000-000000000000")]
    node_id: NodeId,
    #[schema(value_type = String, example = "n::018f7f1e-0000-7000-8000-000000000000")]
    root_id: NodeId,
    execute_date: DateTime<Utc>,
    executed_date: Option<DateTime<Utc>>,
    http_status: Option<u16>,
    #[schema(value_type = Vec<serde_json::Value>)]
    reports: Vec<Json>,
    #[schema(value_type = Option<serde_json::Value>)]
    custom: Option<Json>,
    error: Option<String>,
}

/// How a walker was run.
#[derive(Serialize, ToSchema)]
struct Run {
    /// The latest attempt; 0 before the first.
    attempt: u16,
    #[serde(with = "micros::option")]
    finished_date: Option<DateTime<Utc>>,
    duration_ms: Option<f64>,
    module: ModuleRef,
    usage: Option<Usage>,
    failure: Option<RunFailure>,
}

/// Which code ran.
#[derive(Serialize, ToSchema)]
struct ModuleRef {
    name: String,
    version: i32,
    sha256: String,
}

/// What a run used.
#[derive(Serialize, ToSchema)]
struct Usage {
    fuel: u64,
    memory_peak_bytes: u64,
    log_bytes: u64,
}

/// How a run failed.
#[derive(Serialize, ToSchema)]
struct RunFailure {
    #[schema(example = "guest.panic")]
    code: &'static str,
    message: String,
    /// Innermost first, each `function at file:line` where that is known.
    backtrace: Vec<String>,
    /// Whether the same walker, run again unchanged, may well end otherwise.
    retryable: bool,
}

impl Walker {
    /// A walker with its backtrace, if it failed.
    pub(super) fn new(view: WalkerView, backtrace: &[String]) -> Self {
        let WalkerView { id, fields: context, schedule, run } = view;
        let module = run.module;
        Self {
            id,
            context,
            schedule,
            run: Run {
                attempt: run.attempt,
                finished_date: run.finished_date,
                duration_ms: run.usage.as_ref().map(|(usage, _)| to_micros(usage.duration_ms)),
                module: ModuleRef { name: module.name, version: module.version, sha256: hex(&module.sha256) },
                usage: run.usage.map(|(usage, _)| Usage {
                    fuel: usage.fuel,
                    memory_peak_bytes: usage.memory_peak_bytes,
                    log_bytes: usage.log_bytes,
                }),
                failure: run.failure.map(|failure| RunFailure {
                    code: failure.code.as_str(),
                    message: failure.message,
                    backtrace: backtrace.to_vec(),
                    retryable: failure.code.is_retryable(),
                }),
            },
        }
    }
}

/// What a walker printed.
#[derive(Serialize, ToSchema)]
pub(super) struct LogPage {
    #[schema(example = 200)]
    pub(super) status: u16,
    pub(super) logs: Vec<LogLine>,
    /// Whether the walker has ended, so that no further lines will come.
    pub(super) ended: bool,
}

/// One line that a walker printed.
#[derive(Serialize, ToSchema)]
pub(super) struct LogLine {
    /// Its place among all lines of its attempt, from 1.
    seq: i32,
    attempt: u16,
    #[schema(value_type = DateTime<Utc>)]
    time: String,
    #[schema(value_type = String, example = "stdout")]
    stream: walker_sandbox::Stream,
    text: String,
}

impl LogLine {
    pub(super) fn new(attempt: u16, entry: LogEntry) -> Self {
        let time = entry.line.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        Self { seq: entry.seq, attempt, time, stream: entry.line.stream, text: entry.line.text }
    }
}

/// One module.
#[derive(Serialize, ToSchema)]
pub(super) struct ModuleAnswer {
    #[schema(example = 200)]
    pub(super) status: u16,
    pub(super) module: Module,
}

/// A page of modules, by name.
#[derive(Serialize, ToSchema)]
pub(super) struct ModulePage {
    #[schema(example = 200)]
    pub(super) status: u16,
    pub(super) modules: Vec<Module>,
    /// Where the next page starts; null on the last one.
    pub(super) cursor: Option<String>,
}

/// A published module.
#[derive(Serialize, ToSchema)]
pub(super) struct Module {
    name: String,
    /// The version that new invocations run.
    version: Option<i32>,
    /// What that version defines.
    walkers: Vec<WalkerDefinition>,
    /// All versions, newest first.
    versions: Vec<Version>,
}

/// One version of a module.
#[derive(Serialize, ToSchema)]
struct Version {
    version: i32,
    sha256: String,
    #[serde(with = "micros")]
    created_at: DateTime<Utc>,
    /// The names of the walkers that it defines.
    walkers: Vec<String>,
}

/// A walker as its module defines it.
#[derive(Serialize, ToSchema)]
struct WalkerDefinition {
    name: String,
    doc: String,
    /// Runs in the background; else the caller waits for its reports.
    #[serde(rename = "async")]
    is_async: bool,
    /// May be invoked without a token.
    #[serde(rename = "public")]
    is_public: bool,
    /// The node types it may enter; `Root` is a root, `*` any node.
    enters: Vec<String>,
    fields: Vec<WalkerField>,
    /// What its author asked for beyond that.
    #[schema(value_type = serde_json::Value)]
    settings: Settings,
}

/// One field of a walker.
#[derive(Serialize, ToSchema)]
struct WalkerField {
    name: String,
    /// JSON Schema (2020-12) of its values.
    #[schema(value_type = serde_json::Value)]
    schema: Json,
    /// Whether the caller must give it.
    required: bool,
    /// The value when the caller does not give it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    default: Option<Json>,
    doc: String,
}

impl From<ModuleView> for Module {
    fn from(module: ModuleView) -> Self {
        let ModuleView { name, active_version, versions } = module;
        let active = versions.iter().find(|version| Some(version.version) == active_version);
        Self {
            name,
            version: active_version,
            walkers: active
                .map(|version| version.walkers.iter().cloned().map(Into::into).collect())
                .unwrap_or_default(),
            versions: versions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<VersionView> for Version {
    fn from(version: VersionView) -> Self {
        Self {
            version: version.version,
            sha256: hex(&version.sha256),
            created_at: version.created_at,
            walkers: version.walkers.into_iter().map(|walker| walker.name).collect(),
        }
    }
}

impl From<Definition> for WalkerDefinition {
    fn from(definition: Definition) -> Self {
        let Definition { name, doc, is_async, is_public, enters, fields, settings } = definition;
        let field = |Field { name, schema, default, doc }| WalkerField {
            name,
            schema,
            required: default.is_none(),
            default,
            doc,
        };
        Self { name, doc, is_async, is_public, enters, fields: fields.into_iter().map(field).collect(), settings }
    }
}

/// A user who registered.
#[derive(Serialize, ToSchema)]
pub(super) struct Registered {
    id: Uuid,
    #[schema(example = "ada@example.org")]
    email: String,
    #[schema(value_type = String, example = "n::018f7f1e-0000-7000-8000-000000000000")]
    root_id: NodeId,
}

impl From<User> for Registered {
    fn from(user: User) -> Self {
        Self { id: user.id, email: user.email, root_id: NodeId::root(user.root) }
    }
}

/// A user who logged in.
#[derive(Serialize, ToSchema)]
pub(super) struct LoggedIn {
    /// Shown this once.
    #[schema(example = "ws_…")]
    pub(super) token: String,
    pub(super) user: SessionUser,
}

/// Who logged in, and until when.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionUser {
    id: Uuid,
    #[schema(example = "ada@example.org")]
    email: String,
    #[schema(value_type = String, example = "n::018f7f1e-0000-7000-8000-000000000000")]
    root_id: NodeId,
    #[serde(with = "micros")]
    expiration: DateTime<Utc>,
}

impl SessionUser {
    pub(super) fn new(user: User, expiration: DateTime<Utc>) -> Self {
        Self { id: user.id, email: user.email, root_id: NodeId::root(user.root), expiration }
    }
}

/// A tenant.
#[derive(Serialize, ToSchema)]
pub(super) struct TenantView {
    #[schema(example = "acme")]
    name: String,
    /// The root that its keys enter.
    #[schema(value_type = String, example = "n::018f7f1e-0000-7000-8000-000000000000")]
    root_id: NodeId,
    #[serde(with = "micros")]
    created_at: DateTime<Utc>,
}

impl From<Tenant> for TenantView {
    fn from(tenant: Tenant) -> Self {
        Self { name: tenant.name, root_id: NodeId::root(tenant.root), created_at: tenant.created_at }
    }
}

/// A page of tenants, by name.
#[derive(Serialize, ToSchema)]
pub(super) struct TenantPage {
    pub(super) tenants: Vec<TenantView>,
    /// Where the next page starts; null on the last one.
    pub(super) cursor: Option<String>,
}

/// A key that was made.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeKey {
    pub(super) id: Uuid,
    /// The token, shown this once.
    #[schema(example = "wk_…")]
    pub(super) key: String,
}

/// A page of a tenant's keys, oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyPage {
    pub(super) keys: Vec<KeyView>,
    /// Where the next page starts; null on the last one.
    pub(super) cursor: Option<String>,
}

/// A key, without its token.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyView {
    id: Uuid,
    name: String,
    #[schema(example = json!(["invoke", "read"]))]
    scopes: Vec<String>,
    #[serde(with = "micros")]
    created_at: DateTime<Utc>,
    #[serde(with = "micros::option")]
    expires_at: Option<DateTime<Utc>>,
}

impl From<KeyRow> for KeyView {
    fn from(key: KeyRow) -> Self {
        let KeyRow { id, name, scopes, created_at, expires_at } = key;
        Self { id, name, scopes, created_at, expires_at }
    }
}

/// Milliseconds with three decimals: no clock here is finer.
pub(super) fn to_micros(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
