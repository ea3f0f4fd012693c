//! The JSON that leaves the host, field by field as it is documented.
//!
//! What users wrote (fields, reports, custom values, schemas) passes through as text, never through a parser.

mod audit;
mod grants;
mod identity;
mod limits;
mod modules;
mod usage;
mod walkers;

use serde::Serialize;
use utoipa::ToSchema;

pub(super) use audit::*;
pub(super) use grants::*;
pub(super) use identity::*;
pub(super) use limits::*;
pub(super) use modules::*;
pub(super) use usage::*;
pub(super) use walkers::*;

/// Whether the host is well.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    #[schema(example = "ok")]
    pub(super) status: &'static str,
}

/// Milliseconds with three decimals: no clock here is finer.
pub(super) fn to_micros(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
