//! The keys of a tenant: made, listed, removed.
//!
//! Leaves it to the caller to ask whether it is the operator who wants that.

use std::time::Duration;

use uuid::Uuid;

use super::tokens::{self, Kind};
use super::{Error, Identity, Mistake, Scopes};
use crate::store::{KeyRow, Tenant};

/// Long enough for a sentence.
const MAX_NAME: usize = 200;

/// Ten years: beyond it, a key that never ends is the honest choice.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A key that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedKey {
    /// What it is for, in its maker's words.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// How long it lives; `None` for ever.
    pub expires_in: Option<Duration>,
}

/// A new key with its token, which is shown this once.
#[derive(Clone, PartialEq, Eq)]
pub struct NewKey {
    /// What is known of it from now on.
    pub key: KeyRow,
    /// The token.
    pub token: String,
}

impl Identity {
    /// Makes a key of a tenant.
    ///
    /// # Errors
    /// `Invalid`, or when the database cannot answer.
    pub async fn create_key(&self, tenant: &Tenant, wanted: WantedKey) -> Result<NewKey, Error> {
        let mistakes = wanted.mistakes();
        if !mistakes.is_empty() {
            return Err(Error::Invalid(mistakes));
        }
        if tenant.is_deleting {
            return Err(Error::TenantDeleting(tenant.name.clone()));
        }
        let token = tokens::new_token(Kind::Key)?;
        let seconds = wanted.expires_in.map(|lifetime| lifetime.as_secs_f64());
        let (hash, scopes) = (tokens::hash(&token), wanted.scopes.names());
        let key = self.store.add_key(tenant.id, &hash, &wanted.name, &scopes, seconds).await?;
        Ok(NewKey { key, token })
    }

    /// Up to `limit` keys of a tenant, oldest first, from the one after `after` on.
    ///
    /// # Errors
    /// When the database cannot answer.
    pub async fn keys(&self, tenant: &Tenant, after: Option<Uuid>, limit: u16) -> Result<Vec<KeyRow>, Error> {
        Ok(self.store.keys(tenant.id, after, limit).await?)
    }

    /// Removes a key: refused here at once, everywhere within 5 s.
    ///
    /// # Errors
    /// `UnknownKey`, or when the database cannot answer.
    pub async fn delete_key(&self, tenant: &Tenant, id: Uuid) -> Result<(), Error> {
        let hash = self.store.remove_key(tenant.id, id).await?.ok_or(Error::UnknownKey)?;
        self.forget(&hash).await;
        Ok(())
    }
}

impl WantedKey {
    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut wrong = |pointer, detail: String| mistakes.push(Mistake { pointer, detail });
        if self.name.trim().is_empty() || self.name.len() > MAX_NAME || self.name.contains('\0') {
            wrong("/name", format!("expected what the key is for, in 1 to {MAX_NAME} bytes"));
        }
        if self.scopes.is_empty() {
            wrong("/scopes", "a key without scopes could do nothing; name deploy, read or invoke".to_owned());
        }
        if self.expires_in.is_some_and(|lifetime| lifetime.is_zero() || lifetime > LONGEST) {
            wrong("/expires_in", "expected more than nothing and at most ten years; leave it out for ever".to_owned());
        }
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Caller, Scope};
    use crate::test_postgres;

    fn wanted(name: &str, scopes: &[Scope], expires_in: Option<Duration>) -> WantedKey {
        WantedKey { name: name.into(), scopes: scopes.iter().copied().collect(), expires_in }
    }

    #[tokio::test]
    async fn a_key_acts_for_its_tenant_until_it_is_removed() {
        let store = test_postgres::store().await;
        let (identity, elsewhere) = (Identity::by_default(store.clone()), Identity::by_default(store));
        let acme = identity.create_tenant("acme").await.unwrap();
        let zeta = identity.create_tenant("zeta").await.unwrap();
        let made = identity.create_key(&acme, wanted("ci", &[Scope::Deploy], None)).await.unwrap();
        let Some(Caller::Key(key)) = identity.caller(&made.token).await.unwrap() else { panic!("is a key") };
        assert_eq!((key.tenant, key.root, key.scopes.names()), (acme.id, acme.root, vec!["deploy"]));
        assert!(elsewhere.caller(&made.token).await.unwrap().is_some());

        let other = identity.create_key(&acme, wanted("other", &[Scope::Read], None)).await.unwrap();
        assert_eq!(identity.keys(&acme, None, 10).await.unwrap(), [made.key.clone(), other.key.clone()]);
        assert_eq!(identity.keys(&acme, Some(made.key.id), 10).await.unwrap(), [other.key]);
        assert_eq!(identity.keys(&zeta, None, 10).await.unwrap(), []);

        assert!(matches!(identity.delete_key(&zeta, made.key.id).await, Err(Error::UnknownKey)));
        identity.delete_key(&acme, made.key.id).await.unwrap();
        assert!(identity.caller(&made.token).await.unwrap().is_none(), "refused at once where it was removed");
        assert!(matches!(identity.delete_key(&acme, made.key.id).await, Err(Error::UnknownKey)));
    }

    #[tokio::test]
    async fn a_key_ends_when_it_was_to_end() {
        let identity = Identity::by_default(test_postgres::store().await);
        let acme = identity.create_tenant("acme").await.unwrap();
        let short = wanted("short", &[Scope::Read], Some(Duration::from_millis(50)));
        let made = identity.create_key(&acme, short).await.unwrap();
        let ends = made.key.expires_at.unwrap();
        while chrono::Utc::now() <= ends {
            identity.caller(&made.token).await.unwrap();
        }
        assert!(identity.caller(&made.token).await.unwrap().is_none(), "also while it is still believed");
    }

    #[tokio::test]
    async fn a_key_that_makes_no_sense_is_refused_with_every_reason() {
        let identity = Identity::by_default(test_postgres::store().await);
        let acme = identity.create_tenant("acme").await.unwrap();
        let Err(Error::Invalid(mistakes)) = identity.create_key(&acme, wanted(" ", &[], Some(Duration::ZERO))).await
        else {
            panic!("is refused")
        };
        let pointers: Vec<_> = mistakes.iter().map(|mistake| mistake.pointer).collect();
        assert_eq!(pointers, ["/name", "/scopes", "/expires_in"]);
    }
}
