//! The rows of `users`.
//!
//! Knows passwords only as hashes that somebody else made and checks.

use tokio_postgres::Row;
use uuid::Uuid;
use walker_model::TenantId;

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
}

impl User {
    fn read(row: &Row) -> Self {
        Self { id: row.get(0), tenant: TenantId(row.get(1)), email: row.get(2), root: row.get(3) }
    }
}

impl Store {
    /// Adds a user with a new root; `None` when the tenant has one with this address.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn add_user(&self, tenant: TenantId, email: &str, password_hash: &str) -> Result<Option<User>, Error> {
        let row = self
            .client()
            .await?
            .query_opt(
                "insert into users (id, tenant_id, email, password_hash, root_id) values ($1, $2, $3, $4, $5)
                 on conflict on constraint users_email_key do nothing
                 returning id, tenant_id, email, root_id",
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
            .client()
            .await?
            .query_opt(
                "select id, tenant_id, email, root_id, password_hash from users where tenant_id = $1 and email = $2",
                &[&tenant.0, &email],
            )
            .await?;
        Ok(row.map(|row| (User::read(&row), row.get(4))))
    }

    /// Replaces a user's password hash if it still is `old`, and ends all its sessions but `kept`. Answers the ended
    /// sessions' token hashes, or `None` when the hash was no longer `old`.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn change_password(
        &self,
        user: Uuid,
        old: &str,
        new: &str,
        kept: Uuid,
    ) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let changed = transaction
            .execute("update users set password_hash = $3 where id = $1 and password_hash = $2", &[&user, &old, &new])
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
}
