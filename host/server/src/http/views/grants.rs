//! What is said of grants.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use walker_model::{NodeId, WalkerId, micros};

use crate::store::Grant;

/// Somebody lets somebody else read.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct GrantView {
    id: Uuid,
    /// The one walker that may be read; null: all of the giver's.
    #[schema(value_type = Option<String>, example = "w:sample:550e8400-e29b-41d4-a716-446655440000")]
    walker_id: Option<WalkerId>,
    /// The root whose walkers it is about.
    #[schema(value_type = String, example = "n::018f7f1e-0000-7000-8000-000000000000")]
    from: NodeId,
    /// The root that may read.
    #[schema(value_type = String, example = "n::018f7f1e-0000-7000-8000-000000000001")]
    to: NodeId,
    #[serde(with = "micros")]
    created_at: DateTime<Utc>,
}

impl From<Grant> for GrantView {
    fn from(grant: Grant) -> Self {
        let Grant { id, owner, reader, walker, created_at } = grant;
        Self { id, walker_id: walker, from: NodeId::root(owner), to: NodeId::root(reader), created_at }
    }
}

/// A page of grants, oldest first.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct GrantPage {
    pub(in crate::http) grants: Vec<GrantView>,
    /// Where the next page starts; null on the last one.
    pub(in crate::http) cursor: Option<String>,
}
