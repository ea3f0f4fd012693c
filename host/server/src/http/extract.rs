//! What handlers take from a request: who calls, path, query, body. What cannot be read is a problem before they run.
//!
//! Decides nothing about permissions.

mod body;
mod caller;
mod duration;
mod fields;
mod key;
mod options;
mod query;

use axum::extract::{FromRequestParts, Path};
use walker_model::{NodeId, WalkerId};

use super::problem::{Kind, Problem};

pub(crate) use body::{JsonBody, ModuleBody};
pub(crate) use caller::{Addressed, By, Deployer, Operator};
pub(crate) use duration::parse as parse_duration;
pub(crate) use fields::Fields;
pub(crate) use key::REPLAYED;
pub(crate) use options::{BatchOptions, Options, wait};
pub(crate) use query::{FromQuery, NoQuery, Params, Search, cursor};

/// The variable parts of the path, decoded.
#[derive(Debug, FromRequestParts)]
#[from_request(via(Path), rejection(Problem))]
pub(crate) struct Segments<T>(pub(crate) T);

/// A walker's id from a path: what is no id names nothing.
pub(crate) fn walker_id(text: &str) -> Result<WalkerId, Problem> {
    text.parse().map_err(|_| Problem::new(Kind::WalkerNotFound, "there is no such walker"))
}

/// A node's id from a path.
pub(crate) fn node_id(text: &str) -> Result<NodeId, Problem> {
    text.parse().map_err(|_| Problem::new(Kind::NodeNotFound, "there is no such node"))
}
