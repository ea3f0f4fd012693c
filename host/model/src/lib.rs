//! The words that all host crates share: ids, states, definitions, limits, outcomes.
//!
//! No I/O, and nothing that knows about wasmtime, Postgres or HTTP.
#![deny(missing_docs)]

mod definition;
mod failure;
pub mod fuzzing;
mod id;
mod json;
mod limits;
mod outcome;
mod priority;
mod quotas;
mod schedule;
pub mod schema;
mod settings;
mod status;
mod table;
mod upload;

pub use definition::{Definition, Field, InvalidDefinition, MAX_BACKOFF_MS, MAX_FIELDS, MAX_RETRIES, Retries};
pub use failure::{Code, Failure, Frame};
pub use id::{InvalidId, NodeId, TenantId, WalkerId, is_name};
pub use json::{InvalidJson, Json};
pub use limits::{Limits, LowerLimits, Usage};
pub use outcome::{Ended, Outcome};
pub use priority::Priority;
pub use quotas::{Quotas, SetQuotas, TenantLimits};
pub use schedule::{Schedule, micros};
pub use settings::Settings;
pub use status::Status;
pub use table::Limit;
pub use upload::UploadCost;
