//! What the host says about itself, on stderr.
//!
//! Knows nothing of walkers' own output: that goes to Postgres.

use std::fmt;
use std::io::{self, IsTerminal};

use serde_json::json;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::{Compact, Format, Json, JsonFields, Writer, format};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::author::{self, Asked};
use crate::config::{Config, LogFormat};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log filter is not one.
    #[error("the log filter {filter:?} cannot be read")]
    Filter {
        /// As it was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Somebody else set it up already.
    #[error("logging is set up already: {0}")]
    Installed(String),
}

/// Starts logging to stderr, in the format and with the filter that `config` names.
///
/// # Errors
/// When the filter cannot be read, or logging was set up before.
pub fn init(config: &Config) -> Result<(), Error> {
    let log = tracing_subscriber::fmt().with_env_filter(filter(&config.log_filter)?).with_writer(io::stderr);
    match config.log_format {
        LogFormat::Pretty => log.event_format(InRequest(pretty(io::stderr().is_terminal()))).try_init(),
        LogFormat::Json => log.fmt_fields(JsonFields::new()).event_format(InRequest(in_json())).try_init(),
    }
    .map_err(|error| Error::Installed(error.to_string()))
}

fn pretty(ansi: bool) -> Format<Compact> {
    format().compact().with_ansi(ansi)
}

fn in_json() -> Format<Json> {
    format().json().flatten_event(true).with_current_span(false).with_span_list(false)
}

/// Lines that say in which request something happened.
///
/// Not by a span: that writes down what it is of when it begins, for each of thousands of requests a second of which
/// nothing is logged.
struct InRequest<F>(F);

/// How a line tells of its request.
trait TellRequest {
    /// Writes the line with the request after it.
    fn tell(line: &str, asked: &Asked, to: &mut Writer<'_>) -> fmt::Result;
}

impl TellRequest for Format<Compact> {
    fn tell(line: &str, asked: &Asked, to: &mut Writer<'_>) -> fmt::Result {
        let Asked { request_id, method, route, .. } = asked;
        write!(to, "{line} request_id={request_id:?} method={method} route={route:?}")?;
        asked.trace_id.iter().try_for_each(|trace_id| write!(to, " trace_id={trace_id:?}"))?;
        writeln!(to)
    }
}

impl TellRequest for Format<Json> {
    fn tell(line: &str, asked: &Asked, to: &mut Writer<'_>) -> fmt::Result {
        let mut span = json!({
            "name": "request", "request_id": asked.request_id, "method": asked.method.as_str(), "route": asked.route
        });
        if let Some(trace_id) = &asked.trace_id {
            span["trace_id"] = json!(trace_id);
        }
        let line = line.strip_suffix('}').ok_or(fmt::Error)?;
        writeln!(to, "{line},\"span\":{span}}}")
    }
}

impl<F, S, N> FormatEvent<S, N> for InRequest<F>
where
    F: FormatEvent<S, N> + TellRequest,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let told = author::with_asked(|asked| {
            let mut line = String::new();
            self.0.format_event(context, Writer::new(&mut line), event)?;
            F::tell(line.trim_end(), asked, &mut to)
        });
        told.unwrap_or_else(|| self.0.format_event(context, to.by_ref(), event))
    }
}

/// Reads a filter such as `info,walker_server=debug`.
pub(crate) fn filter(text: &str) -> Result<EnvFilter, Error> {
    let unreadable = |source| Error::Filter { filter: text.to_owned(), source };
    let filter = EnvFilter::builder().parse(text).map_err(unreadable)?;
    // An error to its library, which we expect after every downgrade, and say in our own words.
    Ok(filter.add_directive("refinery_core::traits::missing=off".parse().map_err(unreadable)?))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::http::Method;
    use serde_json::Value;

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Two lines of a subscriber: within a request, and after it.
    fn logged(subscriber: impl Subscriber + Send + Sync, lines: &Lines) -> [String; 2] {
        let _here = tracing::subscriber::set_default(subscriber);
        let asked = Asked {
            request_id: "mine".into(),
            method: Method::POST,
            route: "/walker/{name}".into(),
            trace_id: Some("4bf9".into()),
            address: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(author::answer(asked, async { tracing::warn!(count = 2, "it is \"late\"") }));
        tracing::warn!("nobody asked");
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let mut lines = text.lines().map(str::to_owned);
        [(); 2].map(|()| lines.next().unwrap())
    }

    #[test]
    fn a_line_names_the_request_that_it_came_from() {
        let (lines, to) = (Lines::default(), Lines::clone);
        let writer = to(&lines);
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let log = log.fmt_fields(JsonFields::new()).event_format(InRequest(in_json())).finish();
        let [within, after] = logged(log, &lines).map(|line| serde_json::from_str::<Value>(&line).unwrap());
        assert_eq!((&within["message"], &within["count"]), (&json!("it is \"late\""), &json!(2)));
        let span = json!({
            "name": "request", "request_id": "mine", "method": "POST", "route": "/walker/{name}", "trace_id": "4bf9"
        });
        assert_eq!(within["span"], span);
        assert_eq!((&after["message"], &after["span"]), (&json!("nobody asked"), &Value::Null));

        let lines = Lines::default();
        let writer = to(&lines);
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let [within, after] = logged(log.event_format(InRequest(pretty(false))).finish(), &lines);
        let end = r#"it is "late" count=2 request_id="mine" method=POST route="/walker/{name}" trace_id="4bf9""#;
        assert!(within.ends_with(end), "{within}");
        assert!(after.ends_with("nobody asked"), "{after}");
    }

    #[test]
    fn filters_are_checked() {
        for good in ["info", "warn,walker_server=debug", "off", ""] {
            assert!(filter(good).is_ok(), "{good:?}");
        }
        let error = filter("walker_server=loud").unwrap_err();
        assert!(error.to_string().contains("walker_server=loud"), "{error}");
    }
}
