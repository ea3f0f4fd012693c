//! What a walker's author asks for beyond the walker itself: an object of names and whole numbers.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Limits, LowerLimits};

/// What a walker's author may ask for. All optional.
///
/// A name that this host does not know is refused where an author asks ([`asked`](Settings::asked)). Reading what is stored
/// passes over it: a newer host, which knows it, may have taken it in, and this one runs the walker as it can.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Limits of its runs, each by its own name but for `time_ms`, which is `timeout_ms` here. They only ever lower the host's.
    pub limits: LowerLimits,
    /// How often it is tried again after it failed; async walkers only.
    pub retries: Option<u32>,
    /// How long to wait before the first retry, in milliseconds; twice as long before each further one.
    pub backoff_ms: Option<u64>,
    /// The longest wait before a retry, in milliseconds.
    pub max_backoff_ms: Option<u64>,
    /// How many of this walker of one tenant may run at once, on all hosts together; the others wait.
    pub concurrency: Option<u32>,
}

/// What is no limit.
const BESIDE: [&str; 4] = ["retries", "backoff_ms", "max_backoff_ms", "concurrency"];
/// A limit's name, and what authors call it.
const TIMEOUT: (&str, &str) = ("time_ms", "timeout_ms");

/// Everything that can be asked for.
fn names() -> impl Iterator<Item = &'static str> {
    Limits::ALL.iter().map(|limit| said(limit.name)).chain(BESIDE)
}

fn unknown(name: &str) -> String {
    let known: Vec<String> = names().map(|name| format!("`{name}`")).collect();
    format!("unknown field `{name}`, expected one of {}", known.join(", "))
}

/// What authors call a limit.
fn said(limit: &'static str) -> &'static str {
    if limit == TIMEOUT.0 { TIMEOUT.1 } else { limit }
}

impl Settings {
    /// What an author asks for, written as an object.
    ///
    /// # Errors
    /// When it is no object of settings, or names one twice or one that this host does not know.
    pub fn asked(text: &str) -> Result<Self, serde_json::Error> {
        let mut from = serde_json::Deserializer::from_str(text);
        let settings = from.deserialize_map(Reader { unknown: Unknown::Refused })?;
        from.end().map(|()| settings)
    }

    fn set(&mut self, name: &str, asked: Option<u64>) -> Result<(), String> {
        let few = |asked: Option<u64>| {
            let few = asked.map(u32::try_from).transpose();
            few.map_err(|_| format!("{name} is above {}", u32::MAX))
        };
        match name {
            "retries" => self.retries = few(asked)?,
            "concurrency" => self.concurrency = few(asked)?,
            "backoff_ms" => self.backoff_ms = asked,
            "max_backoff_ms" => self.max_backoff_ms = asked,
            name => {
                let limit = Limits::ALL.iter().find(|limit| said(limit.name) == name);
                *limit.and_then(|limit| self.limits.get_mut(limit.name)).ok_or_else(|| unknown(name))? = asked;
            }
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let beside =
            [self.retries.map(u64::from), self.backoff_ms, self.max_backoff_ms, self.concurrency.map(u64::from)];
        let beside = BESIDE.into_iter().zip(beside).filter_map(|(name, asked)| Some((name, asked?)));
        self.limits.all().map(|(name, asked)| (said(name), asked)).chain(beside)
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.all())
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Reader { unknown: Unknown::PassedOver })
    }
}

/// What becomes of names that this host does not know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Refused,
    PassedOver,
}

struct Reader {
    unknown: Unknown,
}

impl<'de> Visitor<'de> for Reader {
    type Value = Settings;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object of settings")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Settings, M::Error> {
        let (mut settings, mut seen) = (Settings::default(), HashSet::new());
        while let Some(name) = map.next_key::<String>()? {
            // Before its value, which may be anything.
            if !names().any(|known| known == name) {
                if self.unknown == Unknown::Refused {
                    return Err(M::Error::custom(unknown(&name)));
                }
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            settings.set(&name, map.next_value()?).map_err(M::Error::custom)?;
            if seen.contains(&name) {
                return Err(M::Error::custom(format_args!("duplicate field `{name}`")));
            }
            seen.insert(name);
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_lowered_and_none_raised() {
        for limit in Limits::ALL {
            let tenant = Limits::DEFAULT;
            let usual = tenant.get(limit.name).expect("it is one");
            for (asked, expect) in [(0, 0), (usual - 1, usual - 1), (u64::MAX, usual)] {
                let text = format!(r#"{{"{}":{asked}}}"#, said(limit.name));
                let settings = Settings::asked(&text).expect("reads");
                assert_eq!(serde_json::to_string(&settings).expect("serialises"), text);
                let mut lowered = tenant;
                *lowered.get_mut(limit.name).expect("it is one") = expect;
                assert_eq!(settings.limits.below(tenant), lowered, "{text}");
            }
        }
    }

    #[test]
    fn settings_read_back() {
        for text in [
            "{}",
            r#"{"timeout_ms":5,"fuel":7,"handles":0}"#,
            r#"{"retries":3,"backoff_ms":1,"max_backoff_ms":2,"concurrency":4}"#,
        ] {
            let settings = Settings::asked(text).expect(text);
            let stored = serde_json::to_value(settings).expect("serialises");
            assert_eq!(stored, serde_json::from_str::<serde_json::Value>(text).expect("is JSON"));
            assert_eq!(serde_json::from_value::<Settings>(stored).expect("reads"), settings);
        }
        assert_eq!(Settings::asked(r#"{"fuel":null}"#).expect("reads"), Settings::default());
    }

    #[test]
    fn what_a_newer_host_stored_is_passed_over() {
        let stored = r#"{"fuel":7,"colour":{"red":[1]},"feul":8,"colour":null}"#;
        let settings: Settings = serde_json::from_str(stored).expect("reads");
        assert_eq!(serde_json::to_string(&settings).expect("serialises"), r#"{"fuel":7}"#);
        for known in [r#"{"fuel":"much"}"#, r#"{"fuel":1,"fuel":1}"#, "[]"] {
            assert!(serde_json::from_str::<Settings>(known).is_err(), "{known}");
        }
    }

    #[test]
    fn what_is_no_setting_is_told() {
        for (text, expect) in [
            (r#"{"feul":1}"#, "unknown field `feul`, expected one of `fuel`, `timeout_ms`"),
            (r#"{"colour":"red"}"#, "unknown field `colour`"),
            (r#"{"time_ms":1}"#, "unknown field `time_ms`"),
            (r#"{"fuel":1,"fuel":1}"#, "duplicate field `fuel`"),
            (r#"{"fuel":"much"}"#, "expected u64"),
            (r#"{"fuel":-1}"#, "expected u64"),
            (r#"{"retries":4294967296}"#, "retries is above 4294967295"),
            ("[]", "expected an object of settings"),
            ("{} {}", "trailing characters"),
        ] {
            let said = Settings::asked(text).expect_err(text).to_string();
            assert!(said.contains(expect), "{said}");
        }
    }
}
