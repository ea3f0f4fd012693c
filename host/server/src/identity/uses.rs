//! When keys were last used: gathered where their tokens are looked up, written together now and then.
//!
//! A token that is believed is looked up every few seconds while it is in use, so that requests themselves cost nothing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Error, Identity};

/// How often what was gathered is written.
pub(crate) const WRITE_EVERY: Duration = Duration::from_secs(20);

/// The keys that were used since the last write, and when.
#[derive(Default)]
pub(super) struct Uses(Mutex<HashMap<Uuid, Instant>>);

impl Uses {
    /// A key was used just now.
    pub(super) fn saw(&self, key: Uuid) {
        self.lock().insert(key, Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identity {
    /// Writes when keys were last used. What could not be written is kept for the next time.
    ///
    /// # Errors
    /// When the database cannot answer.
    pub async fn write_uses(&self) -> Result<(), Error> {
        let uses = std::mem::take(&mut *self.uses.lock());
        if uses.is_empty() {
            return Ok(());
        }
        let (keys, ages): (Vec<Uuid>, Vec<f64>) =
            uses.iter().map(|(key, at)| (*key, at.elapsed().as_secs_f64())).unzip();
        let written = self.store.keys_used(&keys, &ages).await;
        if written.is_err() {
            let mut newer = self.uses.lock();
            for (key, at) in uses {
                newer.entry(key).or_insert(at);
            }
        }
        Ok(written?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Scope, WantedKey};
    use crate::store::Tenant;
    use crate::test_postgres;

    async fn key(identity: &Identity, tenant: &Tenant) -> (Uuid, String) {
        let wanted = WantedKey { name: "ci".into(), scopes: [Scope::Read].into_iter().collect(), expires_in: None };
        let made = identity.create_key(tenant, wanted).await.unwrap();
        (made.key.id, made.token)
    }

    #[tokio::test]
    async fn a_key_tells_when_it_was_last_used_and_when_it_was_taken_back() {
        let store = test_postgres::store().await;
        let identity = Identity::by_default(store.clone());
        let acme = identity.create_tenant("acme").await.unwrap();
        let ((used, token), (unused, _)) = (key(&identity, &acme).await, key(&identity, &acme).await);
        for _ in 0..3 {
            assert!(identity.caller(&token).await.unwrap().is_some());
        }
        assert_eq!(identity.uses.lock().len(), 1);
        let began = store.now().await.unwrap() - WRITE_EVERY;
        identity.write_uses().await.unwrap();
        let listed = identity.keys(&acme, None, 10).await.unwrap();
        assert_eq!(listed.iter().map(|key| key.id).collect::<Vec<_>>(), [used, unused]);
        assert!(listed[0].last_used.is_some_and(|at| at > began), "{listed:?}");
        assert_eq!((listed[1].last_used, listed[0].revoked_at), (None, None));
        // A host whose clock stood still says nothing of a later use.
        store.keys_used(&[used], &[60.0]).await.unwrap();
        assert_eq!(identity.keys(&acme, None, 1).await.unwrap()[0], listed[0]);

        identity.delete_key(&acme, used).await.unwrap();
        let revoked = identity.keys(&acme, None, 10).await.unwrap().remove(0);
        assert_eq!((revoked.id, revoked.last_used, &revoked.scopes), (used, listed[0].last_used, &listed[0].scopes));
        assert!(revoked.revoked_at.is_some_and(|at| at > began));
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_written_later() {
        let store = test_postgres::store().await;
        let (identity, away) = (Identity::by_default(store.clone()), Identity::by_default(store.clone()));
        let acme = identity.create_tenant("acme").await.unwrap();
        let (id, token) = key(&identity, &acme).await;
        assert!(away.caller(&token).await.unwrap().is_some());
        store.close();
        assert!(away.write_uses().await.is_err());
        assert_eq!(away.uses.lock().keys().collect::<Vec<_>>(), [&id]);
    }
}
