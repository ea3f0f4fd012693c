//! The host's own database, seen from beside the host.
//!
//! Only connects and counts; what the bare statements are is in `bare_postgres.rs`.

use std::path::PathBuf;

use anyhow::Context;
use tokio_postgres::{Client, Config, NoTls};

use crate::host::Folder;

/// What the host sets on its queue's connections, and why is told there.
const QUEUE_SETTINGS: &str = "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off;
    set plan_cache_mode = force_generic_plan; set jit = off";

/// The host's database.
pub(crate) struct Database {
    socket_dir: PathBuf,
    /// Postgres's first process.
    pub(crate) postmaster: u32,
}

impl Database {
    /// The database of the host that runs on this folder.
    pub(crate) async fn of(folder: &Folder) -> anyhow::Result<Self> {
        let (postmaster, socket_dir) = folder.postmaster()?;
        Ok(Self { socket_dir, postmaster })
    }

    /// A connection with the settings of the host's queue.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        let mut config = Config::new();
        config.host_path(&self.socket_dir).user("walker").dbname("walker");
        let (client, connection) = config.connect(NoTls).await.context("cannot connect to the host's Postgres")?;
        tokio::spawn(connection);
        client.batch_execute(QUEUE_SETTINGS).await?;
        Ok(client)
    }

    /// How many walkers have ended.
    pub(crate) async fn results(&self, client: &Client) -> anyhow::Result<i64> {
        Ok(client.query_one("select count(*) from results", &[]).await?.get(0))
    }

    /// Whether any walker has not ended.
    pub(crate) async fn is_busy(&self, client: &Client) -> anyhow::Result<bool> {
        Ok(client.query_one("select exists (select from queue)", &[]).await?.get(0))
    }

    /// Whether a commit reaches the disk before it is answered.
    pub(crate) async fn is_durable(&self, client: &Client) -> anyhow::Result<bool> {
        let sql = "select current_setting('fsync') = 'on' and current_setting('synchronous_commit') = 'on'";
        Ok(client.query_one(sql, &[]).await?.get(0))
    }
}
