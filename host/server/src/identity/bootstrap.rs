//! What must exist before anybody can call: the default tenant, an operator token, a key for the command line.
//!
//! Knows nothing of where the host listens.

use std::io;
use std::path::Path;

use super::tokens::{self, Kind};
use super::{DEFAULT_TENANT, Scopes, data_dir};
use crate::store::{self, Bearer, Store, Tenant};

/// The name of operator tokens given from outside; the last one given counts.
const GIVEN: &str = "given";

/// The name of operator tokens and keys that a host makes for its data directory.
const MADE: &str = "made at start";

/// Shorter ones can be guessed; still the operator's own decision.
const ADVISED_LENGTH: usize = 16;

/// What the host made or found for its operator and its command line.
pub struct Secrets {
    /// The operator's token in the data directory; `None` when one was given from outside.
    pub operator_token: Option<String>,
    /// A key of the default tenant with every scope.
    pub key: String,
}

/// Why a host could not set up its first tenant and tokens.
#[derive(Debug, thiserror::Error)]
pub enum FirstStartError {
    /// The database could not answer.
    #[error("the first tenant and its tokens could not be set up")]
    Store(#[from] store::Error),
    /// A secret could not be read from the data directory or written there.
    #[error("the data directory's secrets could not be read or written")]
    Files(#[from] io::Error),
    /// The operator token given from outside cannot be one.
    #[error("the given operator token cannot be used: {0}")]
    Given(&'static str),
    /// The host itself could not do its part.
    #[error(transparent)]
    Tokens(#[from] super::Error),
}

/// Makes what is missing: the default tenant, an operator token unless one is `given`, and a key with every scope; the
/// last two are kept in the data directory. Doing it again, or on two hosts at once, changes nothing.
///
/// # Errors
/// When the database cannot answer, the data directory cannot be used, or the given token is no token.
pub async fn first_start(store: &Store, data_dir: &Path, given: Option<&str>) -> Result<Secrets, FirstStartError> {
    // Held to the end, so that of two hosts in one data directory the second finds the files of the first.
    let _alone = store.lock_first_start().await?;
    let tenant = default_tenant(store).await?;
    let operator_token = match given {
        Some(token) => {
            take_operator_token(store, token).await?;
            None
        }
        None => Some(operator_token(store, data_dir).await?),
    };
    let key = key(store, data_dir, &tenant).await?;
    Ok(Secrets { operator_token, key })
}

async fn default_tenant(store: &Store) -> Result<Tenant, store::Error> {
    if let Some(tenant) = store.tenant(DEFAULT_TENANT).await? {
        return Ok(tenant);
    }
    match store.add_tenant(DEFAULT_TENANT).await? {
        Some(tenant) => {
            tracing::info!(tenant = DEFAULT_TENANT, "made the tenant {DEFAULT_TENANT}");
            Ok(tenant)
        }
        // Somebody made it through the API between the two statements.
        None => store.tenant(DEFAULT_TENANT).await?.ok_or_else(|| store::Error::Corrupt("no default tenant".into())),
    }
}

async fn take_operator_token(store: &Store, token: &str) -> Result<(), FirstStartError> {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(FirstStartError::Given("expected visible ASCII characters without spaces"));
    }
    if token.len() < ADVISED_LENGTH {
        tracing::warn!("the given operator token is shorter than {ADVISED_LENGTH} characters and may be guessed");
    }
    let hash = tokens::hash(token);
    store.add_operator_token(&hash, GIVEN).await?;
    if !is_operator(store, token).await? {
        return Err(FirstStartError::Given("it is a key or a session already"));
    }
    let replaced = store.remove_other_operator_tokens(&hash, GIVEN).await?;
    if replaced > 0 {
        tracing::info!("the operator token given before is no longer valid");
    }
    Ok(())
}

async fn operator_token(store: &Store, data_dir: &Path) -> Result<String, FirstStartError> {
    let kept = data_dir::read_operator_token(data_dir)?;
    if let Some(token) = &kept {
        if is_operator(store, token).await? {
            return Ok(token.clone());
        }
        tracing::warn!("this database does not know the operator token in the data directory; made a new one");
    }
    let token = tokens::new_token(Kind::Operator)?;
    store.add_operator_token(&tokens::hash(&token), MADE).await?;
    data_dir::write_operator_token(data_dir, &token)?;
    tracing::info!("made an operator token and kept it in {} in the data directory", data_dir::OPERATOR_TOKEN_FILE);
    Ok(token)
}

async fn key(store: &Store, data_dir: &Path, tenant: &Tenant) -> Result<String, FirstStartError> {
    let kept = data_dir::read_key(data_dir)?;
    if let Some(key) = &kept {
        let known = store.token(&tokens::hash(key)).await?.map(|token| token.bearer);
        if matches!(known, Some(Bearer::Key { .. })) {
            return Ok(key.clone());
        }
        tracing::warn!("this database does not know the key in the data directory; made a new one");
    }
    let key = tokens::new_token(Kind::Key)?;
    store.add_key(tenant.id, &tokens::hash(&key), MADE, &Scopes::all().names(), None).await?;
    data_dir::write_key(data_dir, &key)?;
    tracing::info!(tenant = %tenant.name, "made a key of the tenant {} for the command line", tenant.name);
    Ok(key)
}

async fn is_operator(store: &Store, token: &str) -> Result<bool, store::Error> {
    let known = store.token(&tokens::hash(token)).await?;
    Ok(known.is_some_and(|token| token.bearer == Bearer::Operator))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Caller, Identity, Scope};
    use crate::test_postgres;

    async fn caller(store: &Store, token: &str) -> Option<Caller> {
        Identity::by_default(store.clone()).caller(token).await.unwrap()
    }

    #[tokio::test]
    async fn the_first_start_makes_what_later_ones_find() {
        let store = test_postgres::store().await;
        let dir = tempfile::tempdir().unwrap();
        let first = first_start(&store, dir.path(), None).await.unwrap();
        let operator = first.operator_token.unwrap();
        assert_eq!(caller(&store, &operator).await, Some(Caller::Operator));
        let Some(Caller::Key(key)) = caller(&store, &first.key).await else { panic!("is a key") };
        assert_eq!(key.tenant_name, "default");
        assert!(Scope::ALL.into_iter().all(|scope| key.scopes.has(scope)));

        let second = first_start(&store, dir.path(), None).await.unwrap();
        assert_eq!((second.operator_token.as_deref(), second.key.as_str()), (Some(&*operator), &*first.key));
    }

    #[tokio::test]
    async fn hosts_that_start_at_once_agree() {
        let store = test_postgres::store().await;
        let dir = tempfile::tempdir().unwrap();
        let starts = futures::future::join_all((0..4).map(|_| first_start(&store, dir.path(), None))).await;
        let keys: std::collections::HashSet<_> = starts.into_iter().map(|made| made.unwrap().key).collect();
        assert_eq!(keys.len(), 1);
        assert_eq!(store.tenants(None, 10).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn another_database_or_a_lost_file_gets_new_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let store = test_postgres::store().await;
        let before = first_start(&store, dir.path(), None).await.unwrap();
        let other = test_postgres::store().await;
        let after = first_start(&other, dir.path(), None).await.unwrap();
        assert_ne!(before.key, after.key);
        assert!(caller(&other, &before.key).await.is_none());
        assert!(caller(&other, &after.key).await.is_some());
        std::fs::remove_file(dir.path().join("client.json")).unwrap();
        let again = first_start(&other, dir.path(), None).await.unwrap();
        assert_ne!(again.key, after.key);
        assert_eq!(again.operator_token, after.operator_token);
    }

    #[tokio::test]
    async fn a_given_operator_token_takes_the_place_of_a_made_one() {
        let store = test_postgres::store().await;
        let dir = tempfile::tempdir().unwrap();
        let made = first_start(&store, dir.path(), Some("an operator's token")).await;
        assert!(matches!(made, Err(FirstStartError::Given(_))), "it has spaces");
        for given in ["given-by-its-operator", "given-by-its-operator", "another-one-given-later"] {
            let made = first_start(&store, dir.path(), Some(given)).await.unwrap();
            assert_eq!(made.operator_token, None);
            assert_eq!(caller(&store, given).await, Some(Caller::Operator));
        }
        assert_eq!(caller(&store, "given-by-its-operator").await, None, "only the last one given counts");
        assert!(!dir.path().join("operator-token").exists());
        let key = first_start(&store, dir.path(), None).await.unwrap().key;
        assert!(matches!(first_start(&store, dir.path(), Some(&key)).await, Err(FirstStartError::Given(_))));
    }
}
