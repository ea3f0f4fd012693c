//! Which problem each error of the floors below becomes. The one place that maps errors to HTTP.
//!
//! What is the host's own failure is logged here, once, with its causes; the caller gets the request's id.

use std::error::Error as StdError;

use axum::extract::rejection::PathRejection;

use super::{FieldError, Kind, Problem};
use crate::control;
use crate::identity::{self, Denied};
use crate::invoke::{self, FieldProblem};
use crate::modules::{self, Crowded};
use crate::store;

/// Logs a failure of the host's own with everything that led to it.
fn fault(error: &(dyn StdError + 'static)) -> Problem {
    tracing::error!(error, "a request failed: {error}");
    Problem::fault()
}

fn database(error: &store::Error) -> Problem {
    if error.is_unavailable() {
        tracing::warn!(error = error as &dyn StdError, "a request found the database unavailable");
        return Problem::new(Kind::DatabaseUnavailable, "the database cannot be reached now; try again shortly");
    }
    if let store::Error::OneTenantOnly { .. } = error {
        tracing::warn!("{error}");
        let detail = "the database does not keep tenants apart; the host's log says what its administrator has to run";
        return Problem::new(Kind::TenantSingle, detail);
    }
    fault(error)
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        database(&error)
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let kind = match denied {
            Denied::NoToken => Kind::TokenMissing,
            Denied::NoScope(_) | Denied::NoKey(_) => Kind::ScopeMissing,
            Denied::NoRole(_) => Kind::RoleMissing,
            Denied::NoTenant | Denied::NotOperator | Denied::NotSession => Kind::TokenUnfit,
        };
        Self::new(kind, denied.to_string())
    }
}

impl From<identity::Error> for Problem {
    fn from(error: identity::Error) -> Self {
        use identity::Error;
        let kind = match &error {
            Error::Invalid(mistakes) => {
                let errors = mistakes
                    .iter()
                    .map(|mistake| FieldError { pointer: mistake.pointer.to_owned(), detail: mistake.detail.clone() });
                return Self::fields(errors.collect());
            }
            Error::UserExists(_) => Kind::UserExists,
            Error::TenantExists(_) => Kind::TenantExists,
            Error::TenantSuspended => Kind::TenantSuspended,
            Error::TenantDeleting(_) => Kind::TenantDeleting,
            Error::TenantIsDefault => Kind::TenantIsDefault,
            Error::UnknownTenant(_) => Kind::TenantNotFound,
            Error::UnknownKey => Kind::KeyNotFound,
            Error::UnknownUser => Kind::UserNotFound,
            Error::UnknownGrant => Kind::GrantNotFound,
            Error::TooManyGrants => Kind::QuotaGrants,
            Error::WrongPassword => Kind::LoginFailed,
            Error::TooManyAttempts(wait) => {
                return Self::new(Kind::TooManyAttempts, error.to_string()).retry_after(identity::seconds(*wait));
            }
            Error::Busy => Kind::Busy,
            Error::Store(cause) => return database(cause),
            Error::Fault(_) => return fault(&error),
        };
        Self::new(kind, error.to_string())
    }
}

impl From<invoke::Error> for Problem {
    fn from(error: invoke::Error) -> Self {
        use invoke::Error;
        let kind = match error {
            Error::Fields(problems) => {
                let errors =
                    problems.into_iter().map(|FieldProblem { pointer, detail }| FieldError { pointer, detail });
                return Self::fields(errors.collect());
            }
            Error::Store(cause) => return database(&cause),
            Error::Quotas(cause) => return database(&cause),
            Error::Fault(_) => return fault(&error),
            Error::UnknownWalker(_) => Kind::WalkerNotFound,
            Error::NotPublic(_) => Kind::TokenMissing,
            Error::UnknownNode(_) => Kind::NodeNotFound,
            Error::CannotEnter { .. } => Kind::NodeNotEnterable,
            Error::Malformed(_) => Kind::BodyMalformed,
            Error::TooFarAhead => Kind::ExecuteDateInvalid,
            Error::NotDeferrable(_) => Kind::WalkerNotDeferrable,
            Error::NotSync(_) => Kind::WalkerNotSync,
            Error::NotAsync(_) => Kind::WalkerNotAsync,
            Error::TooDeep(_) => Kind::CallsTooDeep,
            Error::SpawnedTooDeep(_) => Kind::SpawnedTooDeep,
            Error::CustomTooLarge(..) => Kind::CustomTooLarge,
            Error::Suspended => Kind::TenantSuspended,
            Error::TooManyWalkers(_) => Kind::QuotaWalkers,
            Error::StorageFull(_) => Kind::QuotaStored,
            Error::Busy => Kind::Busy,
            Error::KeyReused => Kind::KeyReused,
            Error::KeyInProgress => Kind::KeyInProgress,
            Error::KeyForgotten => Kind::WalkerNotFound,
        };
        debug_assert_eq!(kind.code(), error.code(), "HTTP and guests see one code");
        Self::new(kind, error.to_string())
    }
}

impl From<control::Error> for Problem {
    fn from(error: control::Error) -> Self {
        use control::Error;
        let kind = match &error {
            Error::Unknown => Kind::WalkerNotFound,
            Error::HasEnded(_) => Kind::WalkerHasEnded,
            Error::IsLive(..) => Kind::WalkerIsLive,
            Error::IsCompleted => Kind::WalkerIsCompleted,
            Error::TooManyAttempts(_) => Kind::WalkerTriedOut,
            Error::Suspended => Kind::TenantSuspended,
            Error::TooManyWalkers(_) => Kind::QuotaWalkers,
            Error::StorageFull(_) => Kind::QuotaStored,
            Error::Busy => Kind::Busy,
            Error::Store(cause) => return database(cause),
            Error::Quotas(cause) => return database(cause),
        };
        Self::new(kind, error.to_string())
    }
}

impl From<modules::Error> for Problem {
    fn from(error: modules::Error) -> Self {
        use modules::Error;
        let kind = match &error {
            Error::InvalidName(_) => Kind::ModuleNameInvalid,
            Error::Rejected(_) => Kind::ModuleRejected,
            Error::NameTaken { .. } => Kind::WalkerNameTaken,
            Error::UnknownModule(_) => Kind::ModuleNotFound,
            Error::UnknownVersion(..) => Kind::VersionNotFound,
            Error::Crowded(Crowded::Tenant) => Kind::TooManyUploads,
            Error::Crowded(Crowded::Host) => Kind::Busy,
            Error::Suspended => Kind::TenantSuspended,
            Error::StorageFull(_) => Kind::QuotaStored,
            Error::Quotas(cause) => return database(cause),
            Error::Store(cause) => return database(cause),
            Error::Fault(_) => return fault(&error),
        };
        Self::new(kind, error.to_string())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        match rejection {
            // The routes and their handlers do not agree: ours.
            PathRejection::MissingPathParams(_) => fault(&rejection),
            _ => Self::new(Kind::RouteNotFound, "the path holds something that is no text"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotas::StorageFull;

    #[test]
    fn invocations_fail_with_one_code_for_http_and_for_guests() {
        use invoke::Error;
        for error in [
            Error::UnknownWalker("x".into()),
            Error::NotPublic("x".into()),
            Error::UnknownNode(walker_model::NodeId::root(uuid::Uuid::nil())),
            Error::CannotEnter { walker: "x".into(), kind: "a root".into(), enters: "City".into() },
            Error::Malformed("x".into()),
            Error::Fields(vec![FieldProblem { pointer: "/x".into(), detail: "y".into() }]),
            Error::TooFarAhead,
            Error::NotDeferrable("x".into()),
            Error::NotSync("x".into()),
            Error::NotAsync("x".into()),
            Error::TooDeep(8),
            Error::SpawnedTooDeep(8),
            Error::CustomTooLarge(9, 8),
            Error::TooManyWalkers(8),
            Error::StorageFull(StorageFull { stored: 9, quota: 8 }),
            Error::Quotas(std::sync::Arc::new(store::Error::Unavailable("x".into()))),
            Error::Busy,
            Error::KeyReused,
            Error::KeyInProgress,
            Error::KeyForgotten,
            Error::Store(store::Error::Unavailable("x".into())),
            Error::Store(store::Error::Corrupt("x".into())),
            Error::Fault("x".into()),
        ] {
            let code = error.code();
            assert_eq!(Problem::from(error).code(), code);
        }
    }

    #[test]
    fn no_cause_of_the_hosts_own_failures_leaves_it() {
        for problem in [
            Problem::from(store::Error::Corrupt("select secret from /etc/passwd".into())),
            Problem::from(store::Error::Unavailable("connection to /tmp/x/.s.PGSQL refused".into())),
            Problem::from(identity::Error::Fault("at /home/x".into())),
            Problem::from(modules::Error::Fault("at /home/x".into())),
            Problem::from(invoke::Error::Fault("at /home/x".into())),
        ] {
            assert!(!problem.detail.contains('/'), "{}", problem.detail);
        }
    }
}
