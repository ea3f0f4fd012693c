//! The rows of `users`.
//!
//! Knows passwords only as hashes that somebody else made and checks.

use chrono::{DateTime, Utc};
use serde_json::json;
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;
use walker_model::TenantId;

use super::audit::record;
use super::{Error, Store};

/// A user of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: Uuid,
    /// The tenant it belongs to.
    pub tenant: TenantId,
    /// Its address in lower case, unique within the tenant.
    pub email: String,
    /// The root it enters and whose walkers it sees.
    pub root: Uuid,
    /// The name of its role.
    pub role: String,
    /// When it registered.
    pub created_at: DateTime<Utc>,
}

/// What [`User::read`] reads.
const COLUMNS: &str = "id, tenant_id, email, root_id, role, created_at";

impl User {
    fn read(row: &Row) -> Self {
        Self {
            id: row.get(0),
            tenant: TenantId(row.get(1)),
            email: row.get(2),
            root: row.get(3),
            role: row.get(4),
            created_at: row.get(5),
        }
    }
}

impl Store {
    /// Adds a user with a new root; `None` when the tenant has one with this address.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn add_user(&self, tenant: TenantId, email: &str, password_hash: &str) -> Result<Option<User>, Error> {
        let row = self
            .scoped(tenant)
            .await?
            .query_opt(
                &format!(
                    "insert into users (id, tenant_id, email, password_hash, root_id) values ($1, $2, $3, $4, $5)
                     on conflict on constraint users_email_key do nothing
                     returning {COLUMNS}"
                ),
                &[&Uuid::now_v7(), &tenant.0, &email, &password_hash, &Uuid::now_v7()],
            )
            .await?;
        Ok(row.map(|row| User::read(&row)))
    }

    /// The user with this address and the hash of its password.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn user(&self, tenant: TenantId, email: &str) -> Result<Option<(User, String)>, Error> {
        let row = self
            .scoped(tenant)
            .await?
            .query_opt(
                &format!("select {COLUMNS}, password_hash from users where tenant_id = $1 and email = $2"),
                &[&tenant.0, &email],
            )
            .await?;
        Ok(row.map(|row| (User::read(&row), row.get(6))))
    }

    /// Replaces the password hash of a user of a tenant if it still is `old`, and ends all its sessions but `kept`. Answers the ended
    /// sessions' token hashes, or `None` when the hash was no longer `old`.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn change_password(
        &self,
        tenant: TenantId,
        user: Uuid,
        old: &str,
        new: &str,
        kept: Uuid,
    ) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let mut client = self.scoped(tenant).await?;
        let transaction = client.transaction().await?;
        let changed = transaction
            .execute(
                "update users set password_hash = $4 where tenant_id = $1 and id = $2 and password_hash = $3",
                &[&tenant.0, &user, &old, &new],
            )
            .await?;
        if changed == 0 {
            return Ok(None);
        }
        let ended = transaction
            .query("delete from tokens where user_id = $1 and id <> $2 returning hash", &[&user, &kept])
            .await?;
        transaction.commit().await?;
        Ok(Some(ended.iter().map(|row| row.get(0)).collect()))
    }

    /// Up to `limit` users of a tenant, oldest first, from the one after `after` on.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn users(&self, tenant: TenantId, after: Option<Uuid>, limit: u16) -> Result<Vec<User>, Error> {
        let sql = format!(
            "select {COLUMNS} from users where tenant_id = $1 and ($2::uuid is null or id > $2) order by id limit $3"
        );
        let rows = self.scoped(tenant).await?.query(&sql, &[&tenant.0, &after, &i64::from(limit)]).await?;
        Ok(rows.iter().map(User::read).collect())
    }

    /// Gives a user of a tenant another role. Answers the user and its sessions' token hashes; `None`: there is none.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses: roles are `none` and `admin`.
    pub async fn set_role(
        &self,
        tenant: TenantId,
        user: Uuid,
        role: &str,
    ) -> Result<Option<(User, Vec<Vec<u8>>)>, Error> {
        let mut client = self.scoped(tenant).await?;
        let transaction = client.transaction().await?;
        let sql = format!("update users set role = $3 where tenant_id = $1 and id = $2 returning {COLUMNS}");
        let Some(row) = transaction.query_opt(&sql, &[&tenant.0, &user, &role]).await? else { return Ok(None) };
        let sessions = transaction.query("select hash from tokens where user_id = $1", &[&user]).await?;
        record(&transaction, tenant, "user.role_changed", &user.to_string(), json!({"role": role})).await?;
        transaction.commit().await?;
        Ok(Some((User::read(&row), sessions.iter().map(|row| row.get(0)).collect())))
    }

    /// Ends all sessions of a user of a tenant; answers their token hashes, or `None` when there is no such user.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn end_sessions(&self, tenant: TenantId, user: Uuid) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let mut client = self.scoped(tenant).await?;
        let transaction = client.transaction().await?;
        let known = "select 1 from users where tenant_id = $1 and id = $2 for update";
        if transaction.query_opt(known, &[&tenant.0, &user]).await?.is_none() {
            return Ok(None);
        }
        let ended = end_sessions(&transaction, user).await?;
        record(&transaction, tenant, "user.sessions_ended", &user.to_string(), json!({})).await?;
        transaction.commit().await?;
        Ok(Some(ended))
    }

    /// Removes a user of a tenant, its sessions, and grants from and to it; answers the sessions' token hashes, or `None`
    /// when there is no such user.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn remove_user(&self, tenant: TenantId, user: Uuid) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let mut client = self.scoped(tenant).await?;
        let transaction = client.transaction().await?;
        let known = "select root_id, email from users where tenant_id = $1 and id = $2 for update";
        let Some(row) = transaction.query_opt(known, &[&tenant.0, &user]).await? else { return Ok(None) };
        let root: Uuid = row.get(0);
        let ended = end_sessions(&transaction, user).await?;
        transaction.execute("delete from grants where owner_root = $1 or reader_root = $1", &[&root]).await?;
        transaction.execute("delete from users where id = $1", &[&user]).await?;
        let detail = json!({"email": row.get::<_, &str>(1)});
        record(&transaction, tenant, "user.deleted", &user.to_string(), detail).await?;
        transaction.commit().await?;
        Ok(Some(ended))
    }
}

async fn end_sessions(transaction: &Transaction<'_>, user: Uuid) -> Result<Vec<Vec<u8>>, Error> {
    let ended = transaction.query("delete from tokens where user_id = $1 returning hash", &[&user]).await?;
    Ok(ended.iter().map(|row| row.get(0)).collect())
}
