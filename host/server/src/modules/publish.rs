//! Publishing, activating and deleting modules.

use std::sync::Arc;

use walker_model::{Quotas, TenantId, UploadCost, is_name};
use walker_sandbox::AdmitError;

use super::{Crowded, Place, Upload};
use crate::host::Host;
use crate::quotas::{SUSPENDED, StorageFull};
use crate::store::modules::Published as Stored;
use crate::store::{self, ModuleView};

/// Why a module was not published or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name cannot name a module.
    #[error("{0:?} cannot name a module; expected a letter or _, then up to 63 letters, digits or _")]
    InvalidName(String),
    /// The host will not run this code; the text says why, for its author.
    #[error("{0}")]
    Rejected(String),
    /// Another module of the tenant holds the name of one of its walkers.
    #[error("walker {walker} is already defined by module {module}; rename it, or delete that module first")]
    NameTaken {
        /// The walker's name.
        walker: String,
        /// Who holds it.
        module: String,
    },
    /// There is no such module.
    #[error("there is no module called {0:?}")]
    UnknownModule(String),
    /// The module has no such version.
    #[error("module {0} has no version {1}")]
    UnknownVersion(String, i32),
    /// The operator has suspended the tenant.
    #[error("{SUSPENDED}")]
    Suspended,
    /// The tenant has as much stored as it may have.
    #[error(transparent)]
    StorageFull(#[from] StorageFull),
    /// The database failed to say what the tenant may do.
    #[error("the tenant's quotas could not be read")]
    Quotas(#[source] Arc<store::Error>),
    /// The database failed.
    #[error("the module could not be stored")]
    Store(#[from] store::Error),
    /// Too many modules come in at once.
    #[error(transparent)]
    Crowded(#[from] Crowded),
    /// The host itself failed.
    #[error("the module could not be checked: {0}")]
    Fault(String),
}

/// A published module, and whether this made a new version.
#[derive(Debug)]
pub struct Published {
    /// `false`: the active version already had this code.
    pub created: bool,
    /// The module as it is now.
    pub module: ModuleView,
}

/// An upload that may come in.
#[derive(Debug)]
pub struct Expected {
    place: Place,
    most: UploadCost,
}

impl Expected {
    /// How large it may be, in bytes.
    pub fn most_bytes(&self) -> u64 {
        self.most.module_bytes
    }
}

impl Host {
    /// Gives an upload of module `name` a place in the line of those that are checked.
    ///
    /// # Errors
    /// When the name is not acceptable, the tenant is suspended, or too many modules come in already.
    pub async fn expect_module(&self, tenant: TenantId, name: &str) -> Result<Expected, Error> {
        if !is_name(name) {
            return Err(Error::InvalidName(name.to_owned()));
        }
        let most = self.may_publish(tenant).await?.upload;
        Ok(Expected { place: self.compiled.expect(tenant)?, most })
    }

    /// Checks and compiles an upload, and makes it the active version of module `name`.
    ///
    /// # Errors
    /// When the code is not acceptable, a walker's name is taken, the tenant has too much stored, or the host fails.
    pub async fn publish(
        &self,
        tenant: TenantId,
        name: &str,
        expected: Expected,
        upload: Upload,
    ) -> Result<Published, Error> {
        let Upload { file, sha256 } = upload;
        if let Some(module) = self.module(tenant, name).await?
            && module
                .versions
                .iter()
                .any(|version| Some(version.version) == module.active_version && version.sha256 == sha256)
        {
            return Ok(Published { created: false, module });
        }
        let quotas = self.quotas.of(tenant).await.map_err(Error::Quotas)?;
        if let Some(storage) = quotas.storage() {
            let size = file.metadata().map_err(|error| Error::Fault(error.to_string()))?.len();
            self.room_to_store::<Error>(tenant, size, storage).await?;
        }
        let admitted =
            self.compiled.admit(&expected.place, &sha256, &file, &expected.most).await.map_err(
                |error| match error {
                    AdmitError::Rejected(reason) => Error::Rejected(reason),
                    AdmitError::Fault(cause) => Error::Fault(cause),
                },
            )?;
        let created =
            match self.store.publish(tenant, name, &sha256, &file, &admitted.definitions, &admitted.cost).await? {
                Stored::Created => true,
                Stored::Unchanged => false,
                Stored::NameTaken { walker, module } => return Err(Error::NameTaken { walker, module }),
                Stored::Unknown => return Err(Error::UnknownModule(name.to_owned())),
            };
        self.catalog.forget(tenant);
        // The first invocation finds it in memory.
        if let Err(error) = self.compiled.make_ready(&sha256, &admitted.artifact).await {
            tracing::warn!(module = name, "module {name} is published but cannot be loaded: {error}");
        }
        let module = self.module(tenant, name).await?.ok_or_else(|| Error::UnknownModule(name.to_owned()))?;
        tracing::info!(%tenant, module = name, version = module.active_version, "published module {name}");
        Ok(Published { created, module })
    }

    /// The tenant's published modules, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn modules(&self, tenant: TenantId) -> Result<Vec<ModuleView>, store::Error> {
        self.store.modules(tenant, None).await
    }

    /// One published module.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn module(&self, tenant: TenantId, name: &str) -> Result<Option<ModuleView>, store::Error> {
        // What names nothing is not worth a look-up, and databases take no NUL.
        if !is_name(name) {
            return Ok(None);
        }
        Ok(self.store.modules(tenant, Some(name)).await?.pop())
    }

    /// Rolls back or forward: new invocations run `version` from now on, on every host.
    ///
    /// # Errors
    /// When there is no such module or version, a walker's name is taken by now, or the database fails.
    pub async fn activate_module(&self, tenant: TenantId, name: &str, version: i32) -> Result<ModuleView, Error> {
        let unknown = || Error::UnknownModule(name.to_owned());
        self.may_publish(tenant).await?;
        let known = self.module(tenant, name).await?.ok_or_else(unknown)?;
        if !known.versions.iter().any(|known| known.version == version) {
            return Err(Error::UnknownVersion(name.to_owned(), version));
        }
        match self.store.activate(tenant, name, version).await? {
            Stored::NameTaken { walker, module } => return Err(Error::NameTaken { walker, module }),
            Stored::Unknown => return Err(unknown()),
            Stored::Created | Stored::Unchanged => {}
        }
        self.catalog.forget(tenant);
        self.module(tenant, name).await?.ok_or_else(unknown)
    }

    async fn may_publish(&self, tenant: TenantId) -> Result<Quotas, Error> {
        let terms = self.quotas.terms(tenant).await.map_err(Error::Quotas)?;
        if terms.is_open { Ok(terms.quotas) } else { Err(Error::Suspended) }
    }

    /// Stops new invocations of a module's walkers. What runs finishes; results stay readable.
    ///
    /// # Errors
    /// When there is no such module, or the database fails.
    pub async fn delete_module(&self, tenant: TenantId, name: &str) -> Result<(), Error> {
        if !is_name(name) || !self.store.delete_module(tenant, name).await? {
            return Err(Error::UnknownModule(name.to_owned()));
        }
        self.catalog.forget(tenant);
        tracing::info!(%tenant, module = name, "deleted module {name}");
        Ok(())
    }
}
