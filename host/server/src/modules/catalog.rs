//! Which walker a name stands for, kept in memory and dropped when a host announces a change.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use walker_model::{Definition, TenantId, is_name};

use crate::aside::aside;
use crate::invoke::Fields;
use crate::store::modules::Version;
use crate::store::{Error, ModuleRef, Store, WalkerView};

/// A walker that can be invoked or run.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) module_id: i64,
    pub(crate) module: ModuleRef,
    pub(crate) definition: Definition,
    /// Its fields' checks.
    pub(crate) fields: Fields,
}

/// What all of them take of memory, about: more definitions than most hosts ever see, of which most take some kilobytes.
const MAX_BYTES: u64 = 256 << 20;
/// What a definition takes with small schemas or none.
const ENTRY_BYTES: usize = 8 << 10;
/// The net below announcements.
const MAX_AGE: Duration = Duration::from_secs(60);

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
                .max_capacity(MAX_BYTES)
                .weigher(|_, entry: &Arc<Entry>| weight(entry))
                .time_to_live(MAX_AGE)
                .support_invalidation_closures()
                .build(),
            pinned: Cache::builder().max_capacity(MAX_BYTES).weigher(|_, entry: &Arc<Entry>| weight(entry)).build(),
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
        let version = Box::pin(self.store.active_version(tenant, walker)).await?;
        let Some(version) = version else { return Ok(None) };
        let Some(entry) = entry(version, walker).await else { return Ok(None) };
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
        let version = Box::pin(self.store.version(module, version)).await?;
        let Some(version) = version else { return Ok(None) };
        let Some(entry) = entry(version, walker).await else { return Ok(None) };
        let entry = Arc::new(entry);
        self.pinned.insert(key, entry.clone()).await;
        Ok(Some(entry))
    }

    /// The walker of a stored invocation.
    pub(crate) async fn pinned_as(&self, view: &WalkerView) -> Result<Option<Arc<Entry>>, Error> {
        self.pinned(view.run.module_id, view.run.module.version, &view.id.name).await
    }

    /// Forgets what a tenant's names stand for.
    pub(crate) fn forget(&self, tenant: TenantId) {
        self.active
            .invalidate_entries_if(move |(of, _), _| *of == tenant)
            .expect("the cache was built with invalidation closures");
    }

    /// Forgets what all names stand for.
    pub(crate) fn forget_all(&self) {
        self.active.invalidate_all();
    }

    /// An announcement: the tenant whose names have changed.
    pub(crate) fn hear(&self, tenant: &str) {
        match tenant.parse() {
            Ok(tenant) => self.forget(TenantId(tenant)),
            Err(_) => self.forget_all(),
        }
    }
}

async fn entry(version: Version, walker: &str) -> Option<Entry> {
    let definition = version.definitions.into_iter().find(|definition| definition.name == walker)?;
    // Somebody else wrote the schemas, and may have meant it to take long.
    let (definition, fields) = aside(move || {
        let fields = Fields::of(&definition);
        (definition, fields)
    })
    .await;
    Some(Entry { module_id: version.module_id, module: version.module, definition, fields })
}

fn weight(entry: &Entry) -> u32 {
    u32::try_from(ENTRY_BYTES + entry.fields.bytes()).unwrap_or(u32::MAX)
}
