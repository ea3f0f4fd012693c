//! Who lets whom read: the rows of `grants`, and what they let through.
//!
//! Knows roots, not people: whose a root is, `users` and `tenants` say.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;
use walker_model::{NodeId, TenantId, WalkerId};

use super::audit::record;
use super::{Error, Parameter, Session, Store};
use crate::access::Actor;

/// What `root`, a value of a statement, was granted of a walker `w`: asked only where it is not its own.
macro_rules! granted {
    ($root:literal) => {
        concat!(
            "exists (select 1 from grants g where g.owner_root = w.root_id and g.reader_root = ",
            $root,
            " and (g.walker_id is null or g.walker_id = w.id))"
        )
    };
}

/// Whether a root, written as SQL, may read a walker `w`.
macro_rules! may_read {
    ($root:literal) => {
        concat!(
            "(",
            $root,
            " is null or w.root_id = ",
            $root,
            " or ",
            granted!($root),
            " or w.root_id = (select t.public_root_id from tenants t where t.id = w.tenant_id))"
        )
    };
}
pub(super) use {granted, may_read};

/// Whether the root `$4` may read what a walker `w` printed; null may read all.
pub(super) const MAY_READ_LOGS: &str = concat!("($4::uuid is null or w.root_id = $4 or ", granted!("$4"), ")");

/// Whether the root `$4` may read a walker `w`; null may read all. What the tenant's public root ran is for whoever holds
/// its id.
pub(super) const MAY_READ: &str = may_read!("$4::uuid");

/// A page of what the root `$6` owns and was granted, `page` being the page of some owner's walkers, newest first.
pub(super) fn with_granted(page: impl Fn(&str) -> String) -> String {
    format!(
        "select w.id from (
            ({own})
            union all
            (select w.id from grants g cross join lateral ({of_root}) w where g.reader_root = $6 and g.walker_id is null)
            union all
            (select w.id from grants g cross join lateral ({one}) w
             where g.reader_root = $6 and g.walker_id is not null
               and not exists (select 1 from grants a
                               where a.owner_root = g.owner_root and a.reader_root = $6 and a.walker_id is null))) w
         order by w.id desc limit $5",
        own = page("w.root_id = $6"),
        of_root = page("w.root_id = g.owner_root"),
        one = page("w.id = g.walker_id and w.root_id = g.owner_root")
    )
}

/// As many as a root may give: a list has to be gone through for each that was given to its reader.
pub(crate) const MOST_GIVEN: i64 = 1_000;

/// Somebody lets somebody else read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: Uuid,
    /// Whose walkers it is about.
    pub owner: Uuid,
    /// Who may read.
    pub reader: Uuid,
    /// Which one; all of the owner's when `None`.
    pub walker: Option<WalkerId>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// What became of a new grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Granted {
    New(Grant),
    /// The same was granted before.
    Known(Grant),
    /// The owner has no such walker.
    NoWalker,
    /// The owner has given as many as it may.
    TooMany,
}

const COLUMNS: &str = "g.id, g.owner_root, g.reader_root, g.walker, g.walker_id, g.created_at";

impl Grant {
    fn read(row: &Row) -> Self {
        let (name, uuid): (Option<String>, Option<Uuid>) = (row.get(3), row.get(4));
        Self {
            id: row.get(0),
            owner: row.get(1),
            reader: row.get(2),
            walker: name.zip(uuid).map(|(name, uuid)| WalkerId { name, uuid }),
            created_at: row.get(5),
        }
    }

    /// What is said of it on record.
    fn told(&self) -> Value {
        json!({"from": NodeId::root(self.owner), "to": NodeId::root(self.reader), "walker_id": self.walker})
    }
}

impl Store {
    /// The root of this user of a tenant, or the tenant's own, by its id or by the user's address.
    pub(crate) async fn root_of(
        &self,
        tenant: TenantId,
        root: Option<Uuid>,
        email: Option<&str>,
    ) -> Result<Option<Uuid>, Error> {
        let row = self
            .scoped(tenant)
            .await?
            .query_opt(
                "select root_id from users where tenant_id = $1 and (root_id = $2 or email = $3)
                 union all
                 select root_id from tenants where id = $1 and root_id = $2
                 limit 1",
                &[&tenant.0, &root, &email],
            )
            .await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Lets `reader`, a root of the same tenant, read a walker of the actor's root, or all of them.
    pub(crate) async fn add_grant(
        &self,
        actor: &Actor,
        reader: Uuid,
        walker: Option<&WalkerId>,
    ) -> Result<Granted, Error> {
        let mut client = self.scoped(actor.tenant).await?;
        let transaction = client.transaction().await?;
        let (name, uuid) = (walker.map(|id| id.name.as_str()), walker.map(|id| id.uuid));
        let owns = "($6::uuid is null
                     or exists (select 1 from walkers w where w.id = $6 and w.walker = $5 and w.tenant_id = $2 and w.root_id = $3))";
        let added = transaction
            .query_opt(
                &format!(
                    "insert into grants as g (id, tenant_id, owner_root, reader_root, walker, walker_id)
                     select $1, $2::int8, $3::uuid, $4, $5::text, $6::uuid
                     where {owns} and (select count(*) from grants where owner_root = $3) < $7
                     on conflict do nothing
                     returning {COLUMNS}"
                ),
                &[&Uuid::now_v7(), &actor.tenant.0, &actor.root, &reader, &name, &uuid, &MOST_GIVEN],
            )
            .await?;
        if let Some(row) = added {
            let grant = Grant::read(&row);
            record(&transaction, actor.tenant, "grant.given", &grant.id.to_string(), grant.told()).await?;
            transaction.commit().await?;
            return Ok(Granted::New(grant));
        }
        let known = transaction
            .query_opt(
                &format!(
                    "select {COLUMNS} from grants g
                     where g.owner_root = $1 and g.reader_root = $2 and g.walker_id is not distinct from $3"
                ),
                &[&actor.root, &reader, &uuid],
            )
            .await?;
        if let Some(row) = known {
            return Ok(Granted::Known(Grant::read(&row)));
        }
        let given: i64 =
            transaction.query_one("select count(*) from grants where owner_root = $1", &[&actor.root]).await?.get(0);
        Ok(if given < MOST_GIVEN { Granted::NoWalker } else { Granted::TooMany })
    }

    /// What the actor's root gave and was given, oldest first, from the one after `after` on.
    pub(crate) async fn grants(&self, actor: &Actor, after: Option<Uuid>, limit: u16) -> Result<Vec<Grant>, Error> {
        let sql = format!(
            "select {COLUMNS} from grants g
             where g.tenant_id = $1 and (g.owner_root = $2 or g.reader_root = $2) and ($3::uuid is null or g.id > $3)
             order by g.id limit $4"
        );
        let values: [Parameter<'_>; 4] = [&actor.tenant.0, &actor.root, &after, &i64::from(limit)];
        let rows = self.scoped(actor.tenant).await?.query(&sql, &values).await?;
        Ok(rows.iter().map(Grant::read).collect())
    }

    /// Takes a grant back, or gives it up. `false`: the actor's root neither gave nor got one of this id.
    pub(crate) async fn remove_grant(&self, actor: &Actor, id: Uuid) -> Result<bool, Error> {
        let mut client = self.scoped(actor.tenant).await?;
        let transaction = client.transaction().await?;
        let sql = format!(
            "delete from grants g where id = $1 and tenant_id = $2 and (owner_root = $3 or reader_root = $3)
             returning {COLUMNS}"
        );
        let removed = transaction.query_opt(&sql, &[&id, &actor.tenant.0, &actor.root]).await?;
        let Some(row) = removed else { return Ok(false) };
        record(&transaction, actor.tenant, "grant.revoked", &id.to_string(), Grant::read(&row).told()).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Removes grants on walkers that are gone.
pub(crate) async fn delete_loose(session: &Session) -> Result<u64, Error> {
    let sql = "delete from grants g
               where g.walker_id is not null and not exists (select 1 from walkers w where w.id = g.walker_id)";
    Ok(session.execute(sql, &[]).await?)
}
