//! How much the schemas of a walker's fields may ask of whoever checks values by them: counted when a module is admitted.
//!
//! Knows nothing of which values fit a schema; what is no schema at all, the one who reads it says.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// All schemas of one walker, in bytes. Those of the examples take up to 3 KiB, and whoever invokes a walker for the first time
/// waits until they are read.
pub const MAX_SCHEMA_BYTES: usize = 256 << 10;
/// Patterns in all schemas of one walker: each is kept compiled, and takes some kilobytes to hundreds.
pub const MAX_PATTERNS: usize = 100;
/// Schemas that one value can be held to at one place, with all that they refer to: an enum of structs needs three times its
/// variants.
pub const MAX_SCHEMAS_HERE: u64 = 1_000;
/// How many of them may stand in one another at one place: whoever follows them recurses. What schemars makes needs five.
pub const MAX_DEEP_HERE: u32 = 32;

/// Keywords that give a schema another name or base than its place, so that references could lead anywhere.
const NAMING: [&str; 7] =
    ["$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef", "$vocabulary"];

/// To which values the schemas below a keyword apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// To the value itself.
    Here,
    /// To what it holds.
    Inside,
    /// To none, unless they are referred to.
    Nowhere,
}

/// How the schemas below a keyword are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// One, or a list.
    Plainly,
    /// An object that gives each a name.
    ByName,
}

/// What stands below a keyword; `None` for values that are no schemas, whatever they look like. What nobody knows might hold
/// schemas.
pub fn below(keyword: &str) -> Option<(Applies, Written)> {
    Some(match keyword {
        "enum" | "const" | "default" | "examples" | "dependentRequired" => return None,
        "$defs" | "definitions" => (Applies::Nowhere, Written::ByName),
        "properties" | "patternProperties" => (Applies::Inside, Written::ByName),
        "dependentSchemas" | "dependencies" => (Applies::Here, Written::ByName),
        "allOf" | "anyOf" | "oneOf" | "not" | "if" | "then" | "else" => (Applies::Here, Written::Plainly),
        _ => (Applies::Inside, Written::Plainly),
    })
}

/// The schemas below all keywords of one.
fn subschemas(schema: &Map<String, Value>) -> impl Iterator<Item = (Applies, &Value)> {
    schema.iter().flat_map(|(keyword, value)| {
        let schemas: Vec<&Value> = match (below(keyword), value) {
            (Some((_, Written::ByName)), Value::Object(named)) => named.values().collect(),
            (Some((_, Written::Plainly)), Value::Array(list)) => list.iter().collect(),
            (Some((_, Written::Plainly)), Value::Object(_)) => vec![value],
            _ => Vec::new(),
        };
        let applies = below(keyword).map_or(Applies::Nowhere, |(applies, _)| applies);
        schemas.into_iter().filter(|schema| schema.is_object()).map(move |schema| (applies, schema))
    })
}

/// Counts the patterns of one field's schema.
///
/// # Errors
/// When checking a value by it could take without bound more than the value is large, in words for its author.
pub(crate) fn patterns(schema: &Value) -> Result<usize, String> {
    let mut reader = Reader { root: schema, found: HashMap::new(), patterns: 0 };
    reader.read(schema)?;
    Ok(reader.patterns)
}

/// What a value is held to at one place.
#[derive(Clone, Copy)]
struct Here {
    schemas: u64,
    deep: u32,
}

struct Reader<'a> {
    root: &'a Value,
    /// What references come to; `None` while that is being counted.
    found: HashMap<&'a str, Option<Here>>,
    patterns: usize,
}

impl<'a> Reader<'a> {
    /// Every schema of the tree, whether or not anything applies it.
    fn read(&mut self, schema: &'a Value) -> Result<(), String> {
        let Value::Object(keywords) = schema else { return Ok(()) };
        if let Some(naming) = NAMING.iter().find(|naming| keywords.contains_key(**naming)) {
            return Err(format!("holds {naming}; schemas are referred to by their place here: #/$defs/NAME"));
        }
        self.patterns += usize::from(keywords.get("pattern").is_some_and(Value::is_string));
        self.patterns += keywords.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
        let here = self.here(schema, 0)?;
        if here.schemas > MAX_SCHEMAS_HERE {
            return Err(format!(
                "holds one value to {} schemas, counting what they refer to; at most {MAX_SCHEMAS_HERE} are allowed",
                here.schemas
            ));
        }
        subschemas(keywords).try_for_each(|(_, schema)| self.read(schema))
    }

    /// What a value is held to that this schema is applied to.
    fn here(&mut self, schema: &'a Value, above: u32) -> Result<Here, String> {
        let mut here = Here { schemas: 1, deep: 1 };
        let Value::Object(keywords) = schema else { return Ok(here) };
        let mut add = |more: Here| {
            here.schemas = here.schemas.saturating_add(more.schemas);
            here.deep = here.deep.max(more.deep + 1);
        };
        if above >= MAX_DEEP_HERE {
            return Err(too_deep());
        }
        if let Some(Value::String(reference)) = keywords.get("$ref") {
            add(self.referred(reference, above + 1)?);
        }
        for (applies, schema) in subschemas(keywords) {
            if applies == Applies::Here {
                add(self.here(schema, above + 1)?);
            }
        }
        if here.deep > MAX_DEEP_HERE { Err(too_deep()) } else { Ok(here) }
    }

    fn referred(&mut self, reference: &'a str, above: u32) -> Result<Here, String> {
        match self.found.get(reference) {
            Some(Some(here)) => return Ok(*here),
            Some(None) => return Err(format!("refers to {reference:?} from itself without looking into the value")),
            None => {}
        }
        let target = self.target(reference)?;
        self.found.insert(reference, None);
        let here = self.here(target, above)?;
        self.found.insert(reference, Some(here));
        Ok(here)
    }

    fn target(&self, reference: &str) -> Result<&'a Value, String> {
        if reference == "#" {
            return Ok(self.root);
        }
        let place = ["/$defs/", "/definitions/"].iter().any(|place| {
            let name = reference.strip_prefix('#').and_then(|pointer| pointer.strip_prefix(place));
            name.is_some_and(|name| !name.contains(['/', '%']))
        });
        let target = reference.strip_prefix('#').filter(|_| place).and_then(|pointer| self.root.pointer(pointer));
        target.ok_or_else(|| {
            format!("refers to {reference:?}; it can refer to # and to what it holds itself, as #/$defs/NAME")
        })
    }
}

fn too_deep() -> String {
    format!("nests more than {MAX_DEEP_HERE} schemas for one value, counting what they refer to")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: Value, expect: Result<usize, &str>) {
        match (patterns(&schema), expect) {
            (Ok(counted), Ok(expect)) => assert_eq!(counted, expect, "{schema}"),
            (Err(said), Err(expect)) => assert!(said.contains(expect), "{said}"),
            (got, expect) => panic!("{got:?} instead of {expect:?} for {schema}"),
        }
    }

    /// Schemas by the names d0, d1, …, each made of the reference to the next; the last allows anything.
    fn chain(length: usize, of: impl Fn(Value) -> Value) -> Value {
        let next = |at: usize| json!({"$ref": format!("#/$defs/d{at}")});
        let named = (0..=length).map(|at| (format!("d{at}"), if at < length { of(next(at + 1)) } else { json!({}) }));
        json!({"$ref": "#/$defs/d0", "$defs": named.collect::<Map<_, _>>()})
    }

    #[test]
    fn what_derives_make_is_taken() {
        check(json!(true), Ok(0));
        check(json!({"type": "string", "pattern": "a", "examples": [{"$id": "x"}]}), Ok(1));
        check(json!({"properties": {"pattern": {"type": "string"}, "$id": true, "enum": {"$ref": "#"}}}), Ok(0));
        check(json!({"patternProperties": {"^a": true, "^b": {"pattern": "c"}}}), Ok(3));
        // Types that hold themselves: struct Node { next: Option<Box<Node>> }, and an enum of such.
        let reference = json!({"$ref": "#/$defs/Node"});
        let node =
            json!({"properties": {"next": {"anyOf": [reference, {"type": "null"}]}, "all": {"items": reference}}});
        check(json!({"$ref": "#/$defs/Node", "$defs": {"Node": node}}), Ok(0));
        let tree = json!({"oneOf": [
            {"type": "number"},
            {"properties": {"Add": {"prefixItems": [{"$ref": "#/$defs/a~1b"}, {"$ref": "#/$defs/a~1b"}]}}},
            {"properties": {"Neg": {"$ref": "#/$defs/a~1b"}}},
        ]});
        check(json!({"$ref": "#/$defs/a~1b", "$defs": {"a/b": tree}}), Ok(0));
        check(json!({"items": {"$ref": "#"}}), Ok(0));
        check(chain(300, |next| json!({"items": next})), Ok(0));
    }

    #[test]
    fn what_grows_without_bound_is_refused() {
        check(chain(40, |next| json!({"allOf": [next, next]})), Err("nests more than 32"));
        check(chain(12, |next| json!({"allOf": [next, next]})), Err("to 16382 schemas"));
        check(chain(40, |next| json!({"not": next})), Err("nests more than 32"));
        check(chain(5, |next| json!({"anyOf": vec![next; 10]})), Err("to 222222 schemas"));
        check(json!({"allOf": vec![json!({}); 1_000]}), Err("to 1001 schemas"));
        check(json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]}), Err("from itself"));
        let mutual = json!({"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"if": {"$ref": "#/$defs/a"}}});
        check(json!({"$defs": mutual}), Err("from itself"));
    }

    #[test]
    fn references_lead_to_names_only() {
        for lost in [
            "#/$defs/none",
            "#/properties/a",
            "#/$defs/a/default",
            "#a",
            "other.json",
            "https://example.com",
            "#/$defs/a%20",
        ] {
            check(json!({"$ref": lost, "$defs": {"a": {"default": {}}}, "properties": {"a": {}}}), Err("refers to"));
        }
        check(json!({"items": {"$id": "https://example.com/a"}}), Err("holds $id"));
        check(json!({"$defs": {"a": {"$dynamicRef": "#a"}}}), Err("holds $dynamicRef"));
    }
}
