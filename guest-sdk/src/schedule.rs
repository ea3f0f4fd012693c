//! What a walker sees of another: its fields and its execution record.
//!
//! Only reads; nothing here asks the host for anything.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::NodeId;

/// A walker, as another one sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen<T> {
    /// Its fields: the last saved while it runs, the final ones afterwards.
    pub fields: T,
    /// Its execution record.
    pub schedule: Schedule,
}

/// The execution record of one invocation. Every field keeps its value after the end.
///
/// ```
/// use walker_sdk::{Schedule, Status};
///
/// let schedule = Schedule { status: Status::Failed, error: Some("no luck".into()), ..Schedule::default() };
/// assert!(schedule.status == "failed" && schedule.status.is_final());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    /// Where it stands.
    pub status: Status,
    /// The node it entered.
    pub node_id: NodeId,
    /// The root of the user it belongs to.
    pub root_id: NodeId,
    /// When it was to run at the earliest.
    #[serde(serialize_with = "micros")]
    pub execute_date: DateTime<Utc>,
    /// When its (latest) attempt began to run.
    #[serde(serialize_with = "micros_if_any")]
    pub executed_date: Option<DateTime<Utc>>,
    /// 200, what the walker set, or the failure's; `None` until it ended.
    pub http_status: Option<u16>,
    /// What it reported: all of it once ended, what was saved while it runs.
    pub reports: Vec<Value>,
    /// The caller's or the walker's own value.
    pub custom: Option<Value>,
    /// One readable sentence when it ended badly.
    pub error: Option<String>,
}

/// RFC 3339 in UTC with six decimals, as hosts write it.
fn micros<S: Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn micros_if_any<S: Serializer>(time: &Option<DateTime<Utc>>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => micros(time, to),
        None => to.serialize_none(),
    }
}

impl Default for Schedule {
    /// A completed run on some root at the start of 1970: something to build a test's world from.
    fn default() -> Self {
        let root = NodeId::nil_root();
        Self {
            status: Status::Completed,
            node_id: root.clone(),
            root_id: root,
            execute_date: DateTime::UNIX_EPOCH,
            executed_date: Some(DateTime::UNIX_EPOCH),
            http_status: Some(200),
            reports: Vec::new(),
            custom: None,
            error: None,
        }
    }
}

/// Where an invocation stands. The last three are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Stored; waits for its time or for a free slot.
    Pending,
    /// A host runs it.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly; the schedule's error says how.
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl Status {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

impl PartialEq<str> for Status {
    fn eq(&self, word: &str) -> bool {
        self.as_str() == word
    }
}

impl PartialEq<&str> for Status {
    fn eq(&self, word: &&str) -> bool {
        self.as_str() == *word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_hosts_record() {
        let text = r#"{"status":"running","node_id":"n::550e8400-e29b-41d4-a716-446655440000",
            "root_id":"n::550e8400-e29b-41d4-a716-446655440000","execute_date":"2026-11-23T10:00:00.000000Z",
            "executed_date":"2026-11-23T10:00:00.004211Z","http_status":null,"reports":[{"done":true}],"custom":null,
            "error":null,"a_key_of_a_newer_host":1}"#;
        let schedule: Schedule = serde_json::from_str(text).unwrap();
        assert_eq!(schedule.status, Status::Running);
        assert_eq!(schedule.executed_date.unwrap().to_rfc3339(), "2026-11-23T10:00:00.004211+00:00");
        assert_eq!(schedule.reports, [serde_json::json!({"done": true})]);
        assert_eq!((schedule.http_status, &schedule.custom, &schedule.error), (None, &None, &None));
        let written = serde_json::to_value(&schedule).unwrap();
        assert_eq!(written["execute_date"], "2026-11-23T10:00:00.000000Z");
        assert_eq!(written["executed_date"], "2026-11-23T10:00:00.004211Z");
    }

    #[test]
    fn words_are_those_of_json() {
        for status in [Status::Pending, Status::Running, Status::Completed, Status::Failed, Status::Cancelled] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(format!("{status:>12}").trim(), status.as_str());
        }
    }
}
