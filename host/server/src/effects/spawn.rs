//! `run.spawn`: an async walker of the same root; its id once its row is committed.

use walker_sandbox::{Invoke, Refusal, Reply};

use super::{Context, refused};
use crate::invoke::Error;

impl Context {
    pub(super) async fn spawn(&self, invoke: Invoke) -> Result<Reply, Refusal> {
        let what = self.invocation(invoke)?;
        let depth = self.spawn_depth.saturating_add(1);
        if u64::from(depth) > self.most_spawn_depth {
            return Err(refused(Error::SpawnedTooDeep(self.most_spawn_depth)));
        }
        let mut ready = self.host.check(&self.actor, what).await.map_err(refused)?;
        if !ready.entry.definition.is_async {
            return Err(refused(Error::NotAsync(ready.walker.walker)));
        }
        ready.walker.depth = depth;
        let id = self.host.accept(ready).await.map_err(refused)?;
        tracing::debug!(walker = %self.id, spawned = %id, "walker {} spawned {id}", self.id);
        Ok(Reply::Spawned(id.to_string()))
    }
}
