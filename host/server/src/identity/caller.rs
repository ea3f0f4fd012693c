//! A caller, once its token is known, and what each kind of caller may do.
//!
//! Knows neither how a token is found nor how a refusal is told.

use chrono::{DateTime, Utc};
use uuid::Uuid;
use walker_model::TenantId;

use super::roles::Role;
use super::scopes::{Scope, Scopes};
use crate::access::{Actor, Reach};
use crate::author::Who;
use crate::store::{Bearer, Token};

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Who runs the host.
    Operator,
    /// Somebody who acts for a tenant.
    Key(Key),
    /// A user of a tenant.
    Session(Session),
    /// Nobody in particular.
    Public {
        /// The tenant they address.
        tenant: TenantId,
        /// That tenant's root for such callers.
        root: Uuid,
    },
}

/// A key of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key's id.
    pub id: Uuid,
    /// The tenant it acts for.
    pub tenant: TenantId,
    /// That tenant's name.
    pub tenant_name: String,
    /// That tenant's own root.
    pub root: Uuid,
    /// What it may do.
    pub scopes: Scopes,
    /// When it ends.
    pub expires: Option<DateTime<Utc>>,
}

/// A user who logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The session's id.
    pub id: Uuid,
    /// The user's tenant.
    pub tenant: TenantId,
    /// That tenant's name.
    pub tenant_name: String,
    /// The user.
    pub user_id: Uuid,
    /// The user's address.
    pub email: String,
    /// The user's root.
    pub root: Uuid,
    /// What the user may do about others.
    pub role: Role,
    /// When it ends.
    pub expires: Option<DateTime<Utc>>,
}

/// A tenant, as one of its keys knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// Its name.
    pub name: &'a str,
}

/// Why a caller may not do what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no token, and there must be one.
    #[error("this needs a token: send `Authorization: Bearer TOKEN`")]
    NoToken,
    /// The key lacks a scope.
    #[error("this needs a key with scope {0}; the one sent lacks it")]
    NoScope(Scope),
    /// Users do not have scopes.
    #[error("this needs a key with scope {0}; a user's session cannot do it")]
    NoKey(Scope),
    /// The operator runs the host and is of no tenant.
    #[error("the operator's token belongs to no tenant; use a key of a tenant (POST /tenants/{{t}}/keys makes one)")]
    NoTenant,
    /// Only administrators may.
    #[error("this needs an administrator of the tenant, or a key with scope {0}")]
    NoRole(Scope),
    /// Only the operator may.
    #[error("this needs the operator's token")]
    NotOperator,
    /// Only a user who logged in may.
    #[error("this needs a user's session (POST /user/login gives one)")]
    NotSession,
}

impl Caller {
    /// On whose behalf this caller acts; `None` for the operator, who is of no tenant.
    pub fn actor(&self) -> Option<Actor> {
        Some(match self {
            Self::Operator => return None,
            Self::Key(key) => {
                let reach = if key.scopes.has(Scope::Read) { Reach::Tenant } else { Reach::Root };
                Actor { tenant: key.tenant, root: key.root, reach }
            }
            Self::Session(session) => Actor { tenant: session.tenant, root: session.root, reach: Reach::Root },
            Self::Public { tenant, root } => Actor { tenant: *tenant, root: *root, reach: Reach::Public },
        })
    }

    /// On whose account changes go; `None` for nobody in particular.
    pub(crate) fn who(&self) -> Option<Who> {
        match self {
            Self::Operator => Some(Who::Operator),
            Self::Key(key) => Some(Who::Key(key.id)),
            Self::Session(session) => Some(Who::User(session.user_id)),
            Self::Public { .. } => None,
        }
    }

    /// Whether no token was sent.
    pub fn is_public(&self) -> bool {
        matches!(self, Self::Public { .. })
    }

    /// To invoke walkers. Anybody may try: which ones, depends on the walker.
    ///
    /// # Errors
    /// For the operator and for a key without the scope.
    pub fn invoker(&self) -> Result<Actor, Denied> {
        match self {
            Self::Key(key) if !key.scopes.has(Scope::Invoke) => Err(Denied::NoScope(Scope::Invoke)),
            _ => self.actor().ok_or(Denied::NoTenant),
        }
    }

    /// To read walkers: all of the tenant's, or those of one's own root.
    ///
    /// # Errors
    /// For the operator and for a key that may neither read nor invoke.
    pub fn reader(&self) -> Result<Actor, Denied> {
        match self {
            Self::Key(key) if !key.scopes.has(Scope::Read) && !key.scopes.has(Scope::Invoke) => {
                Err(Denied::NoScope(Scope::Read))
            }
            _ => self.actor().ok_or(Denied::NoTenant),
        }
    }

    /// To cancel, retry and forget walkers, as far as the caller can read them.
    ///
    /// # Errors
    /// For the operator, for callers without a token, and for a key that may not invoke: reading changes nothing.
    pub fn controller(&self) -> Result<Actor, Denied> {
        match self {
            Self::Public { .. } => Err(Denied::NoToken),
            _ => self.invoker(),
        }
    }

    /// To publish and remove modules of the answered tenant.
    ///
    /// # Errors
    /// For everyone but a key with the scope.
    pub fn deployer(&self) -> Result<TenantId, Denied> {
        self.key_with(&[Scope::Deploy])
    }

    /// To see what modules the answered tenant has.
    ///
    /// # Errors
    /// For everyone but a key that may read or deploy.
    pub fn module_reader(&self) -> Result<TenantId, Denied> {
        self.key_with(&[Scope::Read, Scope::Deploy])
    }

    /// To see what is told of a tenant as a whole: of the answered one, or of any for the operator (`None`).
    ///
    /// # Errors
    /// For everyone but the operator and a key that may read.
    pub fn account(&self) -> Result<Option<Account<'_>>, Denied> {
        match self {
            Self::Operator => Ok(None),
            Self::Key(key) if key.scopes.has(Scope::Read) => {
                Ok(Some(Account { tenant: key.tenant, name: &key.tenant_name }))
            }
            Self::Key(_) => Err(Denied::NoScope(Scope::Read)),
            Self::Session(_) => Err(Denied::NoKey(Scope::Read)),
            Self::Public { .. } => Err(Denied::NoToken),
        }
    }

    /// To see who the answered tenant's users are.
    ///
    /// # Errors
    /// For everyone but its administrators and keys that may read or deploy.
    pub fn user_reader(&self) -> Result<TenantId, Denied> {
        self.admin_or_key_with(&[Scope::Read, Scope::Deploy])
    }

    /// To look after the answered tenant's users.
    ///
    /// # Errors
    /// For everyone but its administrators and keys that may deploy, which includes settings.
    pub fn administrator(&self) -> Result<TenantId, Denied> {
        self.admin_or_key_with(&[Scope::Deploy])
    }

    /// To run the host.
    ///
    /// # Errors
    /// For everyone but the operator.
    pub fn operator(&self) -> Result<(), Denied> {
        match self {
            Self::Operator => Ok(()),
            Self::Public { .. } => Err(Denied::NoToken),
            Self::Key(_) | Self::Session(_) => Err(Denied::NotOperator),
        }
    }

    /// To do what a user does about itself.
    ///
    /// # Errors
    /// For everyone but a user who logged in.
    pub fn session(&self) -> Result<&Session, Denied> {
        match self {
            Self::Session(session) => Ok(session),
            Self::Public { .. } => Err(Denied::NoToken),
            Self::Operator | Self::Key(_) => Err(Denied::NotSession),
        }
    }

    /// When the token ends.
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Operator | Self::Public { .. } => None,
            Self::Key(key) => key.expires,
            Self::Session(session) => session.expires,
        }
    }

    fn admin_or_key_with(&self, any: &[Scope]) -> Result<TenantId, Denied> {
        match self {
            Self::Session(session) if session.role == Role::Admin => Ok(session.tenant),
            Self::Session(_) => Err(Denied::NoRole(any[0])),
            _ => self.key_with(any),
        }
    }

    /// The tenant of a key that has any of these scopes.
    fn key_with(&self, any: &[Scope]) -> Result<TenantId, Denied> {
        match self {
            Self::Key(key) if any.iter().any(|scope| key.scopes.has(*scope)) => Ok(key.tenant),
            Self::Key(_) => Err(Denied::NoScope(any[0])),
            Self::Session(_) => Err(Denied::NoKey(any[0])),
            Self::Operator => Err(Denied::NoTenant),
            Self::Public { .. } => Err(Denied::NoToken),
        }
    }
}

impl From<Token> for Caller {
    fn from(token: Token) -> Self {
        let Token { id, expires_at: expires, bearer } = token;
        match bearer {
            Bearer::Operator => Self::Operator,
            Bearer::Key { tenant, scopes } => Self::Key(Key {
                id,
                tenant: tenant.id,
                tenant_name: tenant.name,
                root: tenant.root,
                scopes: Scopes::stored(&scopes),
                expires,
            }),
            Bearer::User { tenant, id: user_id, email, root, role } => Self::Session(Session {
                id,
                tenant: tenant.id,
                tenant_name: tenant.name,
                user_id,
                email,
                root,
                role: Role::stored(&role),
                expires,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scopes: &[Scope]) -> Caller {
        Caller::Key(Key {
            id: Uuid::now_v7(),
            tenant: TenantId(1),
            tenant_name: "default".into(),
            root: Uuid::now_v7(),
            scopes: scopes.iter().copied().collect(),
            expires: None,
        })
    }

    fn session() -> Caller {
        session_as(Role::None)
    }

    fn session_as(role: Role) -> Caller {
        Caller::Session(Session {
            id: Uuid::now_v7(),
            tenant: TenantId(1),
            tenant_name: "default".into(),
            user_id: Uuid::now_v7(),
            email: "a@b".into(),
            root: Uuid::now_v7(),
            role,
            expires: None,
        })
    }

    #[test]
    fn each_caller_may_do_what_it_is_for() {
        use Denied::*;
        let public = Caller::Public { tenant: TenantId(1), root: Uuid::now_v7() };
        let check = |caller: &Caller, invoke, read, deploy, modules, operate, own| {
            assert_eq!(caller.invoker().err(), invoke, "{caller:?} invokes");
            assert_eq!(caller.reader().err(), read, "{caller:?} reads");
            assert_eq!(caller.deployer().err(), deploy, "{caller:?} deploys");
            assert_eq!(caller.module_reader().err(), modules, "{caller:?} reads modules");
            assert_eq!(caller.operator().err(), operate, "{caller:?} operates");
            assert_eq!(caller.session().err(), own, "{caller:?} has a session");
        };
        let none = Some(NoTenant);
        check(&Caller::Operator, none, none, none, none, None, Some(NotSession));
        let (operator, user) = (Some(NotOperator), Some(NotSession));
        check(&key(&Scope::ALL), None, None, None, None, operator, user);
        let (deploy, read) = (Some(NoScope(Scope::Deploy)), Some(NoScope(Scope::Read)));
        let invoke = Some(NoScope(Scope::Invoke));
        check(&key(&[Scope::Deploy]), invoke, read, None, None, operator, user);
        check(&key(&[Scope::Read]), invoke, None, deploy, None, operator, user);
        check(&key(&[Scope::Invoke]), None, None, deploy, read, operator, user);
        check(&key(&[]), invoke, read, deploy, read, operator, user);
        check(&session(), None, None, Some(NoKey(Scope::Deploy)), Some(NoKey(Scope::Read)), operator, None);
        let token = Some(NoToken);
        check(&public, None, None, token, token, token, token);
    }

    #[test]
    fn the_operator_and_keys_that_may_read_see_the_tenants_account() {
        let acme = Account { tenant: TenantId(1), name: "default" };
        let public = Caller::Public { tenant: TenantId(1), root: Uuid::now_v7() };
        assert_eq!(Caller::Operator.account(), Ok(None));
        assert_eq!(key(&[Scope::Read]).account(), Ok(Some(acme)));
        assert_eq!(key(&[Scope::Deploy, Scope::Invoke]).account(), Err(Denied::NoScope(Scope::Read)));
        assert_eq!(session().account(), Err(Denied::NoKey(Scope::Read)));
        assert_eq!(public.account(), Err(Denied::NoToken));
    }

    #[test]
    fn administrators_and_keys_look_after_users() {
        let check = |caller: &Caller, list, change| {
            assert_eq!((caller.user_reader().err(), caller.administrator().err()), (list, change), "{caller:?}");
        };
        let (read, deploy) = (Scope::Read, Scope::Deploy);
        check(&session_as(Role::Admin), None, None);
        check(&session(), Some(Denied::NoRole(read)), Some(Denied::NoRole(deploy)));
        check(&key(&[deploy]), None, None);
        check(&key(&[read]), None, Some(Denied::NoScope(deploy)));
        check(&key(&[Scope::Invoke]), Some(Denied::NoScope(read)), Some(Denied::NoScope(deploy)));
        check(&Caller::Operator, Some(Denied::NoTenant), Some(Denied::NoTenant));
    }

    #[test]
    fn only_a_key_that_may_read_reaches_the_whole_tenant() {
        assert_eq!(key(&[Scope::Read]).actor().map(|actor| actor.reach), Some(Reach::Tenant));
        assert_eq!(key(&[Scope::Invoke]).actor().map(|actor| actor.reach), Some(Reach::Root));
        assert_eq!(session().actor().map(|actor| actor.reach), Some(Reach::Root));
        assert_eq!(Caller::Operator.actor(), None);
    }
}
