//! Compiled modules: in memory, else on disk, else made again from the bytes in Postgres.

use std::fs::File;
use std::sync::Arc;

use moka::future::Cache;
use moka::policy::EvictionPolicy;
use walker_model::{TenantId, UploadCost};
use walker_sandbox::{AdmitError, Admitted, Artifact, ArtifactCache, Jail, Module, Sandbox};

use super::admissions::{Admissions, Crowded};
use super::forget;
use super::line::{Line, Place};
use super::under_way::UnderWay;
use super::upload::Spool;
use crate::store::Store;

/// Children that compile what was admitted before, so that with two no tenant has them all: walkers wait for them, so uploads
/// have others.
const COMPILATIONS: usize = 2;

/// Compiled modules by the digest of their code.
#[derive(Clone)]
pub struct Compiled {
    store: Store,
    sandbox: Sandbox,
    jail: Jail,
    disk: Arc<ArtifactCache>,
    spool: Spool,
    memory: Cache<[u8; 32], Module>,
    admissions: Admissions,
    compilations: Line,
    /// By tenant, too: who has published the same module must not wait in another's line.
    compiling: UnderWay<(TenantId, [u8; 32]), Result<Module, Unloadable>>,
}

/// A module that cannot be had now.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Unloadable {
    /// It can be once the database is back.
    #[error("{0}")]
    Away(String),
    /// Trying again brings the same.
    #[error("{0}")]
    Broken(String),
}

impl Compiled {
    /// Keeps at most `max_bytes` of machine code mapped.
    pub fn new(store: Store, sandbox: Sandbox, jail: Jail, disk: ArtifactCache, spool: Spool, max_bytes: u64) -> Self {
        Self {
            store,
            sandbox,
            jail,
            disk: Arc::new(disk),
            spool,
            memory: bounded(max_bytes, Module::size),
            admissions: Admissions::new(),
            compilations: Line::new(COMPILATIONS),
            compiling: UnderWay::new(),
        }
    }

    /// Lets go of what is compiled of code that is no longer stored, for as long as this host lives; never returns.
    pub(crate) async fn keep_forgetting(self) {
        forget::keep_forgetting(self.store, self.disk, self.memory).await;
    }

    /// Where uploads are kept while they are looked at.
    pub(crate) fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Who reads modules.
    pub(super) fn jail(&self) -> &Jail {
        &self.jail
    }

    /// A place in the line of what is to be admitted.
    pub(crate) fn expect(&self, tenant: TenantId) -> Result<Place, Crowded> {
        self.admissions.enter(tenant)
    }

    /// Checks and compiles code that nobody knows yet and that may cost so much, and keeps the result.
    pub(crate) async fn admit(
        &self,
        place: &Place,
        sha256: &[u8; 32],
        code: &File,
        most: &UploadCost,
    ) -> Result<Admitted, AdmitError> {
        let _turn = place.turn().await;
        self.compile(sha256, code, most).await
    }

    async fn compile(&self, sha256: &[u8; 32], code: &File, most: &UploadCost) -> Result<Admitted, AdmitError> {
        let admitted = self.jail.admit(code, most).await?;
        let (disk, artifact, sha256) = (self.disk.clone(), admitted.artifact.clone(), *sha256);
        let in_memory = self.memory.clone();
        let kept = tokio::task::spawn_blocking(move || {
            // Who finds a module in memory leaves no trace on the disk, where something may have to go now.
            disk.used(in_memory.iter().map(|(digest, _)| *digest));
            disk.put(&sha256, &artifact)
        });
        if let Err(error) = kept.await.map_err(std::io::Error::other).flatten() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not keep a compiled module; it will be compiled again"
            );
        }
        Ok(admitted)
    }

    /// Has a module in memory that was just admitted, for whoever invokes it first.
    pub(crate) async fn make_ready(&self, sha256: &[u8; 32], artifact: &Artifact) -> Result<(), Unloadable> {
        let ready = async {
            match self.kept(*sha256).await {
                Some(module) => Ok(module),
                // Too large for the disk, or it could not be written.
                None => load(&self.sandbox, artifact),
            }
        };
        self.memory.try_get_with(*sha256, ready).await.map(drop).map_err(|error| (*error).clone())
    }

    /// The module with this digest, ready to run for this tenant.
    pub(crate) async fn get(&self, tenant: TenantId, sha256: &[u8; 32]) -> Result<Module, Unloadable> {
        if let Some(module) = self.memory.get(sha256).await {
            return Ok(module);
        }
        // Rarely on the way: kept out of every run's future.
        Box::pin(self.load(tenant, *sha256)).await
    }

    async fn load(&self, tenant: TenantId, sha256: [u8; 32]) -> Result<Module, Unloadable> {
        // Runs that need the same module wait for one load.
        if let Some(module) = self.memory.optionally_get_with(sha256, self.kept(sha256)).await {
            return Ok(module);
        }
        let compiled = self.compiling.join((tenant, sha256), || self.clone().load_in_turn(tenant, sha256));
        compiled.await.unwrap_or_else(|| Err(Unloadable::Broken("compiling the module was given up".into())))
    }

    async fn load_in_turn(self, tenant: TenantId, sha256: [u8; 32]) -> Result<Module, Unloadable> {
        let place = self.compilations.enter(tenant);
        let _turn = place.turn().await;
        // Another tenant may have had it compiled meanwhile, or be at it.
        let compiled = async {
            match self.kept(sha256).await {
                Some(module) => Ok(module),
                None => self.compile_again(sha256).await,
            }
        };
        self.memory.try_get_with(sha256, compiled).await.map_err(|error| (*error).clone())
    }

    /// What the disk has of it.
    async fn kept(&self, sha256: [u8; 32]) -> Option<Module> {
        let (sandbox, disk) = (self.sandbox.clone(), self.disk.clone());
        let kept = tokio::task::spawn_blocking(move || {
            disk.get(&sha256).map(|artifact| load(&sandbox, &artifact)).transpose()
        });
        let kept = kept.await.unwrap_or_else(|error| Err(Unloadable::Broken(error.to_string())));
        kept.unwrap_or_else(|error| {
            tracing::warn!("a kept compiled module cannot be loaded ({error}); compiling it again");
            None
        })
    }

    async fn compile_again(&self, sha256: [u8; 32]) -> Result<Module, Unloadable> {
        let code = self.code(&sha256).await?;
        tracing::info!("compiling a module that this host has not compiled before");
        // Whoever published it had the right to; now it costs what this host gives anybody at most.
        let admitted =
            self.compile(&sha256, &code, self.jail.most()).await.map_err(|error| Unloadable::Broken(chain(&error)))?;
        load(&self.sandbox, &admitted.artifact)
    }

    /// A stored module's code, in a file without a name.
    pub(super) async fn code(&self, sha256: &[u8; 32]) -> Result<File, Unloadable> {
        let spool = |error: std::io::Error| Unloadable::Broken(format!("cannot keep the module's code: {error}"));
        let mut receiving = self.spool.receive().await.map_err(spool)?;
        loop {
            let piece = self.store.code_piece(sha256, receiving.bytes()).await;
            let piece = piece.map_err(|error| {
                let kind = if error.is_unavailable() { Unloadable::Away } else { Unloadable::Broken };
                kind(chain(&error))
            })?;
            let piece = piece.ok_or_else(|| Unloadable::Broken("the module's code is no longer stored".into()))?;
            if piece.is_empty() {
                return Ok(receiving.finish().await.map_err(spool)?.file);
            }
            receiving.write(&piece).await.map_err(spool)?;
        }
    }
}

/// A cache of at most so many bytes, out of which goes what was used least recently.
///
/// The library's usual policy would rather turn away what is new: a module that has just been published.
fn bounded<V: Clone + Send + Sync + 'static>(max_bytes: u64, size: fn(&V) -> u64) -> Cache<[u8; 32], V> {
    Cache::builder()
        .max_capacity(max_bytes)
        .weigher(move |_, value| u32::try_from(size(value)).unwrap_or(u32::MAX))
        .eviction_policy(EvictionPolicy::lru())
        .build()
}

fn load(sandbox: &Sandbox, artifact: &Artifact) -> Result<Module, Unloadable> {
    sandbox.load(artifact).map_err(|error| Unloadable::Broken(chain(&error)))
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_what_was_used_last_within_its_bytes() {
        let cache = bounded(100, |size: &u64| *size);
        let key = |name: u8| [name; 32];
        for name in [1, 2, 3] {
            cache.insert(key(name), 30).await;
        }
        cache.run_pending_tasks().await;
        // Used often, but long ago.
        for name in [2, 2, 2, 2, 1, 3] {
            assert!(cache.get(&key(name)).await.is_some());
        }
        cache.insert(key(4), 30).await;
        cache.run_pending_tasks().await;
        let kept: Vec<u8> = (1..=4).filter(|name| cache.contains_key(&key(*name))).collect();
        assert_eq!((kept, cache.weighted_size()), (vec![1, 3, 4], 90));
        cache.insert(key(5), 101).await;
        cache.run_pending_tasks().await;
        assert!(!cache.contains_key(&key(5)) && cache.weighted_size() <= 100, "what is too large is not kept");
    }
}
