//! `run.walker`: another walker's fields and schedule, if the run's own root may see it.

use walker_model::WalkerId;
use walker_sandbox::{Refusal, Reply};

use super::{Context, fault, problem};

impl Context {
    pub(super) async fn read(&self, id: &str) -> Result<Reply, Refusal> {
        let missing = || problem("walker.not_found", format!("there is no walker {id}"));
        let id: WalkerId = id.parse().map_err(|_| missing())?;
        let view = self.host.readers.walker(&self.actor, &id).await.map_err(|error| fault(&error))?;
        let view = view.ok_or_else(missing)?;
        Ok(Reply::Seen { fields: view.fields, schedule: view.schedule })
    }
}
