//! Ids of walkers and nodes, as text of the documented form.
//!
//! Never makes an id: only the host does.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::Error;

/// The longest name of a walker or node type, in bytes; the host's limit too.
pub(crate) const MAX_NAME: usize = 64;

pub(crate) fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.first(), Some(b'A'..=b'Z' | b'a'..=b'z' | b'_'))
        && bytes.len() <= MAX_NAME
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `prefix:name:uuid`, its name checked by `name`.
fn parts<'a>(text: &'a str, prefix: &str, name: fn(&str) -> bool) -> Option<(&'a str, &'a str)> {
    let (kind, uuid) = text.strip_prefix(prefix)?.rsplit_once(':')?;
    (name(kind) && is_uuid(uuid)).then_some((kind, uuid))
}

macro_rules! id {
    ($(#[$doc:meta])* $id:ident, $prefix:literal, $name:expr, $what:literal, $form:literal, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $id(String);

        impl $id {
            /// The id's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Takes the host's word for it: a run begins with three ids, and every instruction of that is overhead.
            #[cfg(target_arch = "wasm32")]
            pub(crate) fn given(text: String) -> Self {
                Self(text)
            }
        }

        impl FromStr for $id {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                match parts(text, $prefix, $name) {
                    // One spelling for one id, so that ids compare as text.
                    Some((kind, uuid)) => Ok(Self(format!(concat!($prefix, "{}:{}"), kind, uuid.to_ascii_lowercase()))),
                    None => Err(Error::with_code("id.invalid", format!(concat!("{:?} is not a ", $what, " id; expected ", $form), text))),
                }
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(de::Error::custom)
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl AsRef<str> for $id {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $id {
            fn schema_name() -> Cow<'static, str> {
                stringify!($id).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern})
            }
        }
    };
}

id! {
    /// One invocation of a walker: `w:<name>:<uuid>`.
    ///
    /// ```
    /// use walker_sdk::WalkerId;
    ///
    /// let id: WalkerId = "w:sample:550e8400-e29b-41d4-a716-446655440000".parse()?;
    /// assert_eq!(id.name(), "sample");
    /// # Ok::<(), walker_sdk::Error>(())
    /// ```
    WalkerId, "w:", is_name, "walker", "w:<name>:<uuid>",
    "^w:[A-Za-z_][A-Za-z0-9_]{0,63}:[0-9a-fA-F-]{36}$"
}

id! {
    /// A node: `n:<type>:<uuid>`; a root has an empty type.
    NodeId, "n:", is_kind, "node", "n:<type>:<uuid>",
    "^n:([A-Za-z_][A-Za-z0-9_]{0,63})?:[0-9a-fA-F-]{36}$"
}

fn is_kind(text: &str) -> bool {
    text.is_empty() || is_name(text)
}

impl WalkerId {
    /// The name of the walker that was invoked.
    pub fn name(&self) -> &str {
        self.0.split(':').nth(1).unwrap_or_default()
    }
}

impl NodeId {
    /// The node's type; empty for a root.
    pub fn kind(&self) -> &str {
        self.0.split(':').nth(1).unwrap_or_default()
    }

    /// A root that no host has made: what stands in a test's world.
    pub(crate) fn nil_root() -> Self {
        Self("n::00000000-0000-0000-0000-000000000000".to_owned())
    }

    /// Whether it is a root.
    pub fn is_root(&self) -> bool {
        self.kind().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "550e8400-e29b-41d4-a716-446655440000";

    #[test]
    fn takes_ids_of_the_documented_form_only() {
        fn check<T: FromStr + fmt::Display>(text: &str, expect: Option<&str>) {
            assert_eq!(text.parse::<T>().ok().map(|id| id.to_string()).as_deref(), expect, "{text:?}");
        }
        check::<WalkerId>(&format!("w:sample:{UUID}"), Some(&format!("w:sample:{UUID}")));
        check::<WalkerId>(&format!("w:S_2:{}", UUID.to_uppercase()), Some(&format!("w:S_2:{UUID}")));
        check::<NodeId>(&format!("n::{UUID}"), Some(&format!("n::{UUID}")));
        check::<NodeId>(&format!("n:City:{UUID}"), Some(&format!("n:City:{UUID}")));
        for bad in [
            String::new(),
            UUID.to_owned(),
            format!("w::{UUID}"),
            format!("n:City:{UUID}"),
            format!("w:2fast:{UUID}"),
            format!("w:sample:{UUID} "),
            format!("w:sample:x:{UUID}"),
            format!("w:sample:{}", UUID.replace('-', "0")),
            format!("w:{}:{UUID}", "a".repeat(65)),
        ] {
            check::<WalkerId>(&bad, None);
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_field() {
        let error = serde_json::from_str::<WalkerId>("\"sample\"").unwrap_err().to_string();
        assert!(error.starts_with("\"sample\" is not a walker id; expected w:<name>:<uuid>"), "{error}");
        let id: NodeId = serde_json::from_str(&format!("\"n::{UUID}\"")).unwrap();
        assert!(id.is_root());
    }
}
