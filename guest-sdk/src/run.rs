//! What a walker may ask of the world while it runs.
//!
//! Turns values into JSON and back. Who answers, a host or a test's world, is not known here.

use serde::Serialize;
use serde_json::Value;

use crate::host::Host;
use crate::walker::{AsyncWalker, Fields, SyncWalker, Walker, to_json};
use crate::{Error, NodeId, Result, Schedule, Seen, WalkerId};

/// One run of a walker.
///
/// A request that the host refuses gives an error whose [`code`](Error::code) says why; the walker may go on.
///
/// ```
/// use walker_sdk::prelude::*;
///
/// #[walker(async)]
/// struct Steps {
///     #[has(default = 0)]
///     done: u32,
/// }
///
/// #[walker]
/// impl Steps {
///     #[entry]
///     fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
///         while self.done < 3 {
///             self.done += 1;
///             run.save(self)?;
///         }
///         run.http_status(201)?;
///         run.report(json!({"attempt": run.attempt()}))
///     }
/// }
///
/// let done = walker_sdk::testing::run(Steps { done: 1 })?;
/// assert_eq!(done.saved.len(), 2);
/// assert_eq!(done.http_status, Some(201));
/// assert_eq!(done.reports, [json!({"attempt": 1})]);
/// # Ok::<(), Error>(())
/// ```
pub struct Run {
    pub(crate) walker: &'static str,
    pub(crate) id: WalkerId,
    pub(crate) node_id: NodeId,
    pub(crate) root_id: NodeId,
    pub(crate) attempt: u32,
    pub(crate) custom: Option<Value>,
    pub(crate) host: Host,
}

impl Run {
    /// Adds one value to the reports. It is kept also when the run fails later.
    ///
    /// # Errors
    /// When the value has no JSON, or the run's limits for reports are reached.
    pub fn report(&mut self, value: impl Serialize) -> Result<()> {
        self.host.report(to_json(&value)?)
    }

    /// Stores the walker's fields and the reports so far. Returns once they are durable: readers see them,
    /// and a run whose host died starts again from them. A sync walker has no record before it ends: what it saves
    /// becomes durable with its result.
    ///
    /// # Errors
    /// When `walker` is not the one that runs, or the host could not store it.
    pub fn save<W: Walker>(&mut self, walker: &W) -> Result<()> {
        if W::NAME != self.walker {
            return Err(Error::with_code(
                "walker.mismatch",
                format!("a run of {} cannot save the fields of {}; save `self`", self.walker, W::NAME),
            ));
        }
        self.host.save(to_json(walker)?)
    }

    /// Reads another walker, running or ended: `run.walker::<Sample>(&id)`, or `run.walker::<Value>(&id)` for any.
    ///
    /// # Errors
    /// `walker.not_found` when there is none with this id that the run's user may see; `walker.mismatch` when it is
    /// one with another name than `T`; any other when its fields do not fit `T`.
    pub fn walker<T: Fields>(&self, id: &WalkerId) -> Result<Seen<T>> {
        if let Some(name) = T::OF
            && name != id.name()
        {
            return Err(Error::with_code(
                "walker.mismatch",
                format!("{id} is a {} and cannot be read as a {name}; read it as one, or as a Value", id.name()),
            ));
        }
        let (fields, schedule) = self.host.read(id)?;
        let unfit =
            |what: &'static str| move |error| Error::from(error).context(format!("the {what} of {id} cannot be read"));
        let fields = serde_json::from_str(&fields).map_err(unfit("fields"))?;
        let schedule: Schedule = serde_json::from_str(&schedule).map_err(unfit("schedule"))?;
        Ok(Seen { fields, schedule })
    }

    /// Starts an async walker on this run's node. Returns its id once it is stored; does not wait for it to run.
    ///
    /// # Errors
    /// When the host refuses it.
    pub fn spawn<W: Walker + AsyncWalker>(&mut self, walker: &W) -> Result<WalkerId> {
        self.host.spawn(W::NAME, to_json(walker)?)?.parse()
    }

    /// The same for an async walker of any module of the tenant, by its name.
    ///
    /// # Errors
    /// When the host refuses it: there is no such walker, it is not async, the fields do not fit.
    pub fn spawn_named(&mut self, name: &str, fields: impl Serialize) -> Result<WalkerId> {
        self.host.spawn(name, to_json(&fields)?)?.parse()
    }

    /// Runs a sync walker on this run's node to its end; answers its reports.
    ///
    /// # Errors
    /// When the host refuses it, or when it fails.
    pub fn call<W: Walker + SyncWalker>(&mut self, walker: &W) -> Result<Vec<Value>> {
        reports(self.host.call(W::NAME, to_json(walker)?)?)
    }

    /// The same for a sync walker of any module of the tenant, by its name.
    ///
    /// # Errors
    /// When the host refuses it: there is no such walker, it is async, the fields do not fit; or when it fails.
    pub fn call_named(&mut self, name: &str, fields: impl Serialize) -> Result<Vec<Value>> {
        reports(self.host.call(name, to_json(&fields)?)?)
    }

    /// Sets the HTTP status that the schedule, and the answer to whoever called, carries: 100 to 599.
    ///
    /// # Errors
    /// When the status is out of range.
    pub fn http_status(&mut self, status: u16) -> Result<()> {
        self.host.http_status(status)
    }

    /// Replaces the schedule's custom value.
    ///
    /// # Errors
    /// When the value has no JSON, or is larger than the host allows.
    pub fn custom(&mut self, value: impl Serialize) -> Result<()> {
        let value = serde_json::to_value(&value)?;
        self.host.custom(value.to_string())?;
        self.custom = Some(value);
        Ok(())
    }

    /// The schedule's custom value: what [`custom`](Self::custom) set last, else what the caller gave.
    pub fn custom_value(&self) -> Option<&Value> {
        self.custom.as_ref()
    }

    /// This run's walker.
    pub fn id(&self) -> &WalkerId {
        &self.id
    }

    /// The root of the user that it runs for.
    pub fn root_id(&self) -> &NodeId {
        &self.root_id
    }

    /// The node that it entered.
    pub fn node_id(&self) -> &NodeId {
        &self.node_id
    }

    /// 1 for the first attempt; higher when it starts again from what it saved last.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

fn reports(texts: Vec<String>) -> Result<Vec<Value>> {
    texts.iter().map(|text| Ok(serde_json::from_str(text)?)).collect()
}
