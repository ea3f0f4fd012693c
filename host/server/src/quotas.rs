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

/// What whoever wants to start something of a suspended tenant is told.
pub(crate) const SUSPENDED: &str =
    "the tenant is suspended: nothing new starts until the host's operator resumes it; what there is can be read";

/// What a tenant is told that wants to store more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the tenant has {stored} bytes stored and may have {quota}; delete walkers that have ended, or have the operator lower \
     keep_results or raise the quota stored_bytes"
)]
pub struct StorageFull {
    /// What it has stored, about.
    pub stored: u64,
    /// What it may.
    pub quota: u64,
}

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

/// What a tenant may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How much of it.
    pub(crate) quotas: Quotas,
    /// Whether it may start anything: it is neither suspended nor being deleted.
    pub(crate) is_open: bool,
}

/// What each tenant may use, kept in memory for a moment.
#[derive(Clone)]
pub(crate) struct TenantQuotas {
    store: Store,
    rules: QuotaRules,
    fresh: Cache<TenantId, Terms>,
    /// For when the database is away: better than refusing, or than forgetting what was set.
    last: Cache<TenantId, Terms>,
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
        Ok(self.terms(tenant).await?.quotas)
    }

    /// What this tenant may do.
    ///
    /// # Errors
    /// When the database cannot answer, and nothing is known from before.
    pub(crate) async fn terms(&self, tenant: TenantId) -> Result<Terms, Arc<Error>> {
        if let Some(terms) = self.fresh.get(&tenant).await {
            return Ok(terms);
        }
        let load = async {
            let set = self.store.tenant_terms(tenant).await?;
            Ok(Terms { quotas: self.rules.with(&set.quotas), is_open: set.is_open })
        };
        // Rarely on the way: kept out of the futures of everything that asks.
        match Box::pin(self.fresh.try_get_with(tenant, load)).await {
            Ok(terms) => {
                self.last.insert(tenant, terms).await;
                Ok(terms)
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
    use crate::store::{Changed, TenantChange};
    use crate::test_postgres;

    #[tokio::test]
    async fn what_is_set_for_one_tenant_counts_for_it_alone() {
        let store = test_postgres::store().await;
        let rules = QuotaRules::default();
        let quotas = TenantQuotas::new(store.clone(), rules);
        let one = store.add_tenant("one").await.unwrap().unwrap();
        let other = store.add_tenant("other").await.unwrap().unwrap();
        assert_eq!(quotas.of(one.id).await.unwrap(), rules.default);

        let set = |quotas: &[(&str, Option<u64>)]| TenantChange {
            quotas: quotas.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            ..TenantChange::default()
        };
        let patch = set(&[("fuel", Some(7)), ("live_walkers", Some(3))]);
        let Changed::Done(changed) = store.change_tenant("one", &patch).await.unwrap() else { panic!("is there") };
        assert_eq!(quotas.of(one.id).await.unwrap(), rules.default, "still believed");
        quotas.changed(one.id).await;
        let now = quotas.of(one.id).await.unwrap();
        assert_eq!((now.limits.fuel, now.tenant.live_walkers, now), (7, 3, rules.of(&changed)));
        assert_eq!(now.limits.reports, rules.default.limits.reports);
        assert_eq!(quotas.of(other.id).await.unwrap(), rules.default);

        let changed = store.change_tenant("one", &set(&[("fuel", None)])).await.unwrap();
        assert!(matches!(changed, Changed::Done(one) if one.quotas == [("live_walkers".to_owned(), 3)].into()));
        assert_eq!(store.change_tenant("nobody", &patch).await.unwrap(), Changed::Unknown);
    }

    #[tokio::test]
    async fn what_was_set_is_known_while_the_database_is_away() {
        let store = test_postgres::store().await;
        let quotas = TenantQuotas::new(store.clone(), QuotaRules::default());
        let one = store.add_tenant("one").await.unwrap().unwrap();
        let patch = TenantChange { quotas: vec![("fuel".to_owned(), Some(7))], ..TenantChange::default() };
        store.change_tenant("one", &patch).await.unwrap();
        assert_eq!(quotas.of(one.id).await.unwrap().limits.fuel, 7);
        store.close();
        quotas.changed(one.id).await;
        assert_eq!(quotas.of(one.id).await.unwrap().limits.fuel, 7);
        assert!(quotas.of(TenantId(99)).await.is_err(), "of a tenant that nobody asked for yet nothing is known");
    }

    #[tokio::test]
    async fn a_suspended_tenant_starts_nothing_until_it_is_resumed() {
        let store = test_postgres::store().await;
        let quotas = TenantQuotas::new(store.clone(), QuotaRules::default());
        let one = store.add_tenant("one").await.unwrap().unwrap();
        for suspended in [false, true, false] {
            let change = TenantChange { suspended: Some(suspended), ..TenantChange::default() };
            assert!(matches!(store.change_tenant("one", &change).await.unwrap(), Changed::Done(_)));
            quotas.changed(one.id).await;
            assert_eq!(quotas.terms(one.id).await.unwrap().is_open, !suspended);
        }
        store.mark_tenant_deleted("one").await.unwrap().unwrap();
        quotas.changed(one.id).await;
        assert!(!quotas.terms(one.id).await.unwrap().is_open);
        assert_eq!(store.change_tenant("one", &TenantChange::default()).await.unwrap(), Changed::Deleting);
        assert!(!quotas.terms(TenantId(99)).await.unwrap().is_open, "who is not there starts nothing");
    }
}
