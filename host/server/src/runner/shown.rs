//! What a walker is once it has ended, for whoever waits for that on the host that ran it: nothing need be read back.
//!
//! It is what would be read; where this host does not know all of that, there is nothing to show.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use walker_model::{Json, NodeId, Outcome, Schedule, WalkerId};

use crate::modules::Entry;
use crate::store::claim::Input;
use crate::store::complete::ResultRow;
use crate::store::{Lease, RunView, WalkerView};

/// What is shown of a walker and known before it runs.
pub(super) struct Shown {
    id: WalkerId,
    node: NodeId,
    execute_date: DateTime<Utc>,
    custom: Option<Json>,
    entry: Arc<Entry>,
}

impl Shown {
    /// `None` where there may be more to it than this host knows: earlier attempts, or when it might have run.
    pub(super) fn new(
        lease: Lease,
        execute_date: Option<DateTime<Utc>>,
        input: &Input,
        entry: &Arc<Entry>,
    ) -> Option<Self> {
        let execute_date = execute_date.filter(|_| lease.attempt == 1)?;
        Some(Self {
            id: WalkerId { name: input.walker.clone(), uuid: lease.id },
            node: input.node.clone(),
            execute_date,
            custom: input.custom.clone(),
            entry: entry.clone(),
        })
    }

    /// The walker with this end, but for when that is committed. `None` when its fields are those that it last saved.
    pub(super) fn view(self, row: &ResultRow, outcome: &Outcome) -> Option<Box<WalkerView>> {
        Some(Box::new(WalkerView {
            id: self.id,
            fields: row.fields.clone()?,
            schedule: Schedule {
                status: row.status,
                node_id: self.node,
                root_id: NodeId::root(row.root),
                execute_date: self.execute_date,
                executed_date: Some(row.executed_date),
                http_status: Some(row.http_status),
                reports: outcome.reports.clone(),
                custom: row.custom.clone().or(self.custom),
                error: row.error.clone(),
            },
            run: RunView {
                attempt: 1,
                finished_date: None,
                module: self.entry.module.clone(),
                module_id: self.entry.module_id,
                usage: Some((outcome.usage, outcome.limits)),
                failure: outcome.failure().cloned(),
                attempts: Vec::new(),
            },
        }))
    }
}
