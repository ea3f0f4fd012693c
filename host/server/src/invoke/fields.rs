//! Checks a caller's fields against a walker's definition, and fills in the defaults.
//!
//! Values pass through as the caller wrote them; only their order becomes the definition's.

use std::fmt;

use jsonschema::{PatternOptions, Validator};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use walker_model::{Definition, Json};

use super::Error;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// RFC 6901 pointer into the caller's JSON.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

/// More problems than anybody reads.
const MAX_PROBLEMS: usize = 20;
/// What a pattern may compile to, in bytes: some thousand characters of plain pattern.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The checks of a walker's fields, made once for each version.
#[derive(Debug)]
pub(crate) struct Fields {
    walker: String,
    fields: Vec<FieldCheck>,
}

#[derive(Debug)]
struct FieldCheck {
    name: String,
    default: Option<Json>,
    /// `None` for a schema that this host cannot read: then the guest alone checks.
    schema: Option<Validator>,
    integer: Option<Integer>,
}

/// Integer ranges that JSON Schema leaves to `format`.
#[derive(Debug, Clone, Copy)]
enum Integer {
    Signed,
    Unsigned,
}

/// A schema comes with an uploaded module. Its patterns are matched in linear time: the library's usual engine goes back
/// and forth for as long as a hostile pattern likes, on a thread that others wait for.
fn validator(schema: &Value) -> Option<Validator> {
    let patterns = PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES);
    jsonschema::options().with_pattern_options(patterns).build(schema).ok()
}

impl Fields {
    /// The checks for a definition.
    pub(crate) fn of(definition: &Definition) -> Self {
        let fields = definition.fields.iter().map(|field| {
            let schema: Option<Value> = serde_json::from_str(field.schema.as_str()).ok();
            let integer = schema.as_ref().filter(|schema| schema["type"] == "integer").map(|schema| {
                if schema["format"].as_str().is_some_and(|format| format.starts_with("uint")) {
                    Integer::Unsigned
                } else {
                    Integer::Signed
                }
            });
            let schema = schema.and_then(|schema| validator(&schema));
            FieldCheck { name: field.name.clone(), default: field.default.clone(), schema, integer }
        });
        Self { walker: definition.name.clone(), fields: fields.collect() }
    }

    /// The complete fields: the caller's, and defaults for those left out.
    pub(crate) fn check(&self, given: Option<&Json>, max_bytes: u64) -> Result<Json, Error> {
        let text = given.map_or("{}", Json::as_str);
        let mut given = object(text)?;
        let mut problems = Vec::new();
        let mut out = String::with_capacity(text.len() + 64);
        for field in &self.fields {
            let value = match take(&mut given, &field.name, &mut problems) {
                Some(value) => {
                    field.check(value.get(), &mut problems);
                    value.get()
                }
                None => match &field.default {
                    Some(default) => default.as_str(),
                    None => {
                        let detail = format!("walker {} needs the field {:?}", self.walker, field.name);
                        problems.push(FieldProblem { pointer: pointer(&field.name), detail });
                        continue;
                    }
                },
            };
            out.push(if out.is_empty() { '{' } else { ',' });
            out.push_str(&Value::from(field.name.as_str()).to_string());
            out.push(':');
            out.push_str(value);
        }
        out.push_str(if out.is_empty() { "{}" } else { "}" });
        // A body of megabytes could have millions.
        for (name, _) in given.into_iter().take(MAX_PROBLEMS) {
            problems.push(FieldProblem { pointer: pointer(&name), detail: self.unknown(&name) });
        }
        if out.len() as u64 > max_bytes {
            let detail = format!("the fields take {} bytes; at most {max_bytes} are allowed", out.len());
            problems.push(FieldProblem { pointer: String::new(), detail });
        }
        if !problems.is_empty() {
            problems.truncate(MAX_PROBLEMS);
            return Err(Error::Fields(problems));
        }
        Json::parse(out).map_err(|error| Error::Malformed(format!("the fields are not JSON: {error}")))
    }

    fn unknown(&self, name: &str) -> String {
        if self.fields.is_empty() {
            return format!("walker {} takes no fields; remove {name:?}", self.walker);
        }
        let names: Vec<&str> = self.fields.iter().map(|field| field.name.as_str()).collect();
        format!("walker {} has no field {name:?}; it has {}", self.walker, names.join(", "))
    }
}

impl FieldCheck {
    fn check(&self, text: &str, problems: &mut Vec<FieldProblem>) {
        let mut fail = |below: &str, detail: String| {
            problems.push(FieldProblem { pointer: format!("{}{below}", pointer(&self.name)), detail });
        };
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            // Valid as text, but no program can hold it: half a surrogate pair, a number too large.
            Err(error) => return fail("", format!("cannot be read: {error}")),
        };
        if let Some(schema) = &self.schema {
            let mut is_valid = true;
            for error in schema.iter_errors(&value).take(MAX_PROBLEMS) {
                is_valid = false;
                fail(error.instance_path().as_str(), shorten(&error.to_string()));
            }
            if !is_valid {
                return;
            }
        }
        match self.integer {
            Some(Integer::Signed) if !value.is_i64() => fail("", format!("{value} does not fit a 64-bit integer")),
            Some(Integer::Unsigned) if !value.is_u64() => {
                fail("", format!("{value} does not fit an unsigned 64-bit integer"));
            }
            _ => {}
        }
    }
}

/// A validator's message quotes the whole value, which may be megabytes.
fn shorten(message: &str) -> String {
    const MAX: usize = 300;
    if message.len() <= MAX {
        return message.to_owned();
    }
    let end = message.char_indices().map(|(at, _)| at).take_while(|at| *at <= MAX / 2).last().unwrap_or(0);
    let start = message.char_indices().map(|(at, _)| at).find(|at| *at >= message.len() - MAX / 2).unwrap_or(0);
    format!("{} … {}", &message[..end], &message[start..])
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Takes the value of a name out; a name given twice is a problem, since readers would disagree on which one counts.
fn take<'a>(
    given: &mut Vec<(String, &'a RawValue)>,
    name: &str,
    problems: &mut Vec<FieldProblem>,
) -> Option<&'a RawValue> {
    let at = given.iter().position(|(given, _)| given == name)?;
    let (_, value) = given.swap_remove(at);
    let before = given.len();
    given.retain(|(given, _)| given != name);
    if given.len() < before {
        problems.push(FieldProblem { pointer: pointer(name), detail: "is given more than once".into() });
    }
    Some(value)
}

/// The members of a JSON object, in order, values as they are written.
fn object(text: &str) -> Result<Vec<(String, &RawValue)>, Error> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("an object with the walker's fields")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(text);
    let members = reader.deserialize_map(Members).and_then(|members| reader.end().map(|()| members));
    members
        .map_err(|error| Error::Malformed(format!("the body must be a JSON object with the walker's fields: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use walker_model::{Field, Settings};

    use super::*;

    fn fields() -> Fields {
        let field = |name: &str, schema: Value, default: Option<Value>| Field {
            name: name.into(),
            schema: Json::of(&schema),
            default: default.map(|value| Json::of(&value)),
            doc: String::new(),
        };
        Fields::of(&Definition {
            name: "sample".into(),
            doc: String::new(),
            is_async: true,
            is_public: false,
            enters: vec!["Root".into()],
            fields: vec![
                field("value", json!({"type": "integer", "format": "int64"}), Some(json!(0))),
                field("size", json!({"type": "integer", "format": "uint64", "minimum": 0}), Some(json!(1))),
                field("list", json!({"type": "array", "items": {"type": "string"}}), None),
                field("any", json!(true), Some(Value::Null)),
            ],
            settings: Settings::default(),
        })
    }

    #[test]
    fn no_pattern_takes_long() {
        // Each letter more doubles the time of an engine that goes back and forth.
        let schema = json!({"type": "string", "pattern": "^(a|a)*(a|a)*(a+)+$"});
        let validator = validator(&schema).expect("a valid pattern");
        let begun = std::time::Instant::now();
        assert!(!validator.is_valid(&json!("a".repeat(10_000) + "!")));
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
        assert!(super::validator(&json!({"pattern": "((a{1000}){1000}){1000}"})).is_none(), "too large to compile");
    }

    fn check(given: &str, expect: Result<&str, &[(&str, &str)]>) {
        let given = Json::parse(given.to_owned()).expect("test input is JSON");
        match (fields().check(Some(&given), 1000), expect) {
            (Ok(fields), Ok(expect)) => assert_eq!(fields.as_str(), expect),
            (Err(Error::Fields(problems)), Err(expect)) => {
                assert_eq!(problems.len(), expect.len(), "{problems:?}");
                for (problem, (pointer, detail)) in problems.iter().zip(expect) {
                    assert_eq!(problem.pointer, *pointer, "{problem:?}");
                    assert!(problem.detail.contains(detail), "{problem:?}");
                }
            }
            (got, expect) => panic!("{got:?} instead of {expect:?}"),
        }
    }

    #[test]
    fn fills_in_defaults_in_the_definitions_order_and_keeps_values_verbatim() {
        check(r#"{"list":[]}"#, Ok(r#"{"value":0,"size":1,"list":[],"any":null}"#));
        check(r#"{"any": {"b":1,"a":1e400000000000000000000}, "list":[]}"#, Err(&[("/any", "cannot be read")]));
        check(
            r#"{"any": {"b":1.10,"a":"\u0000"}, "list":["x"], "value":7}"#,
            Ok(r#"{"value":7,"size":1,"list":["x"],"any":{"b":1.10,"a":"\u0000"}}"#),
        );
    }

    #[test]
    fn names_every_problem_with_its_place() {
        check("{}", Err(&[("/list", "needs the field")]));
        check(r#"{"list":["a",1],"value":"x"}"#, Err(&[("/value", "integer"), ("/list/1", "string")]));
        check(r#"{"list":[],"valu":1}"#, Err(&[("/valu", "it has value, size, list, any")]));
        check(r#"{"list":[],"a/b~":1}"#, Err(&[("/a~1b~0", "no field")]));
        check(r#"{"list":[],"value":1,"value":2}"#, Err(&[("/value", "more than once")]));
        check(r#"{"list":[],"value":1.0}"#, Err(&[("/value", "64-bit")]));
        check(r#"{"list":[],"value":9223372036854775808}"#, Err(&[("/value", "64-bit")]));
        check(r#"{"list":[],"size":-1}"#, Err(&[("/size", "minimum")]));
        check(r#"{"list":[],"any":"\ud800"}"#, Err(&[("/any", "cannot be read")]));
        let long = format!(r#"{{"list":["{}"]}}"#, "x".repeat(2000));
        check(&long, Err(&[("", "at most 1000")]));
    }

    #[test]
    fn refuses_what_is_no_object() {
        for text in ["[]", "1", "null", r#""x""#] {
            let given = Json::parse(text.to_owned()).expect("test input is JSON");
            assert!(matches!(fields().check(Some(&given), 1000), Err(Error::Malformed(_))), "{text}");
        }
    }
}
