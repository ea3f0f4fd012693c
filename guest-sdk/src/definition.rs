//! What a module says about its walkers when the host asks: names, fields, schemas, defaults, words.
//!
//! Only describes; running is elsewhere.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::Walker;
use crate::walker::On;

/// A walker as its module defines it.
///
/// ```
/// use walker_sdk::prelude::*;
///
/// /// Counts.
/// #[walker(async, memory = "16MiB")]
/// struct Count {
///     /// How far.
///     #[has(default = 3)]
///     to: u8,
/// }
///
/// #[walker]
/// impl Count {
///     #[entry(Root)]
///     fn enter(&mut self) {}
/// }
///
/// let count = walker_sdk::Definition::of::<Count>();
/// assert_eq!((count.name, count.doc, count.is_async), ("count", "Counts.", true));
/// assert_eq!(count.enters, ["Root"]);
/// assert_eq!(count.settings, json!({"memory_bytes": 16 << 20}));
/// assert_eq!(count.fields[0].name, "to");
/// assert_eq!(count.fields[0].doc, "How far.");
/// assert_eq!(count.fields[0].default, Some(json!(3)));
/// assert_eq!(count.fields[0].schema["type"], "integer");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// The name it is invoked by.
    pub name: &'static str,
    /// The author's own words.
    pub doc: &'static str,
    /// Runs in the background; else the caller waits for its reports.
    pub is_async: bool,
    /// May be invoked without a token.
    pub is_public: bool,
    /// The node types it has entry abilities for; `*` is any node.
    pub enters: Vec<&'static str>,
    /// Its fields, in source order.
    pub fields: Vec<Field>,
    /// What its author asked for beyond that: a JSON object.
    pub settings: Value,
}

/// One field of a walker.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// The author's own words.
    pub doc: &'static str,
    /// JSON Schema (2020-12) of its values, complete in itself.
    pub schema: Value,
    /// The value when the caller leaves it out; `None` makes it required.
    pub default: Option<Value>,
}

/// What the attribute read off the struct.
#[doc(hidden)]
pub struct Declared {
    pub doc: &'static str,
    pub is_public: bool,
    pub settings: &'static [(&'static str, u64)],
    pub fields: &'static [Has],
}

/// What the attribute read off one field.
#[doc(hidden)]
pub struct Has {
    pub name: &'static str,
    pub doc: &'static str,
    pub default: Option<fn() -> Value>,
}

/// The JSON of a field's default.
///
/// # Panics
/// When the value has no JSON, such as a map whose keys are not text.
#[doc(hidden)]
pub fn default_value(walker: &str, field: &str, value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value)
        .unwrap_or_else(|error| panic!("the default of {walker}.{field} cannot become JSON: {error}"))
}

impl Definition {
    /// The definition of the walker `W`.
    pub fn of<W: Walker>() -> Self {
        let declared = W::declared();
        let mut schemas = Schemas::of::<W>();
        let mut enters = Vec::new();
        let entries = W::ABILITIES.iter().filter(|ability| ability.on == On::Entry);
        for kind in entries.flat_map(|ability| ability.nodes) {
            if !enters.contains(kind) {
                enters.push(*kind);
            }
        }
        let settings = declared.settings.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value)));
        let fields = declared.fields.iter().map(|has| Field {
            name: has.name,
            doc: has.doc,
            schema: schemas.take(has.name),
            default: has.default.map(|default| default()),
        });
        Self {
            name: W::NAME,
            doc: declared.doc,
            is_async: W::IS_ASYNC,
            is_public: declared.is_public,
            enters,
            fields: fields.collect(),
            settings: Value::Object(settings.collect()),
        }
    }
}

/// The schemas of a struct's fields, and the shared ones that they refer to.
struct Schemas {
    fields: Map<String, Value>,
    shared: Map<String, Value>,
}

/// Where schemars puts what several schemas share.
const SHARED: &str = "#/$defs/";

impl Schemas {
    fn of<W: Walker>() -> Self {
        let mut generator =
            SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None).into_generator();
        let mut schema = W::json_schema(&mut generator);
        let fields = match schema.remove("properties") {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        Self { fields, shared: generator.take_definitions(true) }
    }

    /// The schema of one field, with a copy of everything it refers to.
    fn take(&mut self, field: &str) -> Value {
        let mut schema = self.fields.remove(field).unwrap_or(Value::Bool(true));
        let mut wanted = Vec::new();
        self.references(&schema, &mut wanted);
        if let Value::Object(schema) = &mut schema {
            // The definition says both better: the words as `doc`, the value as `default-value`.
            schema.remove("description");
            schema.remove("default");
            if !wanted.is_empty() {
                let shared = wanted.into_iter().filter_map(|name| Some((self.shared.get(&name)?.clone(), name)));
                schema.insert("$defs".to_owned(), Value::Object(shared.map(|(schema, name)| (name, schema)).collect()));
            }
        }
        schema
    }

    /// Adds the names of all shared schemas that `schema` needs, directly or not.
    fn references(&self, schema: &Value, wanted: &mut Vec<String>) {
        match schema {
            Value::Object(map) => {
                let name = map.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix(SHARED));
                if let Some(name) = name.map(unescape)
                    && !wanted.contains(&name)
                {
                    wanted.push(name.clone());
                    if let Some(target) = self.shared.get(&name) {
                        self.references(target, wanted);
                    }
                }
                map.values().for_each(|value| self.references(value, wanted));
            }
            Value::Array(list) => list.iter().for_each(|value| self.references(value, wanted)),
            _ => {}
        }
    }
}

/// A JSON pointer's part as plain text.
fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}
