//! The rows of `tokens`: operator tokens, keys and sessions, each by the hash of its secret.
//!
//! Never sees a token, and does not know what a scope allows.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;
use walker_model::TenantId;

use super::audit::record;
use super::tenants::{COLUMNS, Tenant};
use super::{Error, Session, Store};

/// Any number, the same on every host: who holds this advisory lock may set up the first tenant and its tokens.
const FIRST_START_LOCK: i64 = 0x7761_6c6b_6669;

/// A token that has not expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id, by which it can be named without being known.
    pub id: Uuid,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whom it stands for.
    pub bearer: Bearer,
}

/// Whom a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bearer {
    /// Who runs the host.
    Operator,
    /// A tenant, as far as the scopes allow.
    Key {
        /// The tenant.
        tenant: Tenant,
        /// The scopes' names.
        scopes: Vec<String>,
    },
    /// A user who logged in.
    User {
        /// The user's tenant.
        tenant: Tenant,
        /// The user.
        id: Uuid,
        /// The user's address.
        email: String,
        /// The user's root.
        root: Uuid,
        /// The name of the user's role.
        role: String,
    },
}

/// A key as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id.
    pub id: Uuid,
    /// What its maker called it.
    pub name: String,
    /// The scopes' names.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, within half a minute.
    pub last_used: Option<DateTime<Utc>>,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What [`read_key`] reads.
const KEY: &str = "id, coalesce(name, '') name, scopes, created_at, expires_at, last_used";

impl Store {
    /// Keeps other hosts from setting up the first tenant until the answer is dropped.
    pub(crate) async fn lock_first_start(&self) -> Result<Session, Error> {
        let session = self.session("first start").await?;
        session.execute("select pg_advisory_lock($1)", &[&FIRST_START_LOCK]).await?;
        Ok(session)
    }

    /// The token with this hash, unless it has expired or its tenant is being deleted.
    ///
    /// # Errors
    /// When Postgres cannot be reached, refuses, or holds a token of an unknown kind.
    pub async fn token(&self, hash: &[u8]) -> Result<Option<Token>, Error> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(&format!(
                "select k.kind, k.id, k.expires_at, k.scopes, u.id, u.email, u.root_id, u.role, {COLUMNS}
                   from tokens k
                   left join tenants t on t.id = k.tenant_id
                   left join users u on u.id = k.user_id
                  where k.hash = $1 and (k.expires_at is null or k.expires_at > now()) and t.deleting_since is null"
            ))
            .await?;
        let Some(row) = client.query_opt(&statement, &[&hash]).await? else { return Ok(None) };
        let bearer = match row.get(0) {
            "operator" => Bearer::Operator,
            "key" => Bearer::Key { tenant: Tenant::read(&row, 8), scopes: row.get(3) },
            "session" => {
                let (id, email, root, role) = (row.get(4), row.get(5), row.get(6), row.get(7));
                Bearer::User { tenant: Tenant::read(&row, 8), id, email, root, role }
            }
            kind => return Err(Error::Corrupt(format!("a token of kind {kind:?}"))),
        };
        Ok(Some(Token { id: row.get(1), expires_at: row.get(2), bearer }))
    }

    /// Adds an operator token. Adding it again changes nothing.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn add_operator_token(&self, hash: &[u8], name: &str) -> Result<(), Error> {
        self.client()
            .await?
            .execute(
                "insert into tokens (hash, id, kind, name) values ($1, $2, 'operator', $3) on conflict (hash) do nothing",
                &[&hash, &Uuid::now_v7(), &name],
            )
            .await?;
        Ok(())
    }

    /// Removes the operator tokens of this name, but for the one with this hash.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn remove_other_operator_tokens(&self, hash: &[u8], name: &str) -> Result<u64, Error> {
        Ok(self
            .client()
            .await?
            .execute("delete from tokens where kind = 'operator' and name = $2 and hash <> $1", &[&hash, &name])
            .await?)
    }

    /// Adds a key of a tenant; it ends `seconds` from now, or never.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn add_key(
        &self,
        tenant: TenantId,
        hash: &[u8],
        name: &str,
        scopes: &[&str],
        seconds: Option<f64>,
    ) -> Result<KeyRow, Error> {
        let mut client = self.scoped(tenant).await?;
        let transaction = client.transaction().await?;
        let row = transaction
            .query_one(
                &format!(
                    "insert into tokens (hash, id, kind, tenant_id, name, scopes, expires_at)
                     values ($1, $2, 'key', $3, $4, $5, now() + make_interval(secs => $6))
                     returning {KEY}, null::timestamptz"
                ),
                &[&hash, &Uuid::now_v7(), &tenant.0, &name, &scopes, &seconds],
            )
            .await?;
        let key = read_key(&row);
        let detail = json!({"name": name, "scopes": scopes, "expires_at": key.expires_at});
        record(&transaction, tenant, "key.created", &key.id.to_string(), detail).await?;
        transaction.commit().await?;
        Ok(key)
    }

    /// Up to `limit` keys of a tenant, oldest first, from the one after `after` on; expired and revoked ones too.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn keys(&self, tenant: TenantId, after: Option<Uuid>, limit: u16) -> Result<Vec<KeyRow>, Error> {
        let rows = self
            .scoped(tenant)
            .await?
            .query(
                &format!(
                    "select * from (
                        select {KEY}, null::timestamptz revoked_at from tokens where tenant_id = $1 and kind = 'key'
                        union all
                        select {KEY}, revoked_at from revoked_keys where tenant_id = $1) k
                     where $2::uuid is null or id > $2 order by id limit $3"
                ),
                &[&tenant.0, &after, &i64::from(limit)],
            )
            .await?;
        Ok(rows.iter().map(read_key).collect())
    }

    /// Takes a key of a tenant back; answers its hash, or `None` when there is no such key.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn remove_key(&self, tenant: TenantId, id: Uuid) -> Result<Option<Vec<u8>>, Error> {
        let mut client = self.scoped(tenant).await?;
        let transaction = client.transaction().await?;
        let row = transaction
            .query_opt(
                "with k as (delete from tokens where kind = 'key' and tenant_id = $1 and id = $2 returning *),
                 r as (
                    insert into revoked_keys (id, tenant_id, name, scopes, created_at, expires_at, last_used)
                    select id, tenant_id, name, scopes, created_at, expires_at, last_used from k)
                 select hash from k",
                &[&tenant.0, &id],
            )
            .await?;
        if row.is_some() {
            record(&transaction, tenant, "key.revoked", &id.to_string(), json!({})).await?;
            transaction.commit().await?;
        }
        Ok(row.map(|row| row.get(0)))
    }

    /// Notes that keys were used, each so many seconds ago.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub(crate) async fn keys_used(&self, keys: &[Uuid], seconds_ago: &[f64]) -> Result<(), Error> {
        // In one order, or two hosts could each wait for a row of the other's.
        let sql = "
            with u as materialized (
                select k.id, now() - make_interval(secs => u.seconds_ago) used_at
                from unnest($1::uuid[], $2::float8[]) u(id, seconds_ago) join tokens k using (id)
                where k.kind = 'key' order by k.id for update of k)
            update tokens k set last_used = u.used_at from u
            where k.id = u.id and (k.last_used is null or k.last_used < u.used_at)";
        self.client().await?.execute(sql, &[&keys, &seconds_ago]).await?;
        Ok(())
    }

    /// Adds a session that ends `seconds` from now, and forgets those of the user that have ended. Answers when it ends.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn add_session(
        &self,
        tenant: TenantId,
        user: Uuid,
        hash: &[u8],
        seconds: f64,
    ) -> Result<Option<DateTime<Utc>>, Error> {
        let row = self
            .scoped(tenant)
            .await?
            .query_opt(
                "with ended as (delete from tokens where tenant_id = $3 and user_id = $4 and expires_at <= now())
                 insert into tokens (hash, id, kind, tenant_id, user_id, expires_at)
                 select $1, $2, 'session', tenant_id, id, now() + make_interval(secs => $5)
                 from users where tenant_id = $3 and id = $4
                 returning expires_at",
                &[&hash, &Uuid::now_v7(), &tenant.0, &user, &seconds],
            )
            .await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Ends a session of a tenant's user; answers its hash.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn remove_session(&self, tenant: TenantId, id: Uuid) -> Result<Option<Vec<u8>>, Error> {
        let row = self
            .scoped(tenant)
            .await?
            .query_opt(
                "delete from tokens where kind = 'session' and tenant_id = $1 and id = $2 returning hash",
                &[&tenant.0, &id],
            )
            .await?;
        Ok(row.map(|row| row.get(0)))
    }
}

fn read_key(row: &tokio_postgres::Row) -> KeyRow {
    KeyRow {
        id: row.get(0),
        name: row.get(1),
        scopes: row.get(2),
        created_at: row.get(3),
        expires_at: row.get(4),
        last_used: row.get(5),
        revoked_at: row.get(6),
    }
}
