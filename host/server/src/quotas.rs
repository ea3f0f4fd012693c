//! What each tenant may use: what the operator gives to all, up to which ceiling, and what it set for one.
//!
//! Enforces nothing; answers those who do. A change counts here at once, and on every host within 5 s.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use walker_model::{Quotas, SetQuotas, TenantId};

use crate::store::{Error, Store, Tenant};

/// The second between this and the five that are promised is for the look-up that was under way at the change.
const BELIEVED_FOR: Duration = Duration::from_secs(4);
/// Tenants at a time, at some hundred bytes each; more only cost a look-up.
const MOST_KNOWN: u64 = 50_000;

/// What the operator decided for all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuotaRules {
    /// What a tenant has unless something was set for it.
    pub default: Quotas,
    /// The most that may be set.
    pub ceiling: Ceiling,
}

/// The most that may be set for a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling(pub Quotas);

impl Default for Ceiling {
    fn default() -> Self {
        Self(Quotas::CEILING)
    }
}

impl QuotaRules {
    /// What this tenant may use.
    pub fn of(&self, tenant: &Tenant) -> Quotas {
        self.with(&tenant.quotas)
    }

    /// What a tenant may use for which this was set.
    pub(crate) fn with(&self, set: &SetQuotas) -> Quotas {
        self.default.with(set, &self.ceiling.0)
    }
}

/// What each tenant may use, kept in memory for a moment.
#[derive(Clone)]
pub(crate) struct TenantQuotas {
    store: Store,
    rules: QuotaRules,
    fresh: Cache<TenantId, Quotas>,
    /// For when the database is away: better than refusing, or than forgetting what was set.
    last: Cache<TenantId, Quotas>,
}

impl TenantQuotas {
    /// With nothing known yet.
    pub(crate) fn new(store: Store, rules: QuotaRules) -> Self {
        Self {
            store,
            rules,
            fresh: Cache::builder().max_capacity(MOST_KNOWN).time_to_live(BELIEVED_FOR).build(),
            last: Cache::builder().max_capacity(MOST_KNOWN).build(),
        }
    }

    /// What the operator decided for all.
    pub(crate) fn rules(&self) -> &QuotaRules {
        &self.rules
    }

    /// What this tenant may use.
    ///
    /// # Errors
    /// When the database cannot answer, and nothing is known from before.
    pub(crate) async fn of(&self, tenant: TenantId) -> Result<Quotas, Arc<Error>> {
        if let Some(quotas) = self.fresh.get(&tenant).await {
            return Ok(quotas);
        }
        let load = async {
            let set = self.store.tenant_quotas(tenant).await?.unwrap_or_default();
            Ok(self.rules.with(&set))
        };
        match self.fresh.try_get_with(tenant, load).await {
            Ok(quotas) => {
                self.last.insert(tenant, quotas).await;
                Ok(quotas)
            }
            Err(error) => self.last.get(&tenant).await.ok_or(error),
        }
    }

    /// Something was set for this tenant.
    pub(crate) async fn changed(&self, tenant: TenantId) {
        self.fresh.invalidate(&tenant).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_postgres;

    #[tokio::test]
    async fn what_is_set_for_one_tenant_counts_for_it_alone() {
        let store = test_postgres::store().await;
        let rules = QuotaRules::default();
        let quotas = TenantQuotas::new(store.clone(), rules);
        let one = store.add_tenant("one").await.unwrap().unwrap();
        let other = store.add_tenant("other").await.unwrap().unwrap();
        assert_eq!(quotas.of(one.id).await.unwrap(), rules.default);

        let patch = [("fuel".to_owned(), Some(7)), ("live_walkers".to_owned(), Some(3))];
        let changed = store.patch_tenant_quotas("one", &patch).await.unwrap().unwrap();
        assert_eq!(quotas.of(one.id).await.unwrap(), rules.default, "still believed");
        quotas.changed(one.id).await;
        let now = quotas.of(one.id).await.unwrap();
        assert_eq!((now.limits.fuel, now.live_walkers, now), (7, 3, rules.of(&changed)));
        assert_eq!(now.limits.reports, rules.default.limits.reports);
        assert_eq!(quotas.of(other.id).await.unwrap(), rules.default);

        let changed = store.patch_tenant_quotas("one", &[("fuel".to_owned(), None)]).await.unwrap().unwrap();
        assert_eq!(changed.quotas, [("live_walkers".to_owned(), 3)].into());
        assert_eq!(store.patch_tenant_quotas("nobody", &patch).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_was_set_is_known_while_the_database_is_away() {
        let store = test_postgres::store().await;
        let quotas = TenantQuotas::new(store.clone(), QuotaRules::default());
        let one = store.add_tenant("one").await.unwrap().unwrap();
        store.patch_tenant_quotas("one", &[("fuel".to_owned(), Some(7))]).await.unwrap();
        assert_eq!(quotas.of(one.id).await.unwrap().limits.fuel, 7);
        store.close();
        quotas.changed(one.id).await;
        assert_eq!(quotas.of(one.id).await.unwrap().limits.fuel, 7);
        assert!(quotas.of(TenantId(99)).await.is_err(), "of a tenant that nobody asked for yet nothing is known");
    }
}
