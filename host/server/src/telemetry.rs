//! What the host says about itself, on stderr.
//!
//! Knows nothing of walkers' own output: that goes to Postgres.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

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
        LogFormat::Pretty => log.compact().with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    }
    .map_err(|error| Error::Installed(error.to_string()))
}

/// Reads a filter such as `info,walker_server=debug`.
pub(crate) fn filter(text: &str) -> Result<EnvFilter, Error> {
    EnvFilter::builder().parse(text).map_err(|source| Error::Filter { filter: text.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        for good in ["info", "warn,walker_server=debug", "off", ""] {
            assert!(filter(good).is_ok(), "{good:?}");
        }
        let error = filter("walker_server=loud").unwrap_err();
        assert!(error.to_string().contains("walker_server=loud"), "{error}");
    }
}
