//! What the `#[walker]` attribute makes of a struct and its `impl`, and how a run goes through it.
//!
//! Knows nothing of the world outside: everything a run asks for goes through [`Run`].

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::definition::Declared;
use crate::node::is_for;
use crate::{Error, NodeId, Result, Run};

/// A walker: fields that can be stored, and abilities. Implemented by `#[walker]` on a struct.
///
/// ```
/// use walker_sdk::prelude::*;
///
/// #[walker(async, timeout = "30s")]
/// struct Greet {
///     #[has(default = "world")]
///     whom: String,
/// }
///
/// #[walker]
/// impl Greet {
///     #[entry]
///     fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> {
///         run.report(format!("hello, {}", self.whom))
///     }
/// }
///
/// assert_eq!(Greet::NAME, "greet");
/// assert_eq!(walker_sdk::testing::run(Greet { whom: "you".into() })?.reports, ["hello, you"]);
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a walker",
    label = "not a walker",
    note = "write `#[walker]` above `struct {Self}`"
)]
pub trait Walker: Abilities + Serialize + DeserializeOwned + JsonSchema + 'static {
    /// The name it is invoked by.
    const NAME: &'static str;
    /// Runs in the background; else whoever invokes it waits for its reports.
    const IS_ASYNC: bool;

    /// What the attribute read off the struct.
    #[doc(hidden)]
    fn declared() -> Declared;
}

/// A walker that runs in the background: `#[walker(async)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an async walker",
    label = "not an async walker",
    note = "only async walkers can be spawned: write `#[walker(async)]` above the struct, or use `run.call(..)`"
)]
pub trait AsyncWalker {}

/// A walker that answers with its reports: `#[walker]` without `async`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a sync walker",
    label = "not a sync walker",
    note = "only walkers without `async` can be called: use `run.spawn(..)`, or take `async` out of its `#[walker(async)]`"
)]
pub trait SyncWalker {}

/// What a walker does where. Implemented by `#[walker]` on an `impl` block.
#[diagnostic::on_unimplemented(
    message = "the walker `{Self}` has no abilities",
    label = "this walker does nothing yet",
    note = "write `#[walker] impl {Self} {{ #[entry] fn enter(&mut self, here: &Root, run: &mut Run) -> Result<()> {{ .. }} }}`"
)]
pub trait Abilities: Sized + 'static {
    /// In source order.
    #[doc(hidden)]
    const ABILITIES: &'static [Ability<Self>];
}

/// What [`Run::walker`] can read another walker's fields as: its own type, or any JSON.
#[diagnostic::on_unimplemented(
    message = "a walker cannot be read as `{Self}`",
    label = "neither a walker nor `Value`",
    note = "name the walker's struct, or read any walker with `run.walker::<Value>(id)`"
)]
pub trait Fields: DeserializeOwned {
    /// The only walker whose fields these can be; `None` takes any.
    #[doc(hidden)]
    const OF: Option<&'static str>;
}

impl<W: Walker> Fields for W {
    const OF: Option<&'static str> = Some(W::NAME);
}

impl Fields for Value {
    const OF: Option<&'static str> = None;
}

/// One method of a walker, and when it runs.
#[doc(hidden)]
pub struct Ability<W> {
    pub on: On,
    /// The node types it is for.
    pub nodes: &'static [&'static str],
    pub run: fn(&mut W, &NodeId, &mut Run) -> Result<()>,
}

#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum On {
    Entry,
    Exit,
}

/// What an ability may return.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "an ability cannot return `{Self}`",
    label = "neither `Result<()>` nor nothing",
    note = "return `Result<()>` or nothing; values go out with `run.report(..)`"
)]
pub trait Returned {
    fn into_result(self) -> Result<()>;
}

impl Returned for () {
    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl<E: Into<Error>> Returned for Result<(), E> {
    fn into_result(self) -> Result<()> {
        self.map_err(Into::into)
    }
}

/// Compiles for walkers only.
#[doc(hidden)]
pub const fn is_walker<W: Walker>() {}

/// What a field may hold.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored as JSON",
    label = "cannot be stored as JSON",
    note = "write `#[data]` above your own struct or enum; of other types' JSON, walkers can keep `Value`"
)]
pub trait Data: Serialize + DeserializeOwned + JsonSchema {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + JsonSchema> Data for T {}

/// Compiles for what a field may hold only.
#[doc(hidden)]
pub const fn is_data<T: Data>() {}

/// Runs a walker over the run's node: its fields as JSON, before and after.
pub(crate) fn execute<W: Walker>(fields: &str, run: &mut Run) -> Result<String> {
    let mut walker: W = serde_json::from_str(fields)
        .map_err(|error| Error::from(error).context(format!("walker {} cannot take its fields", W::NAME)))?;
    let here = run.node_id().clone();
    for on in [On::Entry, On::Exit] {
        for ability in W::ABILITIES {
            if ability.on == on && ability.nodes.iter().any(|kind| is_for(kind, &here)) {
                (ability.run)(&mut walker, &here, run)?;
            }
        }
    }
    to_json(&walker).map_err(|error| error.context(format!("storing the fields of walker {}", W::NAME)))
}

/// The JSON text of a walker's own value.
pub(crate) fn to_json(value: &(impl Serialize + ?Sized)) -> Result<String> {
    Ok(serde_json::to_string(value)?)
}
