//! Who lets whom read: given, listed, taken back.
//!
//! Within one tenant, and for reading only.

use uuid::Uuid;
use walker_model::{NodeId, WalkerId};

use super::users::normal_email;
use super::{Error, Identity, Mistake};
use crate::access::Actor;
use crate::store::{Grant, Granted};

/// What became of a new grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// It counts from now on, on every host.
    New(Grant),
    /// The same was given before.
    Before(Grant),
}

impl Identity {
    /// Lets a root of the actor's tenant, or the user of this address, read a walker of the actor's root, or all of them.
    ///
    /// # Errors
    /// `Invalid`, `TooManyGrants`, or when the database cannot answer.
    pub async fn grant(&self, actor: &Actor, walker: Option<&WalkerId>, to: &str) -> Result<Given, Error> {
        let wrong = |pointer, detail: &str| Err(Error::Invalid(vec![Mistake { pointer, detail: detail.to_owned() }]));
        let root = to.parse::<NodeId>().ok().filter(NodeId::is_root).map(|node| node.uuid);
        let email = Some(normal_email(to)).filter(|email| root.is_none() && !email.contains('\0'));
        let Some(reader) = self.store.root_of(actor.tenant, root, email.as_deref()).await? else {
            return wrong("/to", "the tenant has no user of this address, and no such root");
        };
        if reader == actor.root {
            return wrong("/to", "that is you, who may read it anyway");
        }
        match self.store.add_grant(actor, reader, walker).await? {
            Granted::New(grant) => Ok(Given::New(grant)),
            Granted::Known(grant) => Ok(Given::Before(grant)),
            Granted::NoWalker => wrong("/walker_id", "there is no such walker of yours"),
            Granted::TooMany => Err(Error::TooManyGrants),
        }
    }

    /// What the actor's root gave and was given, oldest first, from the one after `after` on.
    ///
    /// # Errors
    /// When the database cannot answer.
    pub async fn grants(&self, actor: &Actor, after: Option<Uuid>, limit: u16) -> Result<Vec<Grant>, Error> {
        Ok(self.store.grants(actor, after, limit).await?)
    }

    /// Takes a grant back, or gives one up: it counts no more, on every host.
    ///
    /// # Errors
    /// `UnknownGrant`, or when the database cannot answer.
    pub async fn revoke(&self, actor: &Actor, id: Uuid) -> Result<(), Error> {
        if self.store.remove_grant(actor, id).await? { Ok(()) } else { Err(Error::UnknownGrant) }
    }
}
