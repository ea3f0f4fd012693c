//! Compiled modules: in memory, else on disk, else made again from the bytes in Postgres.

use std::sync::Arc;

use bytes::Bytes;
use moka::future::Cache;
use tokio::sync::Semaphore;
use walker_sandbox::{AdmitError, Admitted, Artifact, ArtifactCache, Jail, Module, Sandbox};

use crate::store::Store;

/// Compilations at once: each takes up to a core and some hundred megabytes in its child process.
const COMPILATIONS: usize = 2;

/// Compiled modules by the digest of their code.
#[derive(Clone)]
pub struct Compiled {
    store: Store,
    sandbox: Sandbox,
    jail: Jail,
    disk: Arc<ArtifactCache>,
    memory: Cache<[u8; 32], Module>,
    compilations: Arc<Semaphore>,
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
    /// Keeps at most `max_bytes` of machine code in memory.
    pub fn new(store: Store, sandbox: Sandbox, jail: Jail, disk: ArtifactCache, max_bytes: u64) -> Self {
        let memory = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, module: &Module| u32::try_from(module.size()).unwrap_or(u32::MAX))
            .build();
        let compilations = Arc::new(Semaphore::new(COMPILATIONS));
        Self { store, sandbox, jail, disk: Arc::new(disk), memory, compilations }
    }

    /// Checks and compiles code that nobody knows yet, and keeps the result.
    pub(crate) async fn admit(&self, sha256: &[u8; 32], code: Bytes) -> Result<Admitted, AdmitError> {
        let _turn = self.compilations.acquire().await.expect("the semaphore is never closed");
        let admitted = self.jail.admit(code).await?;
        if let Err(error) = self.disk.put(sha256, &admitted.artifact) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not keep a compiled module; it will be compiled again"
            );
        }
        Ok(admitted)
    }

    /// The module with this digest, ready to run.
    pub(crate) async fn get(&self, sha256: &[u8; 32]) -> Result<Module, Unloadable> {
        if let Some(module) = self.memory.get(sha256).await {
            return Ok(module);
        }
        // Runs that need the same module wait for one load.
        self.memory.try_get_with(*sha256, self.load(*sha256)).await.map_err(|error| (*error).clone())
    }

    async fn load(&self, sha256: [u8; 32]) -> Result<Module, Unloadable> {
        let (sandbox, disk) = (self.sandbox.clone(), self.disk.clone());
        let cached = tokio::task::spawn_blocking(move || {
            disk.get(&sha256).map(|artifact| load(&sandbox, &artifact)).transpose()
        });
        match cached.await.map_err(|error| Unloadable::Broken(format!("loading the module failed: {error}")))? {
            Ok(Some(module)) => return Ok(module),
            Ok(None) => {}
            Err(error) => tracing::warn!("a kept compiled module cannot be loaded ({error}); compiling it again"),
        }
        let code = self.store.code(&sha256).await.map_err(|error| {
            let kind = if error.is_unavailable() { Unloadable::Away } else { Unloadable::Broken };
            kind(chain(&error))
        })?;
        let code = code.ok_or_else(|| Unloadable::Broken("the module's code is no longer stored".into()))?;
        tracing::info!("compiling a module that this host has not compiled before");
        let admitted = self.admit(&sha256, code).await.map_err(|error| Unloadable::Broken(chain(&error)))?;
        load(&self.sandbox, &admitted.artifact)
    }

    /// Where frames are in the source, one `function at file:line` each.
    pub(crate) async fn backtrace(&self, sha256: &[u8; 32], frames: &[walker_model::Frame]) -> Vec<String> {
        let names = || frames.iter().map(|frame| frame.function.clone().unwrap_or_else(|| "<unknown>".into()));
        let code = match self.store.code(sha256).await {
            Ok(Some(code)) => code,
            Ok(None) | Err(_) => return names().collect(),
        };
        match self.jail.symbolize(code, frames).await {
            Ok(lines) => names()
                .zip(lines)
                .map(|(name, line)| match line {
                    Some(line) => format!("{} at {}:{}", line.function.unwrap_or(name), line.file, line.line),
                    None => name,
                })
                .collect(),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "could not resolve a backtrace");
                names().collect()
            }
        }
    }
}

fn load(sandbox: &Sandbox, artifact: &Artifact) -> Result<Module, Unloadable> {
    sandbox.load(artifact).map_err(|error| Unloadable::Broken(chain(&error)))
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
