//! A caller's object, split into the values of a walker's fields and the rest, values as they are written.
//!
//! Knows nothing of what the values should be.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Error, FieldCheck, MAX_PROBLEMS};

/// What was given.
#[derive(Default)]
pub(super) struct Given<'a> {
    /// For each field, in the definition's order.
    pub(super) values: Vec<Option<&'a str>>,
    /// Which fields were given more than once: readers would disagree on which value counts.
    pub(super) twice: Vec<usize>,
    /// The first names that no field has. A body of megabytes could have millions.
    pub(super) unknown: Vec<String>,
}

impl<'a> Given<'a> {
    /// Reads the text of an object.
    pub(super) fn of(text: &'a str, fields: &[FieldCheck]) -> Result<Self, Error> {
        let places = fields.iter().enumerate().map(|(at, field)| (field.name.as_str(), at)).collect();
        let mut reader = serde_json::Deserializer::from_str(text);
        let given = reader.deserialize_map(Members(places)).and_then(|given| reader.end().map(|()| given));
        let wrong = |error| format!("the body must be a JSON object with the walker's fields: {error}");
        given.map_err(|error| Error::Malformed(wrong(error)))
    }
}

/// By name, where each field stands.
struct Members<'f>(HashMap<&'f str, usize>);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Given<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object with the walker's fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut given = Given { values: vec![None; self.0.len()], ..Given::default() };
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            match self.0.get(name.as_str()) {
                Some(&at) if given.values[at].is_none() => given.values[at] = Some(value.get()),
                Some(at) if !given.twice.contains(at) => given.twice.push(*at),
                None if given.unknown.len() < MAX_PROBLEMS => given.unknown.push(name),
                _ => {}
            }
        }
        Ok(given)
    }
}
