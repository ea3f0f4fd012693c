//! What a run leaves behind, however it ended. A guest's failure is a value here, never an error.

use serde::{Deserialize, Serialize};

use crate::{Failure, Json, Limits};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The walker returned.
    Completed,
    /// It failed, or was stopped (`Code::Cancelled`).
    Failed(Failure),
}

/// What a run used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Fuel, in wasmtime's units: about one for each instruction.
    pub fuel: u64,
    /// The largest sum of all its memories, in bytes.
    pub memory_peak_bytes: u64,
    /// What it printed, in bytes, including what was cut.
    pub log_bytes: u64,
    /// How many values it reported.
    pub reports: u64,
    /// The bytes of all its reports' JSON.
    pub report_bytes: u64,
    /// How often it asked the host for something.
    pub host_calls: u64,
    /// From the start of the run to its end, in milliseconds.
    pub duration_ms: f64,
}

/// What a run leaves behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// The final fields when completed, else the last saved ones; `None` when nothing was saved before it failed.
    pub fields: Option<Json>,
    /// What it reported, in order; kept also when it failed.
    pub reports: Vec<Json>,
    /// The HTTP status that the walker set, if it did.
    pub http_status: Option<u16>,
    /// The custom value that the walker set, if it did.
    pub custom: Option<Json>,
    /// What it used up.
    pub usage: Usage,
    /// The limits it ran under.
    pub limits: Limits,
}

impl Outcome {
    /// What `schedule.http_status` becomes: the failure's, else what the walker set, else 200.
    pub fn http_status(&self) -> u16 {
        match &self.ended {
            Ended::Failed(failure) => failure.code.http_status(),
            Ended::Completed => self.http_status.unwrap_or(200),
        }
    }

    /// The failure, if it ended badly.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.ended {
            Ended::Failed(failure) => Some(failure),
            Ended::Completed => None,
        }
    }
}
