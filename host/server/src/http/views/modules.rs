//! What is said of modules: their versions, and the walkers they define.
//!
//! The one place that says how they look outside; knows nothing of where the values come from.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use walker_model::{Definition, Field, Json, Settings, micros};

use super::hex;
use super::limits::UploadCostView;
use crate::store::{ModuleView, VersionView};

/// One module.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ModuleAnswer {
    #[schema(example = 200)]
    pub(in crate::http) status: u16,
    pub(in crate::http) module: Module,
}

/// A page of modules, by name.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ModulePage {
    #[schema(example = 200)]
    pub(in crate::http) status: u16,
    pub(in crate::http) modules: Vec<Module>,
    /// Where the next page starts; null on the last one.
    pub(in crate::http) cursor: Option<String>,
}

/// A published module.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Module {
    name: String,
    /// The version that new invocations run.
    version: Option<i32>,
    /// What that version defines.
    walkers: Vec<WalkerDefinition>,
    /// All versions, newest first.
    versions: Vec<Version>,
}

/// One version of a module.
#[derive(Serialize, ToSchema)]
struct Version {
    version: i32,
    sha256: String,
    #[serde(with = "micros")]
    created_at: DateTime<Utc>,
    /// The names of the walkers that it defines.
    walkers: Vec<String>,
    /// What checking and compiling it took, beside the tenant's limits of the same names; null where nobody knows any more.
    cost: Option<UploadCostView>,
}

/// A walker as its module defines it.
#[derive(Serialize, ToSchema)]
struct WalkerDefinition {
    name: String,
    doc: String,
    /// Runs in the background; else the caller waits for its reports.
    #[serde(rename = "async")]
    is_async: bool,
    /// May be invoked without a token.
    #[serde(rename = "public")]
    is_public: bool,
    /// The node types it may enter; `Root` is a root, `*` any node.
    enters: Vec<String>,
    fields: Vec<WalkerField>,
    /// What its author asked for beyond that.
    #[schema(value_type = serde_json::Value)]
    settings: Settings,
}

/// One field of a walker.
#[derive(Serialize, ToSchema)]
struct WalkerField {
    name: String,
    /// JSON Schema (2020-12) of its values.
    #[schema(value_type = serde_json::Value)]
    schema: Json,
    /// Whether the caller must give it.
    required: bool,
    /// The value when the caller does not give it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    default: Option<Json>,
    doc: String,
}

impl From<ModuleView> for Module {
    fn from(module: ModuleView) -> Self {
        let ModuleView { name, active_version, versions } = module;
        let active = versions.iter().find(|version| Some(version.version) == active_version);
        Self {
            name,
            version: active_version,
            walkers: active
                .map(|version| version.walkers.iter().cloned().map(Into::into).collect())
                .unwrap_or_default(),
            versions: versions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<VersionView> for Version {
    fn from(version: VersionView) -> Self {
        Self {
            version: version.version,
            sha256: hex(&version.sha256),
            created_at: version.created_at,
            walkers: version.walkers.into_iter().map(|walker| walker.name).collect(),
            cost: version.cost.map(Into::into),
        }
    }
}

impl From<Definition> for WalkerDefinition {
    fn from(definition: Definition) -> Self {
        let Definition { name, doc, is_async, is_public, enters, fields, settings } = definition;
        let field = |Field { name, schema, default, doc }| WalkerField {
            name,
            schema,
            required: default.is_none(),
            default,
            doc,
        };
        Self { name, doc, is_async, is_public, enters, fields: fields.into_iter().map(field).collect(), settings }
    }
}
