//! What a run leaves behind, however it ended. A guest's failure is a value here, never an error.

use crate::{Failure, Json, Limits, Usage};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The walker returned.
    Completed,
    /// It failed, or was stopped (`Code::Cancelled`).
    Failed(Failure),
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
