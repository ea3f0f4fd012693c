//! What goes wrong inside a walker, and how it reads afterwards.
//!
//! Knows nothing of how a host stores a failure.

use std::error::Error as Cause;
use std::fmt;

/// What abilities return.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// The code of an error that the walker itself made.
const OWN: &str = "guest.error";

/// Why an ability gave up, or why the host refused a request.
///
/// Every `std::error::Error` becomes one with `?`. It prints as one sentence with all its causes.
///
/// ```
/// use walker_sdk::prelude::*;
///
/// fn parse(text: &str) -> Result<i64> {
///     ensure!(!text.is_empty(), "nothing to parse");
///     Ok(text.parse().map_err(|cause| Error::from(cause).context(format!("parsing {text:?}")))?)
/// }
///
/// assert_eq!(parse("1").unwrap(), 1);
/// assert_eq!(parse("").unwrap_err().to_string(), "nothing to parse");
/// assert_eq!(parse("x").unwrap_err().to_string(), "parsing \"x\": invalid digit found in string");
/// ```
// Deliberately no `std::error::Error` itself: only then can every one of those be turned into it.
pub struct Error(Box<Inner>);

struct Inner {
    code: String,
    message: String,
    source: Option<Box<dyn Cause + Send + Sync>>,
}

impl Error {
    /// An error with this message.
    pub fn msg(message: impl fmt::Display) -> Self {
        Self::with_code(OWN, message)
    }

    /// An error with a code that callers may match on.
    pub fn with_code(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self(Box::new(Inner { code: code.into(), message: message.to_string(), source: None }))
    }

    /// The same error, saying first what was being done. Its code stays.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.0.message = format!("{doing}: {}", self.0.message);
        self
    }

    /// Stable and dotted: the host's, e.g. `walker.not_found`, else `guest.error`.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The error it was made from, if any.
    pub fn source(&self) -> Option<&(dyn Cause + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Cause + 'static))
    }
}

impl<E: Cause + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(Inner { code: OWN.to_owned(), message: chain(&error), source: Some(Box::new(error)) }))
    }
}

/// `a: b: c`, each cause once: many errors already print their own cause.
fn chain(error: &dyn Cause) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    message
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.0.message, self.0.code)
    }
}

/// Returns from the ability with an error: `bail!("no city called {name}")`.
#[macro_export]
macro_rules! bail {
    ($($message:tt)+) => {
        return ::core::result::Result::Err($crate::Error::msg(::std::format!($($message)+)))
    };
}

/// Returns with an error unless the condition holds: `ensure!(size > 0, "size must be positive")`.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            $crate::bail!($($message)+);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str(self.0)
        }
    }

    impl Cause for Layer {
        fn source(&self) -> Option<&(dyn Cause + 'static)> {
            self.1.as_deref().map(|layer| layer as &(dyn Cause + 'static))
        }
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let mut texts = texts.iter().rev();
        let last = Layer(texts.next().unwrap(), None);
        texts.fold(last, |below, text| Layer(text, Some(Box::new(below))))
    }

    #[test]
    fn names_each_cause_once() {
        let check = |texts: &[&'static str], expect: &str| {
            let error = Error::from(layers(texts));
            assert_eq!(error.to_string(), expect);
            assert_eq!(error.code(), "guest.error");
        };
        check(&["a"], "a");
        check(&["a", "b", "c"], "a: b: c");
        check(&["a: b", "b", "c"], "a: b: c");
        check(&["a: b: c", "b: c", "c"], "a: b: c");
    }

    #[test]
    fn keeps_its_code_under_a_context() {
        let error = Error::with_code("walker.not_found", "no such walker").context("looking");
        assert_eq!((error.code(), error.to_string().as_str()), ("walker.not_found", "looking: no such walker"));
        assert_eq!(format!("{error:?}"), "looking: no such walker (walker.not_found)");
        assert!(error.source().is_none());
    }
}
