//! One field's schema, compiled so that whoever checks by it pays in steps for what that costs.
//!
//! Knows nothing of fields, nor of how many steps there are.

use std::fmt::{self, Write as _};

use jsonschema::{Keyword, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};
use walker_model::schema::{Written, below};

use super::steps::{self, OutOfSteps};
use super::{Effort, FieldProblem, MAX_PROBLEMS};

/// What stands before every schema, and takes steps whenever a value is held to it. No name that an author would choose.
const STEPS: &str = "walker:steps";
/// How many bytes of a schema, or of a value, are looked at in one step: a step then takes some ten nanoseconds.
const BYTES_A_STEP: u64 = 16;
/// Looking for what other schemas have left over goes through all of them again.
const LEFT_OVER: u64 = 100;
/// What a pattern costs with each step by what it compiles to, in bytes, and the largest that is taken. Patterns are matched in
/// linear time, but a hostile one takes time for each of its states with each byte.
const PATTERNS: [(usize, u64); 3] = [(16 << 10, 4), (64 << 10, 256), (256 << 10, 1024)];
/// Values so small are told all that is wrong with them, in bytes; in others, what is found first. Finding all of it means
/// keeping all of it, some hundred bytes for each value.
const SMALL_VALUE: usize = 16 << 10;
/// How many times a step costs while problems are kept: each may be kept until all are found, and takes some hundred bytes.
const KEEPING: u64 = 200;
/// What is told of one problem, in bytes.
const MAX_DETAIL: usize = 300;

/// A compiled schema.
#[derive(Debug)]
pub(super) struct Schema {
    validator: Validator,
    /// About what it takes of memory, in bytes.
    pub(super) bytes: usize,
}

impl Schema {
    /// Compiles a schema; `None` for one that this host cannot read.
    pub(super) fn of(schema: &Value) -> Option<Self> {
        let options = |bytes: usize| {
            // The library's usual engine goes back and forth for as long as a hostile pattern likes.
            let patterns = PatternOptions::regex().size_limit(bytes).dfa_size_limit(bytes);
            jsonschema::options().with_pattern_options(patterns)
        };
        let price = |pattern: &str| {
            let pattern = json!({"pattern": pattern});
            PATTERNS.into_iter().find(|(bytes, _)| options(*bytes).build(&pattern).is_ok())
        };
        // Each schema gets another level or two.
        let text_bytes = schema.to_string().len();
        let mut pattern_bytes = 0;
        let metered = metered(schema.clone(), &mut |pattern| {
            let (bytes, price) = price(pattern)?;
            pattern_bytes += bytes;
            Some(price)
        })?;
        let options = options(PATTERNS[PATTERNS.len() - 1].0).with_keyword(STEPS, |_, price, _| {
            let price = |at: usize| price.get(at).and_then(Value::as_u64).unwrap_or(1);
            Ok(Box::new(Price { whole: price(0), pattern: price(1) }))
        });
        let validator = options.build(&metered).ok()?;
        // A compiled keyword takes about a hundred bytes, and two for each of its text.
        Some(Self { validator, bytes: pattern_bytes + text_bytes * 16 })
    }

    /// What is wrong with a value, whose text has so many bytes, by the place below it; nothing if it fits.
    pub(super) fn check(
        &self,
        value: &Value,
        bytes: usize,
        effort: Effort,
        left: &mut u64,
    ) -> Result<Vec<FieldProblem>, OutOfSteps> {
        if steps::within(left, || self.validator.is_valid(value))? {
            return Ok(Vec::new());
        }
        let problem = |error: ValidationError<'_>| FieldProblem {
            pointer: error.instance_path().to_string(),
            detail: say(&error),
        };
        if bytes <= SMALL_VALUE {
            // The rest is for the one that is found first.
            let mut half = *left / 2;
            *left -= half;
            let all = || self.validator.iter_errors(value).take(MAX_PROBLEMS).map(problem).collect::<Vec<_>>();
            let told = steps::within(&mut half, all);
            *left += half;
            match (told, effort) {
                (Ok(problems), _) if !problems.is_empty() => return Ok(problems),
                (Err(out), Effort::Little) => return Err(out),
                _ => {}
            }
        }
        match (steps::within(left, || self.validator.validate(value).err().map(problem)), effort) {
            (Ok(Some(first)), _) => Ok(vec![first]),
            (Err(out), Effort::Little) => Err(out),
            _ => {
                let detail = "does not fit its schema, and is too large to be told where".into();
                Ok(vec![FieldProblem { pointer: String::new(), detail }])
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_valid(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }
}

/// A schema with its price before it, and so everywhere below; `None` when it holds a pattern that is too large.
///
/// Before it, since most checks end with the first keyword that refuses, and any order of keywords is the library's.
fn metered(schema: Value, price: &mut impl FnMut(&str) -> Option<u64>) -> Option<Value> {
    let Value::Object(mut keywords) = schema else { return Some(schema) };
    let mut own_bytes = 0;
    let mut patterns = 0;
    for (keyword, value) in &mut keywords {
        own_bytes += keyword.len();
        let each: Vec<&mut Value> = match (below(keyword), &mut *value) {
            (Some((_, Written::ByName)), Value::Object(named)) => {
                own_bytes += named.keys().map(|name| name.len() + 1).sum::<usize>();
                named.values_mut().collect()
            }
            (Some((_, Written::Plainly)), Value::Array(list)) if list.iter().any(Value::is_object) => {
                own_bytes += list.len();
                list.iter_mut().collect()
            }
            (Some((_, Written::Plainly)), Value::Object(_)) => vec![&mut *value],
            (_, other) => {
                own_bytes += other.to_string().len();
                Vec::new()
            }
        };
        for schema in each.into_iter().filter(|schema| schema.is_object()) {
            *schema = metered(schema.take(), price)?;
        }
        match (keyword.as_str(), &*value) {
            ("pattern", Value::String(pattern)) => patterns += price(pattern)?,
            ("patternProperties", Value::Object(named)) => {
                for pattern in named.keys() {
                    patterns += price(pattern)?;
                }
            }
            _ => {}
        }
    }
    let mut whole = 1 + own_bytes as u64 / BYTES_A_STEP;
    if ["unevaluatedProperties", "unevaluatedItems"].iter().any(|keyword| keywords.contains_key(*keyword)) {
        whole *= LEFT_OVER;
    }
    // What is referred to stays where it was, and what language this is must be said at the top.
    let top = ["$schema", "$defs", "definitions"].map(|keyword| keywords.remove_entry(keyword)).into_iter().flatten();
    let mut outer: Map<String, Value> = top.collect();
    outer.insert("allOf".into(), json!([{STEPS: [whole, patterns]}, keywords]));
    Some(Value::Object(outer))
}

/// What it costs to hold a value to a schema, without what stands below either.
struct Price {
    whole: u64,
    pattern: u64,
}

impl Price {
    fn of(&self, value: &Value) -> u64 {
        let bytes = match value {
            Value::String(text) => text.len() as u64,
            // How many members a value has tells what it costs to go through them.
            Value::Array(values) => values.len() as u64,
            Value::Object(members) if self.pattern == 0 => members.len() as u64,
            Value::Object(members) => members.keys().map(|name| name.len() as u64 + BYTES_A_STEP).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        };
        (1 + bytes / BYTES_A_STEP).saturating_mul(self.whole.saturating_add(self.pattern))
    }
}

impl<'i> Keyword<'i> for Price {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        steps::take(self.of(value));
        Ok(())
    }

    fn is_valid(&self, value: &'i Value) -> bool {
        steps::take(self.of(value));
        true
    }

    fn iter_errors(&self, value: &'i Value) -> Box<dyn Iterator<Item = ValidationError<'i>> + 'i> {
        steps::take(self.of(value).saturating_mul(KEEPING));
        Box::new(std::iter::empty())
    }
}

/// What is wrong, in so many words. Usually that quotes the whole value, which may be megabytes.
fn say(error: &ValidationError<'_>) -> String {
    let mut said = Short(String::new());
    if write!(said, "{error}").is_ok() {
        return said.0;
    }
    said.0.clear();
    let whole = write!(said, "{}", error.masked()).is_ok();
    if whole { said.0 } else { said.0 + " …" }
}

/// A text that ends where it becomes too long to be told.
struct Short(String);

impl fmt::Write for Short {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = MAX_DETAIL - self.0.len();
        self.0.push_str(&more[..more.floor_char_boundary(room)]);
        if more.len() <= room { Ok(()) } else { Err(fmt::Error) }
    }
}

/// As much of a text as is told.
pub(super) fn shorten(text: &str) -> String {
    let mut said = Short(String::new());
    if said.write_str(text).is_ok() { said.0 } else { said.0 + " …" }
}
