//! Write walkers in Rust.
//!
//! A walker is a struct with fields and abilities. A host runs it in the background and keeps its fields, its
//! reports and what it printed.
//!
//! ```
//! use walker_sdk::prelude::*;
//!
//! /// Adds one and says so.
//! #[walker(async)]
//! struct Sample {
//!     #[has(default = 0)]
//!     value: i64,
//! }
//!
//! #[walker]
//! impl Sample {
//!     #[entry]
//!     fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
//!         println!("test");
//!         self.value = 1;
//!         run.save(self)?;
//!         run.report(json!({"done": true}))
//!     }
//! }
//!
//! let done = walker_sdk::testing::run(Sample { value: 0 })?;
//! assert_eq!(done.fields.value, 1);
//! # Ok::<(), Error>(())
//! ```
//!
//! - [`walker`](macro@walker) makes a struct a walker, its fields with `#[has(default = …)]`, its abilities with
//!   `#[entry]` and `#[exit]`; [`data`](macro@data) makes other types usable inside fields; [`node!`] declares types
//!   of nodes.
//! - [`Run`] is what a walker may ask while it runs: report, save, read other walkers, spawn and call them.
//! - [`testing`] runs walkers in unit tests, without a host.
//!
//! A walker that returns an error, panics or is stopped leaves behind what it reported and what it saved last.
//!
//! Put walkers into a library with `crate-type = ["cdylib"]` and compile it to WebAssembly with `walker build`.
//! On targets with WASI, `println!` and `eprintln!` become the walker's log; on `wasm32-unknown-unknown` there is
//! nowhere for them to go, and the standard library has no clock and no random numbers.
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

// The macros name this crate from outside; its own tests use them too.
extern crate self as walker_sdk;

mod definition;
mod error;
#[cfg(target_arch = "wasm32")]
mod guest;
mod id;
mod node;
mod registry;
mod run;
mod schedule;
mod schemas;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod walker;

#[cfg(target_arch = "wasm32")]
use guest as host;
#[cfg(not(target_arch = "wasm32"))]
use testing as host;

pub use chrono;
pub use schemars;
pub use serde;
pub use serde_json;

pub use definition::{Definition, Field};
pub use error::{Error, Result};
pub use id::{NodeId, WalkerId};
pub use node::{Node, NodeType, Root};
pub use run::Run;
pub use schedule::{Schedule, Seen, Status};
pub use serde_json::{Value, json};
pub use walker::{Abilities, AsyncWalker, Fields, SyncWalker, Walker};
pub use walker_sdk_macros::{data, entry, exit, walker};

/// What walkers need, in one line: `use walker_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Error, Node, NodeId, Result, Root, Run, Schedule, Seen, Status, Value, Walker, WalkerId, bail, data, ensure,
        entry, exit, json, walker,
    };
}

/// What the macros write; not for people.
#[doc(hidden)]
pub mod __private {
    pub use crate::definition::{Declared, Has};
    pub use crate::registry::Registered;
    pub use crate::walker::{Ability, On, Returned, is_data, is_walker};
    pub use inventory;
}
