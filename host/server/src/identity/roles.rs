//! What users may do within their tenant, and what an administrator does about them.
//!
//! Whoever may not is not asked here: `caller` says who is one.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;
use walker_model::TenantId;

use super::{Error, Identity};
use crate::store::User;

/// What a user may do besides what all users may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Nothing.
    None,
    /// Look after the tenant's users.
    Admin,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Admin => "admin",
        }
    }

    /// What a stored name stands for; one that a later version knows is none here.
    pub(super) fn stored(name: &str) -> Self {
        name.parse().unwrap_or(Self::None)
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::None, Self::Admin]
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or_else(|| format!("there is no role {name:?}; known: none, admin"))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl Identity {
    /// Up to `limit` users of a tenant, oldest first, from the one after `after` on.
    ///
    /// # Errors
    /// When the database cannot answer.
    pub async fn users(&self, tenant: TenantId, after: Option<Uuid>, limit: u16) -> Result<Vec<User>, Error> {
        Ok(self.store.users(tenant, after, limit).await?)
    }

    /// Gives a user another role: here at once, everywhere within 5 s.
    ///
    /// # Errors
    /// `UnknownUser`, or when the database cannot answer.
    pub async fn change_role(&self, tenant: TenantId, user: Uuid, role: Role) -> Result<User, Error> {
        let (user, sessions) = self.store.set_role(tenant, user, role.name()).await?.ok_or(Error::UnknownUser)?;
        self.forget_each(sessions).await;
        Ok(user)
    }

    /// Ends all sessions of a user: refused here at once, everywhere within 5 s.
    ///
    /// # Errors
    /// `UnknownUser`, or when the database cannot answer.
    pub async fn end_sessions(&self, tenant: TenantId, user: Uuid) -> Result<(), Error> {
        let ended = self.store.end_sessions(tenant, user).await?.ok_or(Error::UnknownUser)?;
        self.forget_each(ended).await;
        Ok(())
    }

    /// Removes a user, its sessions, and what it granted and was granted. What it started stays the tenant's.
    ///
    /// # Errors
    /// `UnknownUser`, or when the database cannot answer.
    pub async fn delete_user(&self, tenant: TenantId, user: Uuid) -> Result<(), Error> {
        let ended = self.store.remove_user(tenant, user).await?.ok_or(Error::UnknownUser)?;
        self.forget_each(ended).await;
        Ok(())
    }

    async fn forget_each(&self, hashes: Vec<Vec<u8>>) {
        for hash in hashes {
            self.forget(&hash).await;
        }
    }
}
