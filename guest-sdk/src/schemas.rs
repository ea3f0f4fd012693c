//! JSON Schemas of a walker's fields, each complete in itself.
//!
//! Knows what schemars makes of a type; nothing of walkers but that they are one.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::Walker;

/// The schemas of a struct's fields, and the shared ones that they refer to.
pub(crate) struct Schemas {
    fields: Map<String, Value>,
    shared: Map<String, Value>,
}

/// Where schemars puts what several schemas share.
const SHARED: &str = "#/$defs/";

impl Schemas {
    /// Those of a walker.
    pub(crate) fn of<W: Walker>() -> Self {
        let mut generator =
            SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None).into_generator();
        let mut schema = W::json_schema(&mut generator);
        let mut fields = match schema.remove("properties") {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let mut shared = generator.take_definitions(true);
        fields.values_mut().chain(shared.values_mut()).for_each(bound);
        Self { fields, shared }
    }

    /// The schema of one field, with a copy of everything it refers to; and its default.
    pub(crate) fn take(&mut self, field: &str) -> (Value, Option<Value>) {
        let mut schema = self.fields.remove(field).unwrap_or(Value::Bool(true));
        let mut wanted = Vec::new();
        let mut default = None;
        self.references(&schema, &mut wanted);
        if let Value::Object(schema) = &mut schema {
            // The definition says both better: the words as `doc`, the value as `default-value`.
            schema.remove("description");
            default = schema.remove("default");
            if !wanted.is_empty() {
                let shared = wanted.into_iter().filter_map(|name| Some((self.shared.get(&name)?.clone(), name)));
                schema.insert("$defs".to_owned(), Value::Object(shared.map(|(schema, name)| (name, schema)).collect()));
            }
        }
        (schema, default)
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

/// The formats that schemars gives to integers without saying which values they have.
fn range(format: &str) -> Option<(Value, Value)> {
    Some(match format {
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "uint32" => (0.into(), u32::MAX.into()),
        "int64" => (i64::MIN.into(), i64::MAX.into()),
        "uint64" => (0.into(), u64::MAX.into()),
        "int" => (isize::MIN.into(), isize::MAX.into()),
        "uint" => (0.into(), usize::MAX.into()),
        _ => return None,
    })
}

/// Gives integers their ranges, at any depth: what does not fit shall be refused before the walker is stored.
fn bound(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some((least, greatest)) = map.get("format").and_then(Value::as_str).and_then(range) {
                map.entry("minimum").or_insert(least);
                map.entry("maximum").or_insert(greatest);
            }
            map.values_mut().for_each(bound);
        }
        Value::Array(list) => list.iter_mut().for_each(bound),
        _ => {}
    }
}
