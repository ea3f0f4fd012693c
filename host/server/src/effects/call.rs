//! `run.call`: a sync walker of the same root, run to its end in the caller's slot.

use walker_model::Ended;
use walker_sandbox::{Invoke, Refusal, Reply};

use super::{Context, problem, refused};
use crate::invoke::Error;

impl Context {
    pub(super) async fn call(&self, invoke: Invoke) -> Result<Reply, Refusal> {
        let what = self.invocation(invoke)?;
        let mut ready = self.host.check(&self.actor, what).await.map_err(refused)?;
        if ready.entry.definition.is_async {
            return Err(refused(Error::NotSync(ready.walker.walker)));
        }
        // What it spawns is as far from the beginning as what its caller spawns.
        ready.walker.depth = self.spawn_depth;
        // Boxed: a call may call on.
        let called = Box::pin(self.host.run_sync(&self.actor, ready, self.depth + 1, None));
        let (id, outcome) = called.await.map_err(refused)?;
        match outcome.ended {
            Ended::Completed => Ok(Reply::Reports(outcome.reports)),
            Ended::Failed(failure) => Err(problem(failure.code.as_str(), format!("{id} failed: {}", failure.message))),
        }
    }
}
