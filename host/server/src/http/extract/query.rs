//! The query: every parameter known, none twice; anything else is a problem that names what is known.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Query as Pairs};
use axum::http::Uri;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::http::problem::{Kind, Problem};

/// Something read from the query.
pub(crate) trait FromQuery: IntoParams + Sized {
    /// The parameters that there are.
    const KNOWN: &'static [&'static str];

    /// Reads them.
    ///
    /// # Errors
    /// When one of them cannot be used.
    fn from_query(params: &Params) -> Result<Self, Problem>;
}

/// What a handler reads from the query.
#[derive(Debug)]
pub(crate) struct Search<T>(pub(crate) T);

impl<T: FromQuery, S: Sync> FromRequestParts<S> for Search<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Params::read(&parts.uri, T::KNOWN).and_then(|params| T::from_query(&params)).map(Self)
    }
}

/// For handlers that take no parameters at all.
#[derive(Debug)]
pub(crate) struct NoQuery;

impl IntoParams for NoQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        Vec::new()
    }
}

impl FromQuery for NoQuery {
    const KNOWN: &'static [&'static str] = &[];

    fn from_query(_: &Params) -> Result<Self, Problem> {
        Ok(Self)
    }
}

/// The parameters of a query, all of them known.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let malformed = |error| Problem::new(Kind::QueryInvalid, format!("the query cannot be read: {error}"));
        let Pairs(pairs) = Pairs::<Vec<(String, String)>>::try_from_uri(uri).map_err(malformed)?;
        for (at, (name, value)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() {
                    "there are none here".into()
                } else {
                    format!("known: {}", known.join(", "))
                };
                return Err(Problem::new(Kind::QueryInvalid, format!("unknown query parameter {name:?}; {known}")));
            }
            if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::new(Kind::QueryInvalid, format!("query parameter {name} is given twice")));
            }
            // No text that is stored or looked up may hold one.
            if value.contains('\0') {
                return Err(invalid(name, "holds a null character"));
            }
        }
        Ok(Self(pairs))
    }

    /// The text of a parameter, if it was given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// A parameter as `read` reads it, which says what it expected.
    pub(crate) fn with<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        self.text(name).map(read).transpose().map_err(|reason| invalid(name, &reason))
    }

    /// A parameter that reads itself and says what it expected.
    pub(crate) fn parsed<T: FromStr<Err = String>>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.with(name, str::parse)
    }

    /// A time.
    pub(crate) fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        self.with(name, |text| {
            // Unencoded, the + of an offset arrives as a space.
            let text = text.replace(' ', "+");
            let time = DateTime::parse_from_rfc3339(&text).map(|time| time.to_utc());
            time.map_err(|_| format!("{text:?} is not a time; expected RFC 3339, such as 2026-11-23T10:00:00Z"))
        })
    }

    /// How many items a page holds.
    pub(crate) fn limit(&self, default: u16, most: u16) -> Result<u16, Problem> {
        let limit = self.with("limit", |text| {
            let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
            limit.ok_or_else(|| format!("expected a number from 1 to {most}"))
        })?;
        Ok(limit.unwrap_or(default))
    }

    /// Where the page before ended, as it was told with that page.
    pub(crate) fn cursor<T: FromStr>(&self) -> Result<Option<T>, Problem> {
        self.with("cursor", |text| {
            let decoded = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let place = decoded.filter(|text| !text.contains('\0')).and_then(|text| text.parse().ok());
            place.ok_or_else(|| "expected the cursor that came with a page".to_owned())
        })
    }
}

/// Where a page ended, opaque to clients.
pub(crate) fn cursor(place: &str) -> String {
    URL_SAFE_NO_PAD.encode(place)
}

fn invalid(name: &str, reason: &str) -> Problem {
    Problem::new(Kind::QueryInvalid, format!("query parameter {name}: {reason}"))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const KNOWN: &[&str] = &["limit", "since", "cursor"];

    fn read(query: &str) -> Result<Params, String> {
        let uri: Uri = format!("/walkers?{query}").parse().unwrap();
        Params::read(&uri, KNOWN).map_err(|problem| problem.to_string())
    }

    #[test]
    fn refuses_what_nobody_would_read() {
        let check = |query: &str, expect: &str| {
            let problem = read(query).unwrap_err();
            assert!(problem.contains(expect), "{query}: {problem}");
        };
        check("limti=3", "unknown query parameter \"limti\"; known: limit, since, cursor");
        check("limit=3&limit=4", "given twice");
        check("since=a%00b", "null character");
        let none = Params::read(&"/healthz?x=1".parse().unwrap(), &[]).unwrap_err().to_string();
        assert!(none.contains("there are none here"), "{none}");
    }

    #[test]
    fn reads_times_limits_and_cursors() {
        let time = |text: &str| read(&format!("since={text}")).unwrap().time("since").ok().flatten();
        let noon = "2026-11-23T12:00:00Z".parse::<DateTime<Utc>>().unwrap();
        assert_eq!(time("2026-11-23T12:00:00Z"), Some(noon));
        assert_eq!(time("2026-11-23T13:00:00%2B01:00"), Some(noon));
        assert_eq!(time("2026-11-23T13:00:00+01:00"), Some(noon));
        assert_eq!(time("yesterday"), None);

        let limit = |text: &str| read(text).unwrap().limit(50, 1000).ok();
        assert_eq!(limit(""), Some(50));
        assert_eq!(limit("limit=1000"), Some(1000));
        for bad in ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit="] {
            assert_eq!(limit(bad), None, "{bad}");
        }

        let id = Uuid::now_v7();
        let next = cursor(&id.to_string());
        assert_eq!(read(&format!("cursor={next}")).unwrap().cursor().unwrap(), Some(id));
        assert!(read("cursor=nonsense").unwrap().cursor::<Uuid>().is_err());
    }
}
