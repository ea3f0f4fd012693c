//! Small JSON bodies of known shape: every mistake in them is told at once, each with its pointer.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use serde_json::{Map, Value};

use super::body::SmallJson;
use crate::host::Host;
use crate::http::problem::{FieldError, Problem};

/// A JSON object, read field by field. What is wrong is collected until [`Fields::finish`].
#[derive(Debug)]
pub(crate) struct Fields {
    left: Map<String, Value>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl FromRequest<Arc<Host>> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, host: &Arc<Host>) -> Result<Self, Problem> {
        let SmallJson(body) = SmallJson::from_request(request, host).await?;
        Self::of(body.as_ref().map_or("{}", |body| body.as_str()))
    }
}

impl Fields {
    /// Takes the text of a JSON object.
    fn of(text: &str) -> Result<Self, Problem> {
        let wrong = |detail: String| Problem::fields(vec![FieldError { pointer: String::new(), detail }]);
        match serde_json::from_str(text) {
            Ok(Value::Object(left)) => Ok(Self { left, known: Vec::new(), errors: Vec::new() }),
            Ok(other) => Err(wrong(format!("expected a JSON object, found {}", kind(&other)))),
            // It is JSON, but nested or large beyond what any of these bodies could be.
            Err(error) => Err(wrong(format!("expected a plain JSON object: {error}"))),
        }
    }

    /// A text that must be there.
    pub(crate) fn text(&mut self, name: &'static str) -> String {
        self.required(name, "a text", |value| match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        })
    }

    /// A text that must be there and reads itself; without one, [`finish`](Self::finish) says why.
    pub(crate) fn parsed<T: FromStr<Err = String>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.required(name, "a text", |value| match value {
            Value::String(text) => Ok(Some(text)),
            other => Err(other),
        })?;
        text.parse().map_err(|detail| self.wrong(name, detail)).ok()
    }

    /// A text that may be left out or null; `read` says what it expected.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(name);
        let read = match self.left.remove(name)? {
            Value::Null => return None,
            Value::String(text) => read(&text),
            other => Err(format!("expected a text, found {}", kind(&other))),
        };
        read.map_err(|detail| self.wrong(name, detail)).ok()
    }

    /// A list of texts that must be there; `read` says what it expected of one.
    pub(crate) fn list<T>(&mut self, name: &'static str, read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let values = self.required(name, "a list of texts", |value| match value {
            Value::Array(values) => Ok(values),
            other => Err(other),
        });
        let mut items = Vec::new();
        for (at, value) in values.iter().enumerate() {
            match value.as_str().ok_or_else(|| format!("expected a text, found {}", kind(value))).and_then(&read) {
                Ok(item) => items.push(item),
                Err(detail) => self.wrong(&format!("{name}/{at}"), detail),
            }
        }
        items
    }

    /// A whole number that must be there.
    pub(crate) fn integer(&mut self, name: &'static str) -> i32 {
        let expected = "a whole number of at most 32 bits";
        self.required(name, expected, |value| value.as_i64().and_then(|number| number.try_into().ok()).ok_or(value))
    }

    /// A duration, as text or in seconds, that may be left out or null.
    pub(crate) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        self.known.push(name);
        let read = match self.left.remove(name)? {
            Value::Null => return None,
            Value::String(text) => super::parse_duration(&text),
            Value::Number(number) => super::parse_duration(&number.to_string()),
            other => Err(format!("expected a duration, such as \"30d\", or seconds; found {}", kind(&other))),
        };
        read.map_err(|detail| self.wrong(name, detail)).ok()
    }

    /// True or false, which may be left out.
    pub(crate) fn flag(&mut self, name: &'static str) -> Option<bool> {
        self.known.push(name);
        let value = self.left.remove(name)?;
        if value.as_bool().is_none() {
            self.wrong(name, format!("expected true or false, found {}", kind(&value)));
        }
        value.as_bool()
    }

    /// A change that may be left out: `Some(None)` for null, else what `read` reads, which says what it expected.
    pub(crate) fn change<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<Option<T>> {
        self.known.push(name);
        match self.left.remove(name)? {
            Value::Null => Some(None),
            value => read(&value).map_err(|detail| self.wrong(name, detail)).ok().map(Some),
        }
    }

    /// An object of changes that may be left out: its members as `read` reads them, `None` for null, none where any is
    /// wrong. `read` gets a member's name and value, and says what it expected.
    pub(crate) fn patch<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&str, &Value) -> Result<T, String>,
    ) -> Vec<(String, Option<T>)> {
        self.known.push(name);
        let members = match self.left.remove(name) {
            None => return Vec::new(),
            Some(Value::Object(members)) => members,
            Some(other) => {
                self.wrong(name, format!("expected an object, found {}", kind(&other)));
                return Vec::new();
            }
        };
        let mut changes = Vec::new();
        for (member, value) in members {
            let change = match &value {
                // Also for a name that nobody knows: read says so.
                Value::Null => read(&member, &Value::from(0)).map(|_| None),
                value => read(&member, value).map(Some),
            };
            match change {
                Ok(change) => changes.push((member, change)),
                Err(detail) => self.wrong(&format!("{name}/{}", escaped(&member)), detail),
            }
        }
        changes
    }

    /// Whether everything could be used.
    ///
    /// # Errors
    /// All that is wrong, fields that nobody knows among it.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        for name in self.left.keys() {
            let pointer = format!("/{}", escaped(name));
            let detail = format!("there is no such field; known: {}", self.known.join(", "));
            self.errors.push(FieldError { pointer, detail });
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::fields(self.errors)) }
    }

    fn required<T: Default>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(Value) -> Result<T, Value>,
    ) -> T {
        self.known.push(name);
        let read = match self.left.remove(name) {
            None => Err(format!("is missing; expected {expected}")),
            Some(value) => read(value).map_err(|value| format!("expected {expected}, found {}", kind(&value))),
        };
        read.unwrap_or_else(|detail| {
            self.wrong(name, detail);
            T::default()
        })
    }

    fn wrong(&mut self, name: &str, detail: String) {
        self.errors.push(FieldError { pointer: format!("/{name}"), detail });
    }
}

/// A name as pointers hold it (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Scope;

    #[test]
    fn reads_a_body_of_known_shape() {
        let mut fields =
            Fields::of(r#"{"name": "ci", "scopes": ["read"], "expires_in": "30d", "version": 2}"#).unwrap();
        assert_eq!(fields.text("name"), "ci");
        assert_eq!(fields.list("scopes", str::parse::<Scope>), [Scope::Read]);
        assert_eq!(fields.duration("expires_in"), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(fields.integer("version"), 2);
        assert_eq!(fields.duration("absent"), None);
        assert!(fields.finish().is_ok());
    }

    #[test]
    fn tells_every_mistake_at_once() {
        let body =
            r#"{"name": 1, "scopes": ["read", "fly", 3], "expires_in": "soon", "version": 3000000000, "a/b": 1}"#;
        let mut fields = Fields::of(body).unwrap();
        fields.text("name");
        fields.text("email");
        fields.list("scopes", str::parse::<Scope>);
        fields.duration("expires_in");
        fields.integer("version");
        let pointers: Vec<_> = fields.errors.iter().map(|error| error.pointer.clone()).collect();
        assert_eq!(pointers, ["/name", "/email", "/scopes/1", "/scopes/2", "/expires_in", "/version"]);
        assert!(fields.left.contains_key("a/b"));
        assert!(fields.finish().unwrap_err().to_string().starts_with("7 fields"));
        assert!(Fields::of("[]").unwrap_err().to_string().contains("found a list"));
    }
}
