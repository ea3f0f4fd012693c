//! Runs walkers in ordinary unit tests, without a host: the world is a value that the test fills and looks at.
//!
//! Nothing is metered or isolated here: a panic is the test's, and `println!` prints.
//!
//! ```
//! use walker_sdk::prelude::*;
//! use walker_sdk::testing::World;
//!
//! #[walker]
//! struct Watch {
//!     walker_id: WalkerId,
//! }
//!
//! #[walker]
//! impl Watch {
//!     #[entry]
//!     fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> {
//!         let seen = run.walker::<Value>(&self.walker_id)?;
//!         run.report(json!({"progress": seen.fields["progress"], "status": seen.schedule.status}))
//!     }
//! }
//!
//! let id: WalkerId = "w:work:550e8400-e29b-41d4-a716-446655440000".parse()?;
//! let running = Schedule { status: Status::Running, ..Schedule::default() };
//! let done = World::new()
//!     .with_walker(id.clone(), json!({"progress": 40}), running)
//!     .run(Watch { walker_id: id })?;
//! assert_eq!(done.reports, [json!({"progress": 40, "status": "running"})]);
//! # Ok::<(), Error>(())
//! ```

use std::cell::RefCell;
use std::rc::Rc;

use serde::Serialize;
use serde_json::Value;

use crate::walker::{execute, to_json};
use crate::{Error, NodeId, Result, Run, Schedule, Status, Walker, WalkerId, registry};

/// How deeply walkers may call each other, as on a host.
const CALL_DEPTH: usize = 8;

/// What a run left behind.
#[derive(Debug)]
pub struct Done<W> {
    /// The final fields; after an error the last saved ones, or those it began with.
    pub fields: W,
    /// What it reported, in order.
    pub reports: Vec<Value>,
    /// The fields at each save, in order.
    pub saved: Vec<Value>,
    /// The walkers that it spawned, in order. None of them has run.
    pub spawned: Vec<Spawned>,
    /// The HTTP status that it set, if it did.
    pub http_status: Option<u16>,
    /// The custom value at its end.
    pub custom: Option<Value>,
    /// The error that it returned, if it did.
    pub error: Option<Error>,
}

/// A walker that a run spawned.
#[derive(Debug, Clone, PartialEq)]
pub struct Spawned {
    /// The id it was given.
    pub id: WalkerId,
    /// Its name.
    pub walker: String,
    /// Its fields.
    pub fields: Value,
}

/// The world that a walker runs in.
#[derive(Debug, Clone)]
pub struct World {
    node_id: NodeId,
    attempt: u32,
    custom: Option<Value>,
    walkers: Vec<(WalkerId, Value, Schedule)>,
    answers: Vec<(String, Vec<Value>)>,
}

/// Runs a walker on a root, in a world without other walkers.
///
/// # Errors
/// When the walker's fields do not survive being stored as JSON. What the walker itself returned is in
/// [`Done::error`].
pub fn run<W: Walker>(walker: W) -> Result<Done<W>> {
    World::new().run(walker)
}

impl Default for World {
    fn default() -> Self {
        Self { node_id: NodeId::nil_root(), attempt: 1, custom: None, walkers: Vec::new(), answers: Vec::new() }
    }
}

impl World {
    /// A world with nothing but a root.
    pub fn new() -> Self {
        Self::default()
    }

    /// With another walker to be read.
    #[must_use]
    pub fn with_walker(mut self, id: WalkerId, fields: impl Serialize, schedule: Schedule) -> Self {
        let fields = serde_json::to_value(&fields).expect("a walker's fields have JSON");
        self.walkers.push((id, fields, schedule));
        self
    }

    /// With a sync walker that answers every call with these reports. Without this, a call runs the walker of that
    /// name in the same crate.
    #[must_use]
    pub fn answering(mut self, walker: impl Into<String>, reports: impl IntoIterator<Item = Value>) -> Self {
        self.answers.push((walker.into(), reports.into_iter().collect()));
        self
    }

    /// With the walker entering this node.
    #[must_use]
    pub fn on(mut self, node: NodeId) -> Self {
        self.node_id = node;
        self
    }

    /// With earlier attempts: 2 is the first one that starts again.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// With a custom value given by the caller.
    #[must_use]
    pub fn custom(mut self, value: Value) -> Self {
        self.custom = Some(value);
        self
    }

    /// Runs a walker in this world.
    ///
    /// # Errors
    /// When the walker's fields do not survive being stored as JSON. What the walker itself returned is in
    /// [`Done::error`].
    pub fn run<W: Walker>(&self, walker: W) -> Result<Done<W>> {
        let begun = to_json(&walker)?;
        let host = Host { world: Rc::new(self.clone()), record: Rc::default(), depth: 1 };
        let mut run = host.start(W::NAME, self.attempt, self.custom.clone())?;
        let ended = execute::<W>(&begun, &mut run);
        let record = host.record.take();
        let saved = |record: &Record| record.saved.last().map(Value::to_string);
        let (fields, error) = match ended {
            Ok(fields) => (fields, None),
            Err(error) => (saved(&record).unwrap_or(begun), Some(error)),
        };
        let fields = serde_json::from_str(&fields)
            .map_err(|error| Error::from(error).context(format!("reading back the fields of walker {}", W::NAME)))?;
        Ok(Done {
            fields,
            reports: record.reports,
            saved: record.saved,
            spawned: record.spawned,
            http_status: record.http_status,
            custom: run.custom,
            error,
        })
    }
}

/// What a run did so far.
#[derive(Default)]
struct Record {
    reports: Vec<Value>,
    saved: Vec<Value>,
    spawned: Vec<Spawned>,
    http_status: Option<u16>,
}

/// The world, as one run reaches it.
pub(crate) struct Host {
    world: Rc<World>,
    record: Rc<RefCell<Record>>,
    depth: usize,
}

impl Host {
    fn start(&self, walker: &'static str, attempt: u32, custom: Option<Value>) -> Result<Run> {
        Ok(Run {
            walker,
            id: id(walker, 0)?,
            node_id: self.world.node_id.clone(),
            root_id: NodeId::nil_root(),
            attempt,
            custom,
            host: Self { world: Rc::clone(&self.world), record: Rc::clone(&self.record), depth: self.depth },
        })
    }

    pub(crate) fn report(&self, value: String) -> Result<()> {
        self.record.borrow_mut().reports.push(serde_json::from_str(&value)?);
        Ok(())
    }

    pub(crate) fn save(&self, fields: String) -> Result<()> {
        self.record.borrow_mut().saved.push(serde_json::from_str(&fields)?);
        Ok(())
    }

    pub(crate) fn http_status(&self, status: u16) -> Result<()> {
        if !(100..=599).contains(&status) {
            return Err(Error::with_code(
                "http_status.invalid",
                format!("{status} is not an HTTP status; use 100 to 599"),
            ));
        }
        self.record.borrow_mut().http_status = Some(status);
        Ok(())
    }

    pub(crate) fn custom(&self, _value: String) -> Result<()> {
        Ok(())
    }

    pub(crate) fn read(&self, id: &WalkerId) -> Result<(String, String)> {
        let spawned = self.record.borrow().spawned.iter().find(|walker| walker.id == *id).map(|walker| {
            let pending = Schedule {
                status: Status::Pending,
                executed_date: None,
                http_status: None,
                node_id: self.world.node_id.clone(),
                ..Schedule::default()
            };
            (walker.fields.clone(), pending)
        });
        let known = || {
            let mut walkers = self.world.walkers.iter();
            walkers.find(|(known, ..)| known == id).map(|(_, fields, schedule)| (fields.clone(), schedule.clone()))
        };
        let (fields, schedule) = spawned
            .or_else(known)
            .ok_or_else(|| Error::with_code("walker.not_found", format!("there is no walker {id} that you may see")))?;
        Ok((fields.to_string(), to_json(&schedule)?))
    }

    pub(crate) fn spawn(&self, walker: &str, fields: String) -> Result<String> {
        if registry::find(walker).is_some_and(|known| !known.is_async) {
            return Err(Error::with_code("walker.not_async", format!("walker {walker} is not async; call it")));
        }
        let mut record = self.record.borrow_mut();
        let id = id(walker, record.spawned.len() + 1)?;
        let fields = serde_json::from_str(&fields)?;
        record.spawned.push(Spawned { id: id.clone(), walker: walker.to_owned(), fields });
        Ok(id.to_string())
    }

    pub(crate) fn call(&self, walker: &str, fields: String) -> Result<Vec<String>> {
        if let Some((_, reports)) = self.world.answers.iter().find(|(name, _)| name == walker) {
            return Ok(reports.iter().map(Value::to_string).collect());
        }
        let known = registry::find(walker).ok_or_else(|| {
            Error::with_code(
                "walker.not_found",
                format!("there is no walker called {walker}; give the world an answer"),
            )
        })?;
        if known.is_async {
            return Err(Error::with_code("walker.not_sync", format!("walker {walker} is async; spawn it")));
        }
        if self.depth >= CALL_DEPTH {
            return Err(Error::with_code(
                "limit.calls",
                format!("walkers may call each other at most {CALL_DEPTH} deep"),
            ));
        }
        let host = Self { world: Rc::clone(&self.world), record: Rc::default(), depth: self.depth + 1 };
        (known.execute)(&fields, &mut host.start(known.name, 1, None)?)?;
        // What the called walker spawned was spawned in this world too.
        let mut called = host.record.take();
        self.record.borrow_mut().spawned.append(&mut called.spawned);
        Ok(called.reports.iter().map(Value::to_string).collect())
    }
}

/// An id that no host has made, the same in every run of a test.
fn id(walker: &str, number: usize) -> Result<WalkerId> {
    format!("w:{walker}:00000000-0000-0000-0000-{number:012}").parse()
}
