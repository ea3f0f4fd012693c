//! The execution record of one invocation, as readers and other walkers see it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Json, NodeId, Status};

/// The execution record of one invocation. Every field keeps its value after the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Where it stands.
    pub status: Status,
    /// The node it entered.
    pub node_id: NodeId,
    /// The root of the user it belongs to.
    pub root_id: NodeId,
    /// When it was to run at the earliest.
    #[serde(with = "micros")]
    pub execute_date: DateTime<Utc>,
    /// When its (latest) attempt began to run.
    #[serde(with = "micros::option")]
    pub executed_date: Option<DateTime<Utc>>,
    /// 200, what the walker set, or the failure's; `None` until it ended.
    pub http_status: Option<u16>,
    /// What it reported: all of it once ended, what was saved while it runs.
    pub reports: Vec<Json>,
    /// The caller's or the walker's own value.
    pub custom: Option<Json>,
    /// One readable sentence when it ended badly.
    pub error: Option<String>,
}

/// RFC 3339 in UTC with six decimals: what Postgres keeps, always the same width.
pub mod micros {
    use chrono::{DateTime, SecondsFormat, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes `2026-11-23T10:00:00.000000Z`.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true))
    }

    /// Reads any RFC 3339 time.
    ///
    /// # Errors
    /// When the text is no RFC 3339 time.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DateTime<Utc>, D::Error> {
        DateTime::deserialize(from)
    }

    /// The same for a time that may be missing.
    pub mod option {
        use chrono::{DateTime, Utc};
        use serde::{Deserialize, Deserializer, Serializer};

        /// Writes the time or null.
        ///
        /// # Errors
        /// Those of the serialiser.
        pub fn serialize<S: Serializer>(time: &Option<DateTime<Utc>>, to: S) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, to),
                None => to.serialize_none(),
            }
        }

        /// Reads a time or null.
        ///
        /// # Errors
        /// When the text is no RFC 3339 time.
        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
            Option::deserialize(from)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_six_decimals() {
        let text = r#"{"status":"running","node_id":"n::550e8400-e29b-41d4-a716-446655440000","root_id":"n::550e8400-e29b-41d4-a716-446655440000","execute_date":"2026-11-23T10:00:00.000000Z","executed_date":"2026-11-23T10:00:00.004211Z","http_status":null,"reports":[],"custom":null,"error":null}"#;
        let schedule: Schedule = serde_json::from_str(text).expect("reads");
        assert_eq!(serde_json::to_string(&schedule).expect("writes"), text);
    }
}
