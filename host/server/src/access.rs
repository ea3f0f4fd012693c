//! On whose behalf something is done, and how far that reaches.
//!
//! Knows nothing of tokens or HTTP: who a caller is, `identity` says.

use uuid::Uuid;
use walker_model::TenantId;

/// On whose behalf something is done. Every statement that touches a tenant's data takes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The tenant; nothing of another is ever seen.
    pub tenant: TenantId,
    /// The root that is entered by default and owns what is started.
    pub root: Uuid,
    /// What else may be read and started.
    pub reach: Reach,
}

/// How far an actor reaches within its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Reads every walker of the tenant (a key with scope `read`).
    Tenant,
    /// Reads what its own root owns or was granted (a user's session, a key without `read`, a running walker).
    Root,
    /// Like `Root`, and starts only walkers that are declared public (a caller without a token).
    Public,
}

impl Actor {
    /// The root whose walkers may be read and changed, or `None` when all of the tenant's may. What others granted to that
    /// root may be read, too.
    pub fn readable_root(&self) -> Option<Uuid> {
        match self.reach {
            Reach::Tenant => None,
            Reach::Root | Reach::Public => Some(self.root),
        }
    }
}
