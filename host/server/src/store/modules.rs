//! Published modules: their versions, their code, and which of them holds a walker name.

use std::fs::File;

use chrono::{DateTime, Utc};
use serde_json::json;
use tokio_postgres::types::Json as Sql;
use walker_model::{Definition, TenantId, UploadCost};

use super::audit::record;
use super::read::ModuleRef;
use super::{Error, Store, code};

/// The channel on which hosts tell each other that a tenant's modules changed; the payload is the tenant's number.
pub(crate) const CHANGED: &str = "walker_modules";

/// A published module.
#[derive(Debug, Clone)]
pub struct ModuleView {
    /// Its name.
    pub name: String,
    /// The version that new invocations run.
    pub active_version: Option<i32>,
    /// All versions, newest first.
    pub versions: Vec<VersionView>,
}

/// One version of a module.
#[derive(Debug, Clone)]
pub struct VersionView {
    /// Counted from 1.
    pub version: i32,
    /// The digest of its code as uploaded.
    pub sha256: [u8; 32],
    /// When it was published.
    pub created_at: DateTime<Utc>,
    /// What it defines.
    pub walkers: Vec<Definition>,
    /// What checking and compiling it took; unknown of those that older hosts published.
    pub cost: Option<UploadCost>,
}

/// A version as the runner needs it.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) module_id: i64,
    pub(crate) module: ModuleRef,
    pub(crate) definitions: Vec<Definition>,
}

/// What became of an attempt to publish or activate.
#[derive(Debug)]
pub(crate) enum Published {
    /// A new version.
    Created,
    /// The active version already had this code.
    Unchanged,
    /// Another module holds the name of one of its walkers.
    NameTaken { walker: String, module: String },
    /// There is no such module or version.
    Unknown,
}

const VERSION: &str = "select m.id, m.name, v.version, v.sha256, v.definitions
    from module_versions v join modules m on m.id = v.module_id";

impl Store {
    /// The version that a walker's name stands for now.
    pub(crate) async fn active_version(&self, tenant: TenantId, walker: &str) -> Result<Option<Version>, Error> {
        let sql = format!(
            "{VERSION} join walker_names n on n.module_id = m.id and v.version = m.active_version where n.tenant_id = $1 and n.name = $2"
        );
        self.scoped(tenant).await?.query_opt(&sql, &[&tenant.0, &walker]).await?.as_ref().map(version).transpose()
    }

    /// The version that an accepted walker was pinned to.
    pub(crate) async fn version(&self, module_id: i64, number: i32) -> Result<Option<Version>, Error> {
        let client = self.client().await?;
        let sql = format!("{VERSION} where v.module_id = $1 and v.version = $2");
        let statement = client.prepare_cached(&sql).await?;
        client.query_opt(&statement, &[&module_id, &number]).await?.as_ref().map(version).transpose()
    }

    /// The tenant's published modules, by name; or only the one called `name`.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn modules(&self, tenant: TenantId, name: Option<&str>) -> Result<Vec<ModuleView>, Error> {
        let rows = self
            .scoped(tenant)
            .await?
            .query(
                "select m.name, m.active_version, v.version, v.sha256, v.created_at, v.definitions, v.cost
                 from modules m join module_versions v on v.module_id = m.id
                 where m.tenant_id = $1 and m.deleted_at is null and ($2::text is null or m.name = $2)
                 order by m.name, v.version desc",
                &[&tenant.0, &name],
            )
            .await?;
        let mut modules: Vec<ModuleView> = Vec::new();
        for row in rows {
            let name: String = row.try_get("name")?;
            if modules.last().is_none_or(|last| last.name != name) {
                modules.push(ModuleView { name, active_version: row.try_get("active_version")?, versions: Vec::new() });
            }
            let version = VersionView {
                version: row.try_get("version")?,
                sha256: digest(row.try_get("sha256")?)?,
                created_at: row.try_get("created_at")?,
                walkers: row.try_get::<_, Sql<Vec<Definition>>>("definitions")?.0,
                cost: row.try_get::<_, Option<Sql<UploadCost>>>("cost")?.map(|cost| cost.0),
            };
            modules.last_mut().expect("just pushed").versions.push(version);
        }
        Ok(modules)
    }

    /// Publishes a new version and makes it the active one.
    pub(crate) async fn publish(
        &self,
        tenant: TenantId,
        name: &str,
        sha256: &[u8; 32],
        code: &File,
        definitions: &[Definition],
        cost: &UploadCost,
    ) -> Result<Published, Error> {
        let mut client = self.scoped(tenant).await?;
        let transaction = client.transaction().await?;
        // Locks the module's row: uploads of one module come one after the other.
        let module = transaction
            .query_one(
                "insert into modules (tenant_id, name) values ($1, $2)
                 on conflict on constraint modules_name_key do update set deleted_at = null
                 returning id, active_version",
                &[&tenant.0, &name],
            )
            .await?;
        let module_id: i64 = module.get("id");
        let active: Option<i32> = module.get("active_version");
        let unchanged = transaction
            .query_opt(
                "select 1 from module_versions where module_id = $1 and version = $2 and sha256 = $3",
                &[&module_id, &active, &sha256.as_slice()],
            )
            .await?;
        if unchanged.is_some() {
            return Ok(Published::Unchanged);
        }
        code::keep(&transaction, sha256, code).await?;
        let version: i32 = transaction
            .query_one(
                "insert into module_versions (module_id, version, sha256, definitions, cost)
                 select $1, coalesce(max(version), 0) + 1, $2, $3, $4 from module_versions where module_id = $1
                 returning version",
                &[&module_id, &sha256.as_slice(), &Sql(definitions), &Sql(cost)],
            )
            .await?
            .get(0);
        let sha256: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        record(&transaction, tenant, "module.published", name, json!({"version": version, "sha256": sha256})).await?;
        activate(transaction, tenant, module_id, version, definitions, Published::Created).await
    }

    /// Makes another version the active one.
    pub(crate) async fn activate(&self, tenant: TenantId, name: &str, version: i32) -> Result<Published, Error> {
        let mut client = self.scoped(tenant).await?;
        let transaction = client.transaction().await?;
        let row = transaction
            .query_opt(
                "select m.id, v.definitions
                 from modules m join module_versions v on v.module_id = m.id
                 where m.tenant_id = $1 and m.name = $2 and m.deleted_at is null and v.version = $3
                 for update of m",
                &[&tenant.0, &name, &version],
            )
            .await?;
        let Some(row) = row else { return Ok(Published::Unknown) };
        let definitions: Sql<Vec<Definition>> = row.try_get("definitions")?;
        record(&transaction, tenant, "module.activated", name, json!({"version": version})).await?;
        activate(transaction, tenant, row.get("id"), version, &definitions.0, Published::Unchanged).await
    }

    /// Takes a module off: its walker names are free, its versions stay for what runs and for results.
    /// `false`: there is none.
    pub(crate) async fn delete_module(&self, tenant: TenantId, name: &str) -> Result<bool, Error> {
        let mut client = self.scoped(tenant).await?;
        let transaction = client.transaction().await?;
        let row = transaction
            .query_opt(
                "update modules set deleted_at = now(), active_version = null
                 where tenant_id = $1 and name = $2 and deleted_at is null returning id",
                &[&tenant.0, &name],
            )
            .await?;
        let Some(row) = row else { return Ok(false) };
        let module_id: i64 = row.get(0);
        transaction.execute("delete from walker_names where module_id = $1", &[&module_id]).await?;
        announce(&transaction, tenant).await?;
        record(&transaction, tenant, "module.deleted", name, json!({})).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Points the module and its walkers' names at a version, tells the other hosts, and commits.
async fn activate(
    transaction: deadpool_postgres::Transaction<'_>,
    tenant: TenantId,
    module_id: i64,
    version: i32,
    definitions: &[Definition],
    done: Published,
) -> Result<Published, Error> {
    // Sorted, so that two modules which claim the same names at once do not deadlock.
    let mut names: Vec<&str> = definitions.iter().map(|definition| definition.name.as_str()).collect();
    names.sort_unstable();
    transaction.execute("update modules set active_version = $2 where id = $1", &[&module_id, &version]).await?;
    transaction.execute("delete from walker_names where module_id = $1", &[&module_id]).await?;
    transaction
        .execute(
            "insert into walker_names (tenant_id, name, module_id)
             select $1, name, $3 from unnest($2::text[]) name order by name
             on conflict do nothing",
            &[&tenant.0, &names, &module_id],
        )
        .await?;
    let taken = transaction
        .query_opt(
            "select n.name, m.name from walker_names n join modules m on m.id = n.module_id
             where n.tenant_id = $1 and n.name = any($2::text[]) and n.module_id <> $3 order by n.name limit 1",
            &[&tenant.0, &names, &module_id],
        )
        .await?;
    if let Some(row) = taken {
        return Ok(Published::NameTaken { walker: row.get(0), module: row.get(1) });
    }
    announce(&transaction, tenant).await?;
    transaction.commit().await?;
    Ok(done)
}

async fn announce(transaction: &deadpool_postgres::Transaction<'_>, tenant: TenantId) -> Result<(), Error> {
    transaction.execute("select pg_notify($1, $2)", &[&CHANGED, &tenant.to_string()]).await?;
    Ok(())
}

fn version(row: &tokio_postgres::Row) -> Result<Version, Error> {
    Ok(Version {
        module_id: row.try_get("id")?,
        module: ModuleRef {
            name: row.try_get("name")?,
            version: row.try_get("version")?,
            sha256: digest(row.try_get("sha256")?)?,
        },
        definitions: row.try_get::<_, Sql<Vec<Definition>>>("definitions")?.0,
    })
}

/// A stored digest.
pub(super) fn digest(stored: &[u8]) -> Result<[u8; 32], Error> {
    stored.try_into().map_err(|_| Error::Corrupt(format!("a digest of {} bytes", stored.len())))
}
