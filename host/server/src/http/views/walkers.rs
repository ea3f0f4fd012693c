//! What is said of walkers: accepted, ended, read back, listed, and what they printed.
//!
//! The one place that says how they look outside; knows nothing of where the values come from.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use walker_model::{Json, NodeId, Schedule, Status, WalkerId, micros};

use super::{LimitsView, UsageView, hex, to_micros};
use crate::store::{AttemptView, LogEntry, WalkerView};

/// An async walker was accepted: its row is committed.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Accepted {
    #[schema(example = 200)]
    pub(in crate::http) status: u16,
    #[schema(value_type = String, example = "w:sample:550e8400-e29b-41d4-a716-446655440000")]
    pub(in crate::http) walker_id: WalkerId,
}

/// Async walkers were accepted together: all rows are committed.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AcceptedBatch {
    #[schema(example = 200)]
    pub(in crate::http) status: u16,
    /// In the order of the request.
    #[schema(value_type = Vec<String>, example = json!(["w:sample:550e8400-e29b-41d4-a716-446655440000"]))]
    pub(in crate::http) walker_ids: Vec<WalkerId>,
}

/// Walkers were cancelled together.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Cancelled {
    #[schema(example = 3)]
    pub(in crate::http) cancelled: u64,
}

/// A sync walker ended well.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Ended {
    /// The walker's `http_status`.
    #[schema(example = 200)]
    pub(in crate::http) status: u16,
    #[schema(value_type = String, example = "w:view_sample_result:550e8400-e29b-41d4-a716-446655440000")]
    pub(in crate::http) walker_id: WalkerId,
    /// What it reported, in order.
    #[schema(value_type = Vec<serde_json::Value>)]
    pub(in crate::http) reports: Vec<Json>,
}

/// One walker.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct WalkerAnswer {
    #[schema(example = 200)]
    pub(in crate::http) status: u16,
    pub(in crate::http) walker: Walker,
}

/// A page of walkers, newest first.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct WalkerPage {
    #[schema(example = 200)]
    pub(in crate::http) status: u16,
    pub(in crate::http) walkers: Vec<Walker>,
    /// Where the next page starts; null on the last one.
    pub(in crate::http) cursor: Option<String>,
}

/// Everything there is to know about one walker.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Walker {
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
    /// What it used, once it ended.
    usage: Option<UsageView>,
    /// What it might use, once it ended: the same keys.
    limits: Option<LimitsView>,
    failure: Option<RunFailure>,
    /// Those before the latest, oldest first; absent when there were none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    attempts: Vec<Attempt>,
}

/// An attempt after which another one followed.
#[derive(Serialize, ToSchema)]
struct Attempt {
    attempt: u16,
    #[serde(with = "micros::option")]
    started: Option<DateTime<Utc>>,
    #[serde(with = "micros")]
    ended: DateTime<Utc>,
    #[schema(example = "guest.error")]
    code: String,
    error: Option<String>,
}

/// Which code ran.
#[derive(Serialize, ToSchema)]
struct ModuleRef {
    name: String,
    version: i32,
    sha256: String,
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
    pub(in crate::http) fn new(view: WalkerView, backtrace: &[String]) -> Self {
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
                usage: run.usage.map(|(usage, _)| usage.into()),
                limits: run.usage.map(|(_, limits)| limits.into()),
                failure: run.failure.map(|failure| RunFailure {
                    code: failure.code.as_str(),
                    message: failure.message,
                    backtrace: backtrace.to_vec(),
                    retryable: failure.code.is_retryable(),
                }),
                attempts: run
                    .attempts
                    .into_iter()
                    .map(|AttemptView { attempt, started, ended, code, error }| Attempt {
                        attempt,
                        started,
                        ended,
                        code,
                        error,
                    })
                    .collect(),
            },
        }
    }
}

/// What a walker printed.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LogPage {
    #[schema(example = 200)]
    pub(in crate::http) status: u16,
    pub(in crate::http) logs: Vec<LogLine>,
    /// Whether the walker has ended, so that no further lines will come.
    pub(in crate::http) ended: bool,
}

/// One line that a walker printed.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LogLine {
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
    pub(in crate::http) fn new(attempt: u16, entry: LogEntry) -> Self {
        let time = entry.line.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        Self { seq: entry.seq, attempt, time, stream: entry.line.stream, text: entry.line.text }
    }
}
