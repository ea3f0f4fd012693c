//! JSON text kept as it came, so that large numbers, key order and escapes survive the host.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// How deep arrays and objects may nest: what serde_json and most other readers take. Postgres' own parser recurses,
/// and refuses some thousands.
const MAX_DEPTH: usize = 127;

/// Text that is not JSON which others could read back.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJson {
    /// It is not exactly one JSON value.
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
    /// It nests too deeply.
    #[error("arrays and objects nest more than {MAX_DEPTH} deep")]
    TooDeep,
}

/// Valid JSON, byte for byte as its author wrote it (surrounding white space aside).
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// `null`.
    pub fn null() -> Self {
        Self::of(&())
    }

    /// Takes JSON text.
    ///
    /// # Errors
    /// When `text` is not exactly one JSON value, or nests too deeply to be read back.
    pub fn parse(text: String) -> Result<Self, InvalidJson> {
        let raw = RawValue::from_string(text)?;
        if depth(raw.get()) > MAX_DEPTH { Err(InvalidJson::TooDeep) } else { Ok(Self(raw)) }
    }

    /// The JSON of a value that cannot fail to serialise (no maps with keys other than text).
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        Self(serde_json::value::to_raw_value(value).expect("the host's own values serialise"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The text's length in bytes.
    pub fn len(&self) -> usize {
        self.as_str().len()
    }

    /// Never: JSON text has at least one byte.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The raw value that serialisers pass through verbatim.
    pub fn raw(&self) -> &RawValue {
        &self.0
    }
}

/// How deep valid JSON nests.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth -= 1,
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

impl From<Box<RawValue>> for Json {
    fn from(raw: Box<RawValue>) -> Self {
        Self(raw)
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_text_verbatim() {
        for text in [r#"{"b":1,"a":123456789012345678901234567890.10,"a":"\u0000"}"#, "null", r#""\ud800""#] {
            let json = Json::parse(text.to_owned()).expect(text);
            assert_eq!(json.as_str(), text);
            assert_eq!(serde_json::to_string(&json).expect("serialises"), text);
        }
    }

    #[test]
    fn refuses_what_is_not_one_value() {
        for text in ["", "1 2", "{", "nul", "\"\u{0}\""] {
            assert!(Json::parse(text.to_owned()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn refuses_what_nobody_could_read_back() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(serde_json::from_str::<serde_json::Value>(&nested(MAX_DEPTH)).is_ok());
        assert!(Json::parse(nested(MAX_DEPTH)).is_ok());
        assert!(serde_json::from_str::<serde_json::Value>(&nested(MAX_DEPTH + 1)).is_err());
        assert!(matches!(Json::parse(nested(MAX_DEPTH + 1)), Err(InvalidJson::TooDeep)));
        let quoted = format!(r#"["\"{}", {{"[": "\\"}}]"#, "[".repeat(1000));
        assert!(Json::parse(quoted).is_ok());
    }
}
