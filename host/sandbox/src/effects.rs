//! What a running walker may ask of the world, as messages.
//!
//! The sandbox only passes them on: floor 2 answers. Requests and replies are plain data without
//! Rust handles, so that a process wall can later stand between the two.

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use walker_model::{Json, Schedule};

/// What a walker asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Make the fields and all reports so far durable.
    Save {
        /// The fields now.
        fields: Json,
        /// Every report so far, those before an earlier save included.
        reports: Vec<Json>,
    },
    /// Read another walker.
    Read {
        /// Its id, as the guest wrote it: not checked yet.
        id: String,
    },
    /// Start an async walker.
    Spawn(Invoke),
    /// Run a sync walker and wait for its reports.
    Call(Invoke),
}

/// Which walker to start, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Invoke {
    /// The definition's name, as the guest wrote it.
    pub walker: String,
    /// Its fields: valid JSON, not checked against the definition yet.
    pub fields: Json,
    /// The node to enter, as the guest wrote it; the run's own when `None`.
    pub node: Option<String>,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// To `Save`: it is durable.
    Saved,
    /// To `Read`.
    Seen {
        /// The walker's fields.
        fields: Json,
        /// Its execution record.
        schedule: Schedule,
    },
    /// To `Spawn`: the new walker's id.
    Spawned(String),
    /// To `Call`: what it reported.
    Reports(Vec<Json>),
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Refusal {
    /// The guest gets this error and goes on.
    Problem(Problem),
    /// The host could not do its part (its database is gone, say): the run ends as a [`crate::HostFault`].
    Fault(String),
    /// The run's lease is lost or it was cancelled: the run ends as a [`crate::HostFault`] and nothing of it is written.
    Fenced,
}

/// What the guest is told: a stable code and one sentence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable and dotted, e.g. `walker.not_found`.
    pub code: String,
    /// What was wrong and what to do about it.
    pub message: String,
}

/// One line that a walker printed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was printed.
    #[serde(with = "walker_model::micros")]
    pub at: DateTime<Utc>,
    /// Where it was printed.
    pub stream: Stream,
    /// The line without its end; invalid UTF-8 is replaced.
    pub text: String,
}

/// Where a line was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The host's own remark, e.g. that the rest was cut.
    Host,
}

/// The world, as one run sees it.
pub trait Effects: Send + Sync + 'static {
    /// Carries a request out. The future may be dropped when the run's time is up.
    fn perform(&self, request: Request) -> BoxFuture<'_, Result<Reply, Refusal>>;

    /// Takes a line of output. Must not block; called in order.
    fn log(&self, line: LogLine);

    /// Asks for so many bytes more of the memory that all runs share; false where there is not enough. Must not block.
    ///
    /// Without an answer of its own, a world has no end of it.
    fn take_memory(&self, bytes: u64) -> bool {
        let _ = bytes;
        true
    }

    /// Gives back, at the end of the run, what was taken.
    fn put_back_memory(&self, bytes: u64) {
        let _ = bytes;
    }
}
