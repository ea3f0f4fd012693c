//! Ids as they are written outside (`w:<name>:<uuid>`, `n:<type>:<uuid>`) and kept inside.
//!
//! Knows nothing of what an id stands for: whether it exists, and whose it is, is asked elsewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// The longest walker or node type name, in bytes; also what fits a Postgres identifier.
const MAX_NAME: usize = 64;

/// A text that is no id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind} id; expected {form}")]
pub struct InvalidId {
    kind: &'static str,
    form: &'static str,
    text: String,
}

/// Whether `text` may name a walker, a field's type or a node type: `[A-Za-z_][A-Za-z0-9_]{0,63}`.
pub fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.first(), Some(b'A'..=b'Z' | b'a'..=b'z' | b'_'))
        && bytes.len() <= MAX_NAME
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// One invocation of a walker: `w:<name>:<uuid>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WalkerId {
    /// The walker definition's name.
    pub name: String,
    /// A UUIDv7 when this host made it; any version when it came from outside.
    pub uuid: Uuid,
}

impl WalkerId {
    /// A new id for an invocation of the walker `name`, ordered by the time of this call.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), uuid: Uuid::now_v7() }
    }
}

/// A place that walkers enter: `n:<type>:<uuid>`; a root has an empty type (`n::<uuid>`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeId {
    /// The node's type; empty for a root.
    pub kind: String,
    /// A UUIDv7 when this host made it.
    pub uuid: Uuid,
}

impl NodeId {
    /// The id of the root with this uuid.
    pub fn root(uuid: Uuid) -> Self {
        Self { kind: String::new(), uuid }
    }

    /// Whether this names a root.
    pub fn is_root(&self) -> bool {
        self.kind.is_empty()
    }
}

/// A tenant, by the number that the database gave it. Never shown outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub i64);

impl fmt::Display for TenantId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Display for WalkerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "w:{}:{}", self.name, self.uuid.hyphenated())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "n:{}:{}", self.kind, self.uuid.hyphenated())
    }
}

/// Splits `<letter>:<name>:<uuid>`; the uuid in its hyphenated form, in either case.
fn split(text: &str, letter: char) -> Option<(&str, Uuid)> {
    let rest = text.strip_prefix(letter)?.strip_prefix(':')?;
    let (name, uuid) = rest.split_once(':')?;
    // `Uuid` also reads the simple, braced and urn forms, which are not ids here.
    let hyphenated = uuid.len() == 36;
    Some((name, Uuid::try_parse(uuid).ok().filter(|_| hyphenated)?))
}

impl FromStr for WalkerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        split(text, 'w')
            .filter(|(name, _)| is_name(name))
            .map(|(name, uuid)| Self { name: name.to_owned(), uuid })
            .ok_or_else(|| InvalidId { kind: "walker", form: "w:<name>:<uuid>", text: text.to_owned() })
    }
}

impl FromStr for NodeId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        split(text, 'n')
            .filter(|(kind, _)| kind.is_empty() || is_name(kind))
            .map(|(kind, uuid)| Self { kind: kind.to_owned(), uuid })
            .ok_or_else(|| InvalidId {
                kind: "node",
                form: "n:<type>:<uuid> (a root: n::<uuid>)",
                text: text.to_owned(),
            })
    }
}

macro_rules! as_text {
    ($id:ty) => {
        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(de::Error::custom)
            }
        }
    };
}
as_text!(WalkerId);
as_text!(NodeId);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = InvalidId> + fmt::Display>(text: &str, expect: Option<&str>) {
        assert_eq!(text.parse::<T>().ok().map(|id| id.to_string()).as_deref(), expect, "{text:?}");
    }

    #[test]
    fn reads_what_it_prints() {
        let walker = WalkerId::new("sample");
        assert_eq!(walker.to_string().parse(), Ok(walker));
        let root = NodeId::root(Uuid::now_v7());
        assert_eq!(root.to_string().parse(), Ok(root));
    }

    #[test]
    fn takes_ids_of_the_documented_form_only() {
        let uuid = "550e8400-e29b-41d4-a716-446655440000";
        check::<WalkerId>(&format!("w:sample:{uuid}"), Some(&format!("w:sample:{uuid}")));
        check::<WalkerId>(&format!("w:Sample_2:{}", uuid.to_uppercase()), Some(&format!("w:Sample_2:{uuid}")));
        check::<NodeId>(&format!("n::{uuid}"), Some(&format!("n::{uuid}")));
        check::<NodeId>(&format!("n:City:{uuid}"), Some(&format!("n:City:{uuid}")));
        for bad in [
            String::new(),
            uuid.to_owned(),
            format!("w::{uuid}"),
            format!("n:sample:{uuid}"),
            format!("w:2fast:{uuid}"),
            format!("w:sämple:{uuid}"),
            format!("w:sample:{uuid} "),
            format!("w:sample:{}", uuid.replace('-', "")),
            format!("w:sample:{{{uuid}}}"),
            format!("w:sample:x:{uuid}"),
            format!("w:{}:{uuid}", "a".repeat(65)),
            "w:sample:".to_owned(),
            "w:sample".to_owned(),
        ] {
            check::<WalkerId>(&bad, None);
        }
    }

    #[test]
    fn new_ids_are_ordered_by_time() {
        let ids: Vec<Uuid> = (0..1000).map(|_| WalkerId::new("sample").uuid).collect();
        assert!(ids.is_sorted());
    }
}
