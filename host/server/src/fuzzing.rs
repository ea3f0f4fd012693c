//! What fuzz targets do, and the tests that try their findings again.
//!
//! No part of the interface.
#![doc(hidden)]

use walker_model::{Definition, Field, Json, Settings};

use crate::invoke::{Effort, Fields};

const MAX_BYTES: u64 = 1 << 20;

/// Checks a value for a field with a schema, as an invocation would: both come from people who are not trusted.
pub fn fields(schema: &str, value: &str) {
    let (Ok(schema), Ok(value)) = (Json::parse(schema.to_owned()), Json::parse(value.to_owned())) else { return };
    let definition = Definition {
        name: "fuzzed".into(),
        doc: String::new(),
        is_async: true,
        is_public: false,
        enters: vec!["Root".into()],
        fields: vec![Field { name: "value".into(), schema, default: None, doc: String::new() }],
        settings: Settings::default(),
    };
    let checks = Fields::of(&definition);
    let body = Json::parse(format!("{{\"value\":{}}}", value.as_str())).expect("made of JSON");
    for given in [&value, &body] {
        if let Ok(Ok(fields)) = checks.check(Some(given), MAX_BYTES, Effort::All) {
            assert!(fields.len() as u64 <= MAX_BYTES);
            assert!(
                matches!(checks.check(Some(&fields), MAX_BYTES, Effort::All), Ok(Ok(_))),
                "what was taken once is taken again"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A finding of this target is a schema, a line end, and a value.
    #[test]
    fn what_was_found_before_is_not_found_again() {
        let fuzz = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz");
        for folder in ["regressions", "seeds"] {
            for entry in std::fs::read_dir(format!("{fuzz}/{folder}/fields")).unwrap() {
                let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
                let (schema, value) = text.split_once('\n').unwrap();
                fields(schema, value);
            }
        }
    }
}
