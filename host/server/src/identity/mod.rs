//! Who calls, and what that allows: tenants, users, and the tokens of both.
//!
//! Knows nothing of HTTP; a refusal here becomes a status there.

mod attempts;
mod bootstrap;
mod caller;
mod data_dir;
mod grants;
mod keys;
mod passwords;
mod roles;
mod scopes;
mod tenants;
mod tokens;
mod users;
mod uses;

use std::sync::Arc;
use std::time::Duration;

use crate::config::Logins;
use crate::quotas::SUSPENDED;
use crate::store::grants::MOST_GIVEN;
use crate::store::{self, Store};

pub use bootstrap::{FirstStartError, Secrets, first_start};
pub use caller::{Caller, Denied, Key, Session};
pub use data_dir::{OPERATOR_TOKEN_FILE, write_client};
pub use grants::Given;
pub use keys::{NewKey, WantedKey};
pub use roles::Role;
pub use scopes::{Scope, Scopes};
pub use tenants::DEFAULT_TENANT;
pub use users::LoggedIn;
pub(crate) use uses::WRITE_EVERY;

/// Why something about identities was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Values that cannot be used as they are.
    #[error("the request has fields that cannot be used")]
    Invalid(Vec<Mistake>),
    /// The tenant has a user with this address.
    #[error("the tenant already has a user {0}")]
    UserExists(String),
    /// There is a tenant of this name.
    #[error("there already is a tenant {0}")]
    TenantExists(String),
    /// Nothing new of the tenant starts.
    #[error("{SUSPENDED}")]
    TenantSuspended,
    /// The tenant is on its way out.
    #[error("tenant {0} is being deleted; its name is free once all of it is gone")]
    TenantDeleting(String),
    /// Callers who name no tenant address it.
    #[error(
        "the tenant {DEFAULT_TENANT} is the one that callers address who name none, and a host that starts makes it anew; suspend it instead"
    )]
    TenantIsDefault,
    /// There is no tenant of this name.
    #[error("there is no tenant {0:?}")]
    UnknownTenant(String),
    /// The tenant has no such key.
    #[error("the tenant has no such key")]
    UnknownKey,
    /// The tenant has no such user.
    #[error("the tenant has no such user")]
    UnknownUser,
    /// There is no such grant of the caller's.
    #[error("there is no such grant of yours")]
    UnknownGrant,
    /// The caller has given as many as it may.
    #[error("you granted {MOST_GIVEN} already; take some back, or grant all of your walkers at once")]
    TooManyGrants,
    /// Unknown user or wrong password; which of the two is not told.
    #[error("the e-mail address or the password is wrong")]
    WrongPassword,
    /// Passwords are tried too often from one address, or for one account; whether there is such a user is not told.
    #[error("too many attempts with passwords; the next one counts in {} s", seconds(*.0))]
    TooManyAttempts(Duration),
    /// More password checks wait than this host can do.
    #[error("too many logins at once")]
    Busy,
    /// The database could not answer.
    #[error(transparent)]
    Store(Arc<store::Error>),
    /// The host itself could not do its part.
    #[error("{0}")]
    Fault(String),
}

/// A field that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands in the request's body (RFC 6901).
    pub pointer: &'static str,
    /// What is wrong with it.
    pub detail: String,
}

/// Whole seconds that are certainly enough.
pub(crate) fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// Tells who a caller is, and keeps tenants, users and their tokens.
pub struct Identity {
    store: Store,
    tokens: tokens::Known,
    uses: uses::Uses,
    tenants: tenants::Known,
    passwords: passwords::Passwords,
    attempts: attempts::Attempts,
    session_lifetime: Duration,
}

impl Identity {
    /// With the settings that a host has by default.
    #[cfg(test)]
    pub(crate) fn by_default(store: Store) -> Self {
        let crate::config::Config { logins, session_lifetime, .. } = crate::config::Config::default();
        Self::new(store, logins, session_lifetime)
    }

    /// On this database, with nothing known yet: told how often passwords may be tried and how long a login lasts.
    pub fn new(store: Store, logins: Logins, session_lifetime: Duration) -> Self {
        Self {
            store,
            tokens: tokens::Known::new(),
            uses: uses::Uses::default(),
            tenants: tenants::Known::new(),
            passwords: passwords::Passwords::new(),
            attempts: attempts::Attempts::new(logins),
            session_lifetime,
        }
    }
}
