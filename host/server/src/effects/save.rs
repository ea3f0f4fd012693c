//! `run.save`: fields and reports, durable before the guest goes on.

use std::sync::atomic::Ordering;

use walker_model::Json;
use walker_sandbox::{Refusal, Reply};

use super::{Context, fault};
use crate::queue::Fenced;
use crate::store::checkpoint::Checkpoint;

impl Context {
    /// A sync walker has no row before it ends; its last save is stored with its result.
    pub(super) async fn save(&self, fields: Json, reports: Vec<Json>) -> Result<Reply, Refusal> {
        let count = i32::try_from(reports.len()).unwrap_or(i32::MAX);
        self.saved_reports.store(count, Ordering::Release);
        let Some(lease) = self.lease else { return Ok(Reply::Saved) };
        let checkpoint = Checkpoint { lease, fields, reports: Json::of(&reports) };
        let under_way = self.saving.clone().lock_owned().await;
        match self.host.writers.save(checkpoint, under_way).await {
            Ok(Fenced::Written) => Ok(Reply::Saved),
            Ok(Fenced::Lost) => Err(Refusal::Fenced),
            Err(error) => Err(fault(&error)),
        }
    }
}
