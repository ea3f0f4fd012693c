//! What a module says about its walkers, checked before anything else may rely on it.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer, Serialize};

use crate::schema::{self, MAX_PATTERNS, MAX_SCHEMA_BYTES};
use crate::{Json, Limits, Settings, is_name};

/// More fields than any walker has; keeps checking one invocation cheap.
pub const MAX_FIELDS: usize = 256;

/// How many characters of a name that is none are quoted: somewhat more than names have.
const MAX_QUOTED: usize = 80;

/// A walker as its module defines it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// The name it is invoked by.
    pub name: String,
    /// The author's own words.
    pub doc: String,
    /// Runs in the background; else the caller waits for its reports.
    #[serde(rename = "async")]
    pub is_async: bool,
    /// May be invoked without a token.
    #[serde(rename = "public")]
    pub is_public: bool,
    /// The node types it may enter; `Root` is a root, `*` any node.
    pub enters: Vec<String>,
    /// Its fields, in source order.
    pub fields: Vec<Field>,
    /// What its author asked for beyond that.
    pub settings: Settings,
}

/// One field of a walker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// JSON Schema (2020-12) of its values.
    pub schema: Json,
    /// The value when the caller leaves it out; `None` makes it required.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub default: Option<Json>,
    /// The author's own words.
    pub doc: String,
}

/// More retries than anything succeeds after.
pub const MAX_RETRIES: u32 = 100;
/// The longest wait before a retry: a day.
pub const MAX_BACKOFF_MS: u64 = 86_400_000;
/// What an author gets who says nothing: a second, then twice as long each time, up to five minutes.
const BACKOFF_MS: u64 = 1_000;
const LONGEST_BACKOFF_MS: u64 = 300_000;

/// How a failed walker is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How often at most.
    pub times: u32,
    /// Before the first retry, in milliseconds; doubled before each further one.
    pub backoff_ms: u64,
    /// The longest pause, in milliseconds.
    pub max_backoff_ms: u64,
}

/// A definition that cannot be published, in words for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidDefinition(String);

/// Tells a default of `null` from none at all.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(from).map(Some)
}

impl Definition {
    /// The limits for a run of this walker for a tenant with these limits.
    pub fn limits(&self, tenant: Limits) -> Limits {
        self.settings.limits.below(tenant)
    }

    /// Whether and how it is tried again after it failed.
    pub fn retries(&self) -> Option<Retries> {
        let Settings { retries, backoff_ms, max_backoff_ms, .. } = self.settings;
        let backoff_ms = backoff_ms.unwrap_or(BACKOFF_MS);
        let max_backoff_ms = max_backoff_ms.unwrap_or(LONGEST_BACKOFF_MS.max(backoff_ms));
        retries.filter(|times| *times > 0).map(|times| Retries { times, backoff_ms, max_backoff_ms })
    }

    /// Whether it has an ability for nodes of this type (empty for a root).
    pub fn may_enter(&self, kind: &str) -> bool {
        let kind = if kind.is_empty() { "Root" } else { kind };
        self.enters.iter().any(|entered| entered == kind || entered == "*")
    }

    /// Checks one module's definitions together.
    ///
    /// # Errors
    /// The first mistake: no walkers at all, a bad or repeated name, too many fields.
    pub fn check_all(definitions: &[Self]) -> Result<(), InvalidDefinition> {
        if definitions.is_empty() {
            return Err(InvalidDefinition(
                "the module defines no walkers; add #[walker] to at least one struct".into(),
            ));
        }
        let mut names = HashSet::new();
        for definition in definitions {
            definition.check()?;
            if !names.insert(definition.name.as_str()) {
                return Err(InvalidDefinition(format!("the module defines two walkers called {:?}", definition.name)));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), InvalidDefinition> {
        let fail = |what: String| Err(InvalidDefinition(what));
        let form = "expected a letter or _, then up to 63 letters, digits or _";
        if !is_name(&self.name) {
            return fail(format!("{} cannot name a walker; {form}", quoted(&self.name)));
        }
        if self.fields.len() > MAX_FIELDS {
            return fail(format!(
                "walker {} has {} fields; at most {MAX_FIELDS} are allowed",
                self.name,
                self.fields.len()
            ));
        }
        if self.settings.concurrency == Some(0) {
            return fail(format!("walker {} has a concurrency of 0 and could never run; give at least 1", self.name));
        }
        if self.settings.concurrency.is_some() && !self.is_async {
            return fail(format!(
                "walker {} is synchronous and never waits; only async walkers take concurrency",
                self.name
            ));
        }
        let mut names = HashSet::new();
        for field in &self.fields {
            if !is_name(&field.name) {
                return fail(format!("{} cannot name a field of walker {}; {form}", quoted(&field.name), self.name));
            }
            if !names.insert(field.name.as_str()) {
                return fail(format!("walker {} has two fields called {:?}", self.name, field.name));
            }
        }
        self.check_schemas()?;
        self.check_retries()?;
        for kind in &self.enters {
            if kind != "*" && !is_name(kind) {
                return fail(format!(
                    "walker {} enters {}, which cannot name a node type; {form}",
                    self.name,
                    quoted(kind)
                ));
            }
        }
        Ok(())
    }

    /// Whether its fields can be checked at a cost that their values bound.
    ///
    /// # Errors
    /// When their schemas are too large, hold too many patterns, or grow without bound where they refer to each other.
    pub fn check_schemas(&self) -> Result<(), InvalidDefinition> {
        let fail = |what: String| Err(InvalidDefinition(what));
        let bytes = self.fields.iter().map(|field| field.schema.len()).sum::<usize>();
        if bytes > MAX_SCHEMA_BYTES {
            return fail(format!(
                "the schemas of walker {}'s fields take {bytes} bytes; at most {MAX_SCHEMA_BYTES} are allowed",
                self.name
            ));
        }
        let mut patterns = 0;
        for field in &self.fields {
            let of = format!("the schema of field {} of walker {}", field.name, self.name);
            let read = serde_json::from_str(field.schema.as_str()).map_err(|error| format!("cannot be read: {error}"));
            match read.and_then(|schema| schema::patterns(&schema)) {
                Ok(count) => patterns += count,
                Err(said) => return fail(format!("{of} {said}")),
            }
        }
        if patterns > MAX_PATTERNS {
            return fail(format!(
                "the schemas of walker {}'s fields hold {patterns} patterns; at most {MAX_PATTERNS} are allowed",
                self.name
            ));
        }
        Ok(())
    }

    fn check_retries(&self) -> Result<(), InvalidDefinition> {
        let fail = |what: &str| Err(InvalidDefinition(format!("walker {} {what}", self.name)));
        let Settings { retries, backoff_ms, max_backoff_ms, .. } = self.settings;
        if retries.is_some() && !self.is_async {
            return fail("has retries, but its caller waits for it; only an async walker is tried again");
        }
        if retries.is_none() && (backoff_ms.is_some() || max_backoff_ms.is_some()) {
            return fail("has a backoff but no retries; say how many");
        }
        if retries.is_some_and(|times| times > MAX_RETRIES) {
            return fail(&format!("has more than {MAX_RETRIES} retries"));
        }
        if backoff_ms.max(max_backoff_ms).is_some_and(|ms| ms > MAX_BACKOFF_MS) {
            return fail("waits longer than a day before a retry");
        }
        if let (Some(first), Some(longest)) = (backoff_ms, max_backoff_ms)
            && longest < first
        {
            return fail("has a max_backoff below its backoff");
        }
        Ok(())
    }
}

/// What should have been a name, and may be as long as a module.
fn quoted(name: &str) -> String {
    match name.char_indices().nth(MAX_QUOTED) {
        None => format!("{name:?}"),
        Some((end, _)) => format!("{:?}…", &name[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(name: &str) -> Definition {
        Definition {
            name: name.into(),
            doc: String::new(),
            is_async: true,
            is_public: false,
            enters: vec!["Root".into()],
            fields: vec![Field { name: "value".into(), schema: Json::of(&true), default: None, doc: String::new() }],
            settings: Settings::default(),
        }
    }

    #[test]
    fn refuses_definitions_that_nobody_could_invoke() {
        let check = |definitions: &[Definition], expect: &str| {
            let error = Definition::check_all(definitions).expect_err(expect).to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(&[], "no walkers");
        check(&[definition("a b")], "cannot name a walker");
        check(&[definition("a"), definition("a")], "two walkers");
        check(&[definition(&"ä".repeat(1 << 20))], &format!("{:?}… cannot name a walker", "ä".repeat(MAX_QUOTED)));
        let mut twice = definition("a");
        twice.fields.push(twice.fields[0].clone());
        check(&[twice], "two fields");
        let mut odd = definition("a");
        odd.enters = vec!["City!".into()];
        check(&[odd], "node type");
        assert_eq!(Definition::check_all(&[definition("a"), definition("b")]), Ok(()));
    }

    #[test]
    fn refuses_schemas_that_cost_more_than_their_values_are_large() {
        let with = |schemas: Vec<serde_json::Value>| {
            let field = |(at, schema)| Field {
                name: format!("f{at}"),
                schema: Json::of(&schema),
                default: None,
                doc: String::new(),
            };
            Definition { fields: schemas.into_iter().enumerate().map(field).collect(), ..definition("a") }
        };
        let check = |schemas, expect: Option<&str>| {
            let said = with(schemas).check_schemas().err().map(|error| error.to_string());
            assert_eq!(
                said.as_deref().map(|said| said.contains(expect.unwrap_or("none"))),
                expect.map(|_| true),
                "{said:?}"
            );
        };
        let pattern = serde_json::json!({"pattern": "a"});
        check(vec![pattern.clone(); MAX_PATTERNS], None);
        check(vec![pattern; MAX_PATTERNS + 1], Some("hold 101 patterns"));
        check(vec![serde_json::json!({"enum": ["x".repeat(1 << 17)]}); 2], Some("at most 262144 are allowed"));
        check(vec![serde_json::json!({"$ref": "#"})], Some("field f0 of walker a refers to"));
    }

    #[test]
    fn retries_are_asked_for_whole_or_not_at_all() {
        let with = |settings: &str| {
            let settings = serde_json::from_str(settings).expect("reads");
            Definition { settings, ..definition("a") }
        };
        let check = |settings: &str, expect: Option<(u32, u64, u64)>| {
            let definition = with(settings);
            assert_eq!(Definition::check_all(std::slice::from_ref(&definition)), Ok(()), "{settings}");
            let expect =
                expect.map(|(times, backoff_ms, max_backoff_ms)| Retries { times, backoff_ms, max_backoff_ms });
            assert_eq!(definition.retries(), expect, "{settings}");
        };
        check("{}", None);
        check(r#"{"retries": 0}"#, None);
        check(r#"{"retries": 3}"#, Some((3, 1_000, 300_000)));
        check(r#"{"retries": 3, "backoff_ms": 600000}"#, Some((3, 600_000, 600_000)));
        check(r#"{"retries": 1, "backoff_ms": 5, "max_backoff_ms": 7}"#, Some((1, 5, 7)));
        let sync = Definition { is_async: false, ..with(r#"{"retries": 1}"#) };
        for (refused, expect) in [
            (sync, "only an async walker"),
            (with(r#"{"backoff_ms": 5}"#), "no retries"),
            (with(r#"{"max_backoff_ms": 5}"#), "no retries"),
            (with(r#"{"retries": 101}"#), "more than 100"),
            (with(r#"{"retries": 1, "backoff_ms": 86400001}"#), "longer than a day"),
            (with(r#"{"retries": 1, "backoff_ms": 7, "max_backoff_ms": 5}"#), "below its backoff"),
        ] {
            let error = Definition::check_all(&[refused]).expect_err(expect).to_string();
            assert!(error.contains(expect), "{error}");
        }
    }

    #[test]
    fn a_default_of_null_is_not_none() {
        let check = |default: Option<Json>| {
            let field = Field { default, ..definition("a").fields.remove(0) };
            let text = serde_json::to_string(&field).expect("serialises");
            assert_eq!(serde_json::from_str::<Field>(&text).expect("reads"), field, "{text}");
        };
        check(None);
        check(Some(Json::null()));
        check(Some(Json::of(&1)));
    }

    #[test]
    fn enters_roots_by_name_and_any_node_by_star() {
        let mut walker = definition("a");
        assert!(walker.may_enter("") && !walker.may_enter("City"));
        walker.enters = vec!["*".into()];
        assert!(walker.may_enter("") && walker.may_enter("City"));
    }
}
