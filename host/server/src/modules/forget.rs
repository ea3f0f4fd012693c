//! Lets go of what is compiled of code that is no longer stored, as that of deleted tenants.
//!
//! Each host does it for its own data directory.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use tokio::time::MissedTickBehavior;
use walker_sandbox::{ArtifactCache, Module};

use crate::store::{Error, Store};

/// How often it is looked for: one look-up in an index for each compiled module.
const EVERY: Duration = Duration::from_secs(15);

/// Does it for as long as this host lives; never returns.
pub(super) async fn keep_forgetting(store: Store, disk: Arc<ArtifactCache>, memory: Cache<[u8; 32], Module>) {
    let mut turn = tokio::time::interval(EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        match forget(&store, &disk).await {
            Ok(digests) => {
                for digest in digests {
                    memory.invalidate(&digest).await;
                }
            }
            Err(error) if error.is_unavailable() => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "could not look for compiled modules that nobody has"
                );
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not let go of compiled modules that nobody has any more; trying again"
            ),
        }
    }
}

/// One turn; answers what is gone. What is being published at this very moment may be among it, and is compiled again.
async fn forget(store: &Store, disk: &Arc<ArtifactCache>) -> Result<Vec<[u8; 32]>, Error> {
    let kept = blocking(disk, |disk| disk.digests()).await?;
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    let gone = store.without_code(&Vec::from_iter(kept)).await?;
    let remove = gone.clone();
    blocking(disk, move |disk| remove.iter().try_for_each(|digest| disk.remove(digest))).await?;
    Ok(gone)
}

async fn blocking<T: Send + 'static>(
    disk: &Arc<ArtifactCache>,
    work: impl FnOnce(&ArtifactCache) -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let disk = disk.clone();
    let done = tokio::task::spawn_blocking(move || work(&disk)).await;
    done.map_err(std::io::Error::other).flatten().map_err(Error::File)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_postgres;

    #[tokio::test]
    async fn what_is_compiled_of_deleted_code_goes_and_the_rest_stays() {
        let store = test_postgres::store().await;
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(ArtifactCache::open(folder.path(), [1; 32], "engine", 1 << 20).unwrap());
        let path = |digit: &str| folder.path().join("engine").join(digit.repeat(64));
        for digit in ["1", "2"] {
            std::fs::write(path(digit), "compiled").unwrap();
        }
        let client = store.client().await.unwrap();
        client.execute("insert into module_code values ($1, '')", &[&[0x11_u8; 32].as_slice()]).await.unwrap();
        assert_eq!(forget(&store, &disk).await.unwrap(), [[0x22; 32]]);
        assert!(path("1").exists() && !path("2").exists());
        client.execute("delete from module_code", &[]).await.unwrap();
        assert_eq!(forget(&store, &disk).await.unwrap(), [[0x11; 32]]);
        assert_eq!(forget(&store, &disk).await.unwrap(), [[0; 32]; 0]);
    }
}
