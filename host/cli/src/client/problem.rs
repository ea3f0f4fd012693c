//! A refusal (RFC 9457), as a person reads it.
//!
//! Knows nothing of when it happens.

use std::fmt;

use serde::Deserialize;
use ureq::http::StatusCode;

/// What the host refused, and why.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    title: String,
    detail: String,
    code: String,
    errors: Vec<FieldError>,
    /// Set when a sync walker was run and ended badly.
    pub(crate) walker_id: Option<String>,
    #[serde(skip)]
    status: StatusCode,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FieldError {
    pointer: String,
    detail: String,
}

impl Default for Problem {
    fn default() -> Self {
        Self {
            title: String::new(),
            detail: String::new(),
            code: String::new(),
            errors: Vec::new(),
            walker_id: None,
            status: StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Problem {
    /// Whether the token was not accepted.
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// From an answer that may also come from something between us and the host.
    pub(super) fn read(status: StatusCode, text: &str) -> Self {
        Self { status, ..serde_json::from_str(text).unwrap_or_default() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match [&self.detail, &self.title].into_iter().find(|text| !text.is_empty()) {
            Some(text) => out.write_str(text)?,
            None => write!(out, "the host answered {}", self.status)?,
        }
        if !self.code.is_empty() {
            write!(out, " ({})", self.code)?;
        }
        for error in &self.errors {
            write!(out, "\n  {}: {}", error.pointer, error.detail)?;
        }
        if self.status == StatusCode::UNAUTHORIZED {
            out.write_str("\n  log in (walker login), or give a key with --token-file or WALKER_TOKEN")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_sentences() {
        let check = |status: u16, text: &str, expect: &str| {
            let problem = Problem::read(StatusCode::from_u16(status).unwrap(), text);
            assert_eq!(problem.to_string(), expect);
        };
        check(
            422,
            r#"{"title": "Bad", "status": 422, "detail": "a field is wrong", "code": "fields.invalid",
                "errors": [{"pointer": "/value", "detail": "expected an integer"}]}"#,
            "a field is wrong (fields.invalid)\n  /value: expected an integer",
        );
        check(404, r#"{"title": "Not Found", "code": "walker.not_found"}"#, "Not Found (walker.not_found)");
        check(502, "<html>", "the host answered 502 Bad Gateway");
    }
}
