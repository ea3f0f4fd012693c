//! What is said of users, tenants and keys.
//!
//! The one place that says how they look outside; secrets are shown where they are made, and nowhere else.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use walker_model::{NodeId, micros};

use super::{QuotasView, SetQuotasView};
use crate::identity::{Caller, Denied};
use crate::quotas::QuotaRules;
use crate::store::{KeyRow, Tenant, User};

/// A user who registered.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Registered {
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
pub(in crate::http) struct LoggedIn {
    /// Shown this once.
    #[schema(example = "ws_…")]
    pub(in crate::http) token: String,
    pub(in crate::http) user: SessionUser,
}

/// Who logged in, and until when.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct SessionUser {
    id: Uuid,
    #[schema(example = "ada@example.org")]
    email: String,
    #[schema(value_type = String, example = "n::018f7f1e-0000-7000-8000-000000000000")]
    root_id: NodeId,
    #[serde(with = "micros")]
    expiration: DateTime<Utc>,
}

impl SessionUser {
    pub(in crate::http) fn new(user: User, expiration: DateTime<Utc>) -> Self {
        Self { id: user.id, email: user.email, root_id: NodeId::root(user.root), expiration }
    }
}

/// A user, for those who look after users.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct UserView {
    id: Uuid,
    #[schema(example = "ada@example.org")]
    email: String,
    #[schema(value_type = String, example = "n::018f7f1e-0000-7000-8000-000000000000")]
    root_id: NodeId,
    /// `none` or `admin`.
    #[schema(example = "none")]
    role: String,
    #[serde(with = "micros")]
    created_at: DateTime<Utc>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        let User { id, email, root, role, created_at, .. } = user;
        Self { id, email, root_id: NodeId::root(root), role, created_at }
    }
}

/// A page of users, oldest first.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct UserPage {
    pub(in crate::http) users: Vec<UserView>,
    /// Where the next page starts; null on the last one.
    pub(in crate::http) cursor: Option<String>,
}

/// A tenant.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TenantView {
    #[schema(example = "acme")]
    name: String,
    /// The root that its keys enter.
    #[schema(value_type = String, example = "n::018f7f1e-0000-7000-8000-000000000000")]
    root_id: NodeId,
    #[serde(with = "micros")]
    created_at: DateTime<Utc>,
    /// Whether nothing new of it starts.
    suspended: bool,
    /// Whether all of it is being deleted.
    deleting: bool,
    /// How many days after its end a walker can be read; null: as the host's settings say.
    keep_results: Option<i16>,
    /// What is set for it alone.
    quotas: SetQuotasView,
    /// What it may use, all told.
    limits: QuotasView,
}

impl TenantView {
    pub(in crate::http) fn new(tenant: Tenant, rules: &QuotaRules) -> Self {
        Self {
            limits: rules.of(&tenant).into(),
            name: tenant.name,
            root_id: NodeId::root(tenant.root),
            created_at: tenant.created_at,
            suspended: tenant.is_suspended,
            deleting: tenant.is_deleting,
            keep_results: tenant.keep_days,
            quotas: SetQuotasView(tenant.quotas),
        }
    }
}

/// A page of tenants, by name.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TenantPage {
    pub(in crate::http) tenants: Vec<TenantView>,
    /// Where the next page starts; null on the last one.
    pub(in crate::http) cursor: Option<String>,
}

/// A key that was made.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct MadeKey {
    pub(in crate::http) id: Uuid,
    /// The token, shown this once.
    #[schema(example = "wk_…")]
    pub(in crate::http) key: String,
}

/// A page of a tenant's keys, oldest first.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct KeyPage {
    pub(in crate::http) keys: Vec<KeyView>,
    /// Where the next page starts; null on the last one.
    pub(in crate::http) cursor: Option<String>,
}

/// A key, without its token.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct KeyView {
    id: Uuid,
    name: String,
    #[schema(example = json!(["invoke", "read"]))]
    scopes: Vec<String>,
    #[serde(with = "micros")]
    created_at: DateTime<Utc>,
    #[serde(with = "micros::option")]
    expires_at: Option<DateTime<Utc>>,
    /// When it was last used, within half a minute; null: never.
    #[serde(with = "micros::option")]
    last_used: Option<DateTime<Utc>>,
    /// When it was taken back; null: it was not.
    #[serde(with = "micros::option")]
    revoked_at: Option<DateTime<Utc>>,
}

impl From<KeyRow> for KeyView {
    fn from(key: KeyRow) -> Self {
        let KeyRow { id, name, scopes, created_at, expires_at, last_used, revoked_at } = key;
        Self { id, name, scopes, created_at, expires_at, last_used, revoked_at }
    }
}

/// Whom a token stands for; what its kind does not have is null.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct WhoAmI {
    /// operator, key or session.
    #[schema(example = "session")]
    kind: &'static str,
    #[schema(example = "default")]
    tenant: Option<String>,
    /// The root that it enters.
    #[schema(value_type = Option<String>, example = "n::018f7f1e-0000-7000-8000-000000000000")]
    root_id: Option<NodeId>,
    /// A session's user.
    user: Option<OwnUser>,
    /// What a key may do.
    #[schema(example = json!(["invoke", "read"]))]
    scopes: Option<Vec<&'static str>>,
    /// When the token ends; null when it does not.
    #[serde(with = "micros::option")]
    expiration: Option<DateTime<Utc>>,
}

/// A user, as they see themselves.
#[derive(Serialize, ToSchema)]
struct OwnUser {
    id: Uuid,
    #[schema(example = "ada@example.org")]
    email: String,
}

impl WhoAmI {
    /// # Errors
    /// For a caller without a token.
    pub(in crate::http) fn new(caller: Caller) -> Result<Self, Denied> {
        let expiration = caller.expires();
        let nobody = Self { kind: "operator", tenant: None, root_id: None, user: None, scopes: None, expiration };
        Ok(match caller {
            Caller::Public { .. } => return Err(Denied::NoToken),
            Caller::Operator => nobody,
            Caller::Key(key) => Self {
                kind: "key",
                tenant: Some(key.tenant_name),
                root_id: Some(NodeId::root(key.root)),
                scopes: Some(key.scopes.names()),
                ..nobody
            },
            Caller::Session(session) => Self {
                kind: "session",
                tenant: Some(session.tenant_name),
                root_id: Some(NodeId::root(session.root)),
                user: Some(OwnUser { id: session.user_id, email: session.email }),
                ..nobody
            },
        })
    }
}
