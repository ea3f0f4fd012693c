//! `walker:guest/walkers`: other walkers, as far as the floor above lets this one reach them.
//!
//! Checks only what needs no knowledge of other walkers.

use walker_model::Json;

use super::contract::walker::guest::walkers;
use super::{Refused, json, unexpected};
use crate::state::State;
use crate::{Invoke, Reply, Request};

impl walkers::Host for State {
    async fn read(&mut self, id: String) -> Result<walkers::Seen, Refused> {
        self.count_call("walkers.read")?;
        match self.perform(Request::Read { id }).await? {
            Reply::Seen { fields, schedule } => Ok(walkers::Seen {
                fields: fields.as_str().to_owned(),
                schedule: Json::of(&schedule).as_str().to_owned(),
            }),
            _ => Err(unexpected()),
        }
    }

    async fn spawn(&mut self, walker: String, fields: String, node: Option<String>) -> Result<String, Refused> {
        self.count_call("walkers.spawn")?;
        let invoke = self.invoke(walker, fields, node)?;
        match self.perform(Request::Spawn(invoke)).await? {
            Reply::Spawned(id) => Ok(id),
            _ => Err(unexpected()),
        }
    }

    async fn call(&mut self, walker: String, fields: String, node: Option<String>) -> Result<Vec<String>, Refused> {
        self.count_call("walkers.call")?;
        let invoke = self.invoke(walker, fields, node)?;
        match self.perform(Request::Call(invoke)).await? {
            Reply::Reports(reports) => Ok(reports.iter().map(|report| report.as_str().to_owned()).collect()),
            _ => Err(unexpected()),
        }
    }
}

impl State {
    fn invoke(&self, walker: String, fields: String, node: Option<String>) -> Result<Invoke, Refused> {
        self.check_fields(&fields)?;
        Ok(Invoke { walker, fields: json(fields)?, node })
    }
}
