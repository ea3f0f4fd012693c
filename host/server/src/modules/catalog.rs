//! Which walker a name stands for, kept in memory and dropped when a host announces a change.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use walker_model::{Definition, TenantId, is_name};

use crate::invoke::Fields;
use crate::store::modules::{CHANGED, Version};
use crate::store::{Error, ModuleRef, Store};

/// A walker that can be invoked or run.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) module_id: i64,
    pub(crate) module: ModuleRef,
    pub(crate) definition: Definition,
    /// Its fields' checks.
    pub(crate) fields: Fields,
}

/// More definitions than most hosts ever see; each takes some kilobytes.
const MAX_ENTRIES: u64 = 20_000;
/// The net below announcements.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Before listening again after the connection was lost.
const LISTEN_PAUSE: Duration = Duration::from_millis(250);

/// Which walker a name stands for.
#[derive(Clone)]
pub struct Catalog {
    store: Store,
    /// By tenant and walker name: what a new invocation runs.
    active: Cache<(TenantId, String), Arc<Entry>>,
    /// By module, version and walker name: what an accepted walker was pinned to. Never changes.
    pinned: Cache<(i64, i32, String), Arc<Entry>>,
}

impl Catalog {
    /// An empty catalog.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            active: Cache::builder()
                .max_capacity(MAX_ENTRIES)
                .time_to_live(MAX_AGE)
                .support_invalidation_closures()
                .build(),
            pinned: Cache::builder().max_capacity(MAX_ENTRIES).build(),
        }
    }

    /// The walker that a name of this tenant stands for now.
    pub(crate) async fn active(&self, tenant: TenantId, walker: &str) -> Result<Option<Arc<Entry>>, Error> {
        // What names nothing is not worth a look-up, and databases take no NUL.
        if !is_name(walker) {
            return Ok(None);
        }
        let key = (tenant, walker.to_owned());
        if let Some(entry) = self.active.get(&key).await {
            return Ok(Some(entry));
        }
        let Some(version) = self.store.active_version(tenant, walker).await? else { return Ok(None) };
        let Some(entry) = entry(version, walker) else { return Ok(None) };
        let entry = Arc::new(entry);
        self.active.insert(key, entry.clone()).await;
        Ok(Some(entry))
    }

    /// The walker that an accepted invocation was pinned to.
    pub(crate) async fn pinned(&self, module: i64, version: i32, walker: &str) -> Result<Option<Arc<Entry>>, Error> {
        let key = (module, version, walker.to_owned());
        if let Some(entry) = self.pinned.get(&key).await {
            return Ok(Some(entry));
        }
        let Some(version) = self.store.version(module, version).await? else { return Ok(None) };
        let Some(entry) = entry(version, walker) else { return Ok(None) };
        let entry = Arc::new(entry);
        self.pinned.insert(key, entry.clone()).await;
        Ok(Some(entry))
    }

    /// Forgets what a tenant's names stand for.
    pub(crate) fn forget(&self, tenant: TenantId) {
        self.active
            .invalidate_entries_if(move |(of, _), _| *of == tenant)
            .expect("the cache was built with invalidation closures");
    }

    /// Hears what other hosts change, for as long as this one lives; never returns.
    pub(crate) async fn follow(self) {
        loop {
            let heard = self.store.listen(
                CHANGED,
                || self.active.invalidate_all(),
                |tenant| match tenant.parse() {
                    Ok(tenant) => self.forget(TenantId(tenant)),
                    Err(_) => self.active.invalidate_all(),
                },
            );
            if let Err(error) = heard.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "cannot hear other hosts; listening again");
            }
            // What was announced meanwhile is unknown.
            self.active.invalidate_all();
            tokio::time::sleep(LISTEN_PAUSE).await;
        }
    }
}

fn entry(version: Version, walker: &str) -> Option<Entry> {
    let definition = version.definitions.into_iter().find(|definition| definition.name == walker)?;
    let fields = Fields::of(&definition);
    Some(Entry { module_id: version.module_id, module: version.module, definition, fields })
}
