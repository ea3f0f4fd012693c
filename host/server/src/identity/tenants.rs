//! Tenants: how they may be called, and which one a caller without a token addresses.
//!
//! Knows nothing of what a quota bounds.

use std::time::Duration;

use moka::future::Cache;

use super::{Caller, Error, Identity, Mistake};
use crate::store::Tenant;

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
        let found =
            self.tenants.0.try_get_with_by_ref(tenant, self.store.tenant(tenant)).await.map_err(Error::Store)?;
        Ok(found.map(|tenant| Caller::Public { tenant: tenant.id, root: tenant.public_root }))
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

    /// Sets quotas of a tenant, or gives back the defaults (`None`). Who asks has held them to the ceiling.
    ///
    /// # Errors
    /// `UnknownTenant`, or when the database cannot answer.
    pub async fn change_quotas(&self, name: &str, changes: &[(String, Option<u64>)]) -> Result<Tenant, Error> {
        let changed = if is_tenant_name(name) { self.store.patch_tenant_quotas(name, changes).await? } else { None };
        changed.ok_or_else(|| Error::UnknownTenant(name.to_owned()))
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
        let identity = Identity::new(test_postgres::store().await);
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
