//! What a module says about its walkers when the host asks: names, fields, schemas, defaults, words.
//!
//! Only describes; running is elsewhere.

use serde_json::Value;

use crate::Walker;
use crate::schemas::Schemas;
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
    pub has_default: bool,
}

impl Definition {
    /// The definition of the walker `W`.
    ///
    /// # Panics
    /// When the default of a field has no JSON, such as a map whose keys are not text.
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
        let fields = declared.fields.iter().map(|has| {
            let (schema, default) = schemas.take(has.name);
            // Without this, a field with a default would silently become a required one.
            assert!(
                default.is_some() || !has.has_default,
                "the default of {}.{} cannot become JSON; choose another type or leave the default out",
                W::NAME,
                has.name
            );
            Field { name: has.name, doc: has.doc, schema, default: default.filter(|_| has.has_default) }
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
