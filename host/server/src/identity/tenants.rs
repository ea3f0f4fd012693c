//! Tenants: how they may be called, and which one a caller without a token addresses.
//!
//! Knows nothing of what a quota bounds.

use std::time::Duration;

use moka::future::Cache;
use walker_model::TenantId;

use super::{Caller, Error, Identity, Mistake};
use crate::store::{Changed, Tenant, TenantChange};

/// The tenant made at the first start, and the one addressed when nothing else is said.
pub const DEFAULT_TENANT: &str = "default";

/// As long as what is known of a token.
const BELIEVED_FOR: Duration = Duration::from_secs(4);

/// Tenants addressed without a token at a time; more only cost a look-up.
const MOST_KNOWN: u64 = 10_000;

/// The tenants that callers without a token addressed lately.
pub(super) struct Known(Cache<String, Option<Tenant>>);

impl Known {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(MOST_KNOWN).time_to_live(BELIEVED_FOR).build())
    }
}

impl Identity {
    /// Somebody without a token who addresses this tenant; `None` when there is no such tenant.
    ///
    /// # Errors
    /// When the database cannot answer.
    pub async fn public_caller(&self, tenant: &str) -> Result<Option<Caller>, Error> {
        if !is_tenant_name(tenant) {
            return Ok(None);
        }
        let found = Box::pin(self.tenants.0.try_get_with_by_ref(tenant, self.store.tenant(tenant)));
        let found = found.await.map_err(Error::Store)?;
        Ok(found
            .filter(|tenant| !tenant.is_deleting)
            .map(|tenant| Caller::Public { tenant: tenant.id, root: tenant.public_root }))
    }

    /// Makes a tenant with a root for its keys and one for callers without a token.
    ///
    /// # Errors
    /// `Invalid`, `TenantExists`, or when the database cannot answer.
    pub async fn create_tenant(&self, name: &str) -> Result<Tenant, Error> {
        if !is_tenant_name(name) {
            let detail = "expected a lower-case letter, then up to 62 lower-case letters, digits, _ or -".to_owned();
            return Err(Error::Invalid(vec![Mistake { pointer: "/name", detail }]));
        }
        let tenant = self.store.add_tenant(name).await?.ok_or_else(|| Error::TenantExists(name.to_owned()))?;
        self.tenants.0.invalidate(name).await;
        Ok(tenant)
    }

    /// The tenant of this name.
    ///
    /// # Errors
    /// `UnknownTenant`, or when the database cannot answer.
    pub async fn tenant(&self, name: &str) -> Result<Tenant, Error> {
        let tenant = if is_tenant_name(name) { self.store.tenant(name).await? } else { None };
        tenant.ok_or_else(|| Error::UnknownTenant(name.to_owned()))
    }

    /// Changes a tenant. Who asks has held quotas to the ceiling.
    ///
    /// # Errors
    /// `UnknownTenant`, `TenantDeleting`, or when the database cannot answer.
    pub async fn change_tenant(&self, name: &str, change: &TenantChange) -> Result<Tenant, Error> {
        let is_name = is_tenant_name(name);
        match if is_name { self.store.change_tenant(name, change).await? } else { Changed::Unknown } {
            Changed::Done(tenant) => Ok(tenant),
            Changed::Deleting => Err(Error::TenantDeleting(name.to_owned())),
            Changed::Unknown => Err(Error::UnknownTenant(name.to_owned())),
        }
    }

    /// Has a tenant deleted, with everything of it: its tokens are refused here at once, everywhere within 5 s, and the
    /// rest goes in the background.
    ///
    /// # Errors
    /// `UnknownTenant`, `TenantIsDefault`, or when the database cannot answer.
    pub async fn delete_tenant(&self, name: &str) -> Result<TenantId, Error> {
        if name == DEFAULT_TENANT {
            return Err(Error::TenantIsDefault);
        }
        let marked = if is_tenant_name(name) { self.store.mark_tenant_deleted(name).await? } else { None };
        let tenant = marked.ok_or_else(|| Error::UnknownTenant(name.to_owned()))?;
        self.tenants.0.invalidate(name).await;
        self.forget_all();
        Ok(tenant)
    }

    /// Up to `limit` tenants by name, from the one after `after` on.
    ///
    /// # Errors
    /// When the database cannot answer.
    pub async fn tenants(&self, after: Option<&str>, limit: u16) -> Result<Vec<Tenant>, Error> {
        Ok(self.store.tenants(after, limit).await?)
    }
}

/// `[a-z][a-z0-9_-]{0,62}`: what also fits a DNS label.
fn is_tenant_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.first(), Some(b'a'..=b'z'))
        && bytes.len() <= 63
        && bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_postgres;

    #[test]
    fn names_have_the_documented_form() {
        let longest = "a".repeat(63);
        for good in ["a", "default", "acme-2_x", &longest] {
            assert!(is_tenant_name(good), "{good}");
        }
        let too_long = "a".repeat(64);
        for bad in ["", "A", "2a", "-a", "a b", "ä", "a\0", "a.b", &too_long] {
            assert!(!is_tenant_name(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_tenant_is_made_once_and_addressed_at_once() {
        let identity = Identity::by_default(test_postgres::store().await);
        assert_eq!(identity.public_caller("acme").await.unwrap(), None);
        let made = identity.create_tenant("acme").await.unwrap();
        assert_ne!(made.root, made.public_root);
        assert!(matches!(identity.create_tenant("acme").await, Err(Error::TenantExists(_))));
        assert!(matches!(identity.create_tenant("A").await, Err(Error::Invalid(_))));
        assert_eq!(
            identity.public_caller("acme").await.unwrap(),
            Some(Caller::Public { tenant: made.id, root: made.public_root })
        );
        assert_eq!(identity.tenant("acme").await.unwrap(), made);
        assert!(matches!(identity.tenant("a\0").await, Err(Error::UnknownTenant(_))));
        let other = identity.create_tenant("zeta").await.unwrap();
        assert_eq!(identity.tenants(None, 1).await.unwrap(), [made]);
        assert_eq!(identity.tenants(Some("acme"), 10).await.unwrap(), [other]);
    }
}
