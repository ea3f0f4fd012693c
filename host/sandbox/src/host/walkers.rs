//! `walker:guest/walkers`: other walkers, as far as the floor above lets this one reach them.
//!
//! Checks only what needs no knowledge of other walkers.

use walker_model::{Json, Limits};

use super::contract::walker::guest::walkers;
use super::{Refused, json, problem, unexpected};
use crate::state::State;
use crate::{Invoke, Reply, Request};

impl walkers::Host for State {
    async fn read(&mut self, id: String) -> Result<walkers::Seen, Refused> {
        self.count_call("walkers.read", id.len())?;
        match self.perform(Request::Read { id }).await? {
            Reply::Seen { fields, schedule } => {
                let schedule = Json::of(&schedule);
                self.count_answer((fields.len() + schedule.len()) as u64)?;
                Ok(walkers::Seen { fields: fields.as_str().to_owned(), schedule: schedule.as_str().to_owned() })
            }
            _ => Err(unexpected()),
        }
    }

    async fn spawn(&mut self, walker: String, fields: String, node: Option<String>) -> Result<String, Refused> {
        self.count_call("walkers.spawn", carried(&walker, &fields, node.as_deref()))?;
        let invoke = invoke(walker, fields, node)?;
        let Limits { spawns, .. } = self.limits;
        if self.said.spawns >= spawns {
            let message = format!("a run may spawn {spawns} walkers; spawn fewer, or have limit spawns raised");
            return Err(problem("limit.spawns", message));
        }
        match self.perform(Request::Spawn(invoke)).await? {
            Reply::Spawned(id) => {
                self.said.spawns += 1;
                Ok(id)
            }
            _ => Err(unexpected()),
        }
    }

    async fn call(&mut self, walker: String, fields: String, node: Option<String>) -> Result<Vec<String>, Refused> {
        self.count_call("walkers.call", carried(&walker, &fields, node.as_deref()))?;
        let invoke = invoke(walker, fields, node)?;
        match self.perform(Request::Call(invoke)).await? {
            Reply::Reports(reports) => {
                self.count_answer(reports.iter().map(|report| report.len() as u64).sum())?;
                Ok(reports.iter().map(|report| report.as_str().to_owned()).collect())
            }
            _ => Err(unexpected()),
        }
    }
}

fn carried(walker: &str, fields: &str, node: Option<&str>) -> usize {
    walker.len() + fields.len() + node.map_or(0, str::len)
}

/// The fields are the other walker's: the floor above holds them to its limits.
fn invoke(walker: String, fields: String, node: Option<String>) -> Result<Invoke, Refused> {
    Ok(Invoke { walker, fields: json(fields)?, node })
}
