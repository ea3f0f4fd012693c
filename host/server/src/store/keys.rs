//! Idempotency keys: what a key was first used for, for a day.
//!
//! Knows only hashes, of the key and of everything that makes a request the same.

use uuid::Uuid;
use walker_model::TenantId;

use super::{Error, HostId, Store};

/// A caller's key, and what it is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) tenant: TenantId,
    pub(crate) key_hash: [u8; 32],
    pub(crate) body_hash: [u8; 32],
}

/// What a key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing yet.
    New,
    /// These walkers; for a synchronous one, its result stands.
    Walkers(Vec<Uuid>),
    /// A synchronous walker that still runs.
    Running,
    /// Another request.
    OtherBody,
}

/// Rows to a statement of the clean-up.
const BATCH: i64 = 1_000;

impl Store {
    /// Keeps a key for a synchronous walker that `host` is about to run. [`Kept::New`]: it is kept. So it is when the host
    /// that ran it before died, which left no result.
    pub(crate) async fn keep_key(&self, key: &Key, walker: Uuid, host: HostId) -> Result<Kept, Error> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "insert into idempotency_keys as k (tenant_id, key_hash, body_hash, walker_ids, host)
                 values ($1, $2, $3, array[$4::uuid], $5)
                 on conflict (tenant_id, key_hash) do update
                     set walker_ids = excluded.walker_ids, host = excluded.host, created_at = now()
                     where k.body_hash = excluded.body_hash and k.host is not null
                       and not exists (select 1 from hosts h where h.id = k.host)
                       and not exists (select 1 from results r where r.id = k.walker_ids[1])",
            )
            .await?;
        let (key_hash, body_hash) = (key.key_hash.as_slice(), key.body_hash.as_slice());
        let kept = client.execute(&statement, &[&key.tenant.0, &key_hash, &body_hash, &walker, &host.0]).await?;
        if kept == 1 { Ok(Kept::New) } else { self.key(key).await }
    }

    /// What a key stands for.
    pub(crate) async fn key(&self, key: &Key) -> Result<Kept, Error> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "select k.body_hash, k.walker_ids,
                        k.host is not null and not exists (select 1 from results r where r.id = k.walker_ids[1]) is_running
                 from idempotency_keys k where k.tenant_id = $1 and k.key_hash = $2",
            )
            .await?;
        let row = client.query_opt(&statement, &[&key.tenant.0, &key.key_hash.as_slice()]).await?;
        Ok(match row {
            None => Kept::New,
            Some(row) if row.get::<_, &[u8]>(0) != key.body_hash => Kept::OtherBody,
            Some(row) if row.get(2) => Kept::Running,
            Some(row) => Kept::Walkers(row.get(1)),
        })
    }

    /// The walker of a key has ended, and its result is committed.
    pub(crate) async fn end_key(&self, key: &Key, walker: Uuid) -> Result<(), Error> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "update idempotency_keys set host = null
                 where tenant_id = $1 and key_hash = $2 and walker_ids = array[$3::uuid]",
            )
            .await?;
        client.execute(&statement, &[&key.tenant.0, &key.key_hash.as_slice(), &walker]).await?;
        Ok(())
    }

    /// The walker of a key came to nothing: the key is free again.
    pub(crate) async fn free_key(&self, key: &Key, walker: Uuid) -> Result<(), Error> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "delete from idempotency_keys where tenant_id = $1 and key_hash = $2 and walker_ids = array[$3::uuid]",
            )
            .await?;
        client.execute(&statement, &[&key.tenant.0, &key.key_hash.as_slice(), &walker]).await?;
        Ok(())
    }

    /// Forgets a batch of the keys that are older than a day. `true`: there may be more.
    pub(crate) async fn forget_keys(&self) -> Result<bool, Error> {
        let forgotten = self
            .client()
            .await?
            .execute(
                "delete from idempotency_keys where ctid = any(array(
                     select ctid from idempotency_keys where created_at < now() - interval '24 hours'
                     order by created_at limit $1 for update skip locked))",
                &[&BATCH],
            )
            .await?;
        Ok(forgotten == BATCH as u64)
    }
}
