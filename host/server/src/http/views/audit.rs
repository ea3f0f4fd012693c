//! What is said of changes on record.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use walker_model::{Json, micros};

use crate::store::Record;

/// A change that somebody made.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RecordView {
    id: Uuid,
    #[serde(with = "micros")]
    at: DateTime<Utc>,
    /// What the tenant was called.
    #[schema(example = "acme")]
    tenant: String,
    who: Author,
    /// From where; null where the host cannot know.
    #[schema(example = "192.0.2.1")]
    address: Option<String>,
    /// The request, as its answer named it.
    request_id: Option<String>,
    /// What was done.
    #[schema(example = "module.published")]
    action: String,
    /// To what: a name or an id.
    #[schema(example = "seed")]
    subject: String,
    /// How, as far as the action does not say.
    #[schema(value_type = Object, example = json!({"version": 2}))]
    detail: Json,
}

/// Who made a change.
#[derive(Serialize, ToSchema)]
struct Author {
    /// `host` (at its first start), `operator`, `key` or `user`.
    #[schema(example = "key")]
    kind: String,
    /// The key's or the user's.
    id: Option<Uuid>,
}

impl From<Record> for RecordView {
    fn from(record: Record) -> Self {
        let Record { id, tenant, at, who, who_id, address, request_id, action, subject, detail } = record;
        Self { id, at, tenant, who: Author { kind: who, id: who_id }, address, request_id, action, subject, detail }
    }
}

/// A page of the record, the latest change first.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct AuditPage {
    pub(in crate::http) audit: Vec<RecordView>,
    /// Where the next page starts; null on the last one.
    pub(in crate::http) cursor: Option<String>,
}
