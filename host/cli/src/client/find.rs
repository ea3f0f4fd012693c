//! Which host, and with which token: flags, environment, or the file that a serving host leaves in its data directory.
//!
//! Knows nothing of HTTP.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use ureq::http::Uri;

use crate::args::Global;

/// Where a host that serves from a folder writes how to reach it.
const FILE: &str = ".walker/client.json";

/// Where to go, and as whom.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Found {
    pub(super) url: String,
    pub(super) token: Option<String>,
}

pub(super) fn find(global: &Global) -> Result<Found> {
    let here = env::current_dir().context("could not find the current folder")?;
    choose(global.url.as_deref(), global.token.as_deref(), upwards(&here)?)
}

/// What was given counts; a token from a file goes only to the host of that file.
fn choose(url: Option<&str>, token: Option<&str>, file: Option<Found>) -> Result<Found> {
    let trimmed = |url: &str| url.trim_end_matches('/').to_owned();
    let (url, known) = match (url, file) {
        (Some(url), Some(file)) if trimmed(url) == trimmed(&file.url) => (trimmed(url), file.token),
        (Some(url), _) => (trimmed(url), None),
        (None, Some(file)) => (trimmed(&file.url), file.token),
        (None, None) => bail!(
            "no host is known: start `walker serve` in this folder or one above it, or name a host with --url and --token"
        ),
    };
    Ok(Found { url, token: token.map(str::to_owned).or(known) })
}

fn upwards(from: &Path) -> Result<Option<Found>> {
    for folder in from.ancestors() {
        let path = folder.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let found = serde_json::from_str(&text);
                return found.map(Some).with_context(|| format!("{} is damaged", path.display()));
            }
            // Also somebody else's, which we may not read: look further up.
            Err(_) => continue,
        }
    }
    Ok(None)
}

/// Whether the host is on this machine.
pub(super) fn is_here(uri: &Uri) -> bool {
    uri.host().is_some_and(|host| host == "localhost" || host == "[::1]" || host.starts_with("127."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Option<Found> {
        Some(Found { url: "http://127.0.0.1:8000".into(), token: Some("wk_file".into()) })
    }

    #[test]
    fn the_files_token_stays_with_its_host() {
        let check = |url: Option<&str>, token: Option<&str>, expect: (&str, Option<&str>)| {
            let found = choose(url, token, file()).unwrap();
            assert_eq!((found.url.as_str(), found.token.as_deref()), expect, "{url:?} {token:?}");
        };
        check(None, None, ("http://127.0.0.1:8000", Some("wk_file")));
        check(None, Some("wk_mine"), ("http://127.0.0.1:8000", Some("wk_mine")));
        check(Some("http://127.0.0.1:8000/"), None, ("http://127.0.0.1:8000", Some("wk_file")));
        check(Some("http://elsewhere"), None, ("http://elsewhere", None));
        check(Some("http://elsewhere"), Some("wk_mine"), ("http://elsewhere", Some("wk_mine")));
    }

    #[test]
    fn without_anything_it_says_what_to_do() {
        let error = choose(None, Some("wk_mine"), None).unwrap_err();
        assert!(error.to_string().contains("walker serve"), "{error}");
    }

    #[test]
    fn looks_upwards() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir(root.path().join("a/.walker")).unwrap();
        fs::write(root.path().join("a").join(FILE), r#"{"url": "http://127.0.0.1:1", "token": "t"}"#).unwrap();
        let found = upwards(&deep).unwrap().unwrap();
        assert_eq!((found.url.as_str(), found.token.as_deref()), ("http://127.0.0.1:1", Some("t")));
        fs::write(root.path().join("a").join(FILE), "{").unwrap();
        assert!(upwards(&deep).unwrap_err().to_string().contains("damaged"));
    }
}
