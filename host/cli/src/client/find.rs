//! Which host, and with which token: flags, environment, or the files that a serving host and a login leave in `.walker`.
//!
//! Knows nothing of HTTP.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use ureq::http::Uri;

use super::session::Session;
use crate::args::Global;
use crate::secret;

/// The folder where a host keeps its data, and a login its session.
const FOLDER: &str = ".walker";
/// In it, where a host that serves writes how to reach it.
const CLIENT: &str = "client.json";
/// In it, the operator's token that the first start made.
const OPERATOR_TOKEN: &str = "operator-token";

/// Whose token is wanted, where none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// Whoever logged in, else the key that the host made for its folder.
    Anybody,
    /// The operator of the host that serves from this folder.
    Operator,
    /// Nobody: the call is to be made without a token.
    Nobody,
}

/// Where to go, and as whom.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) url: String,
    pub(super) token: Option<String>,
    /// Where a session with this host belongs.
    pub(super) home: PathBuf,
    /// Whether it is the host that serves from there.
    pub(super) is_of_home: bool,
}

/// How to reach the host that serves from a folder.
#[derive(Debug, Deserialize)]
struct Served {
    url: String,
    token: Option<String>,
}

/// What the nearest `.walker` knows.
#[derive(Debug)]
struct Home {
    folder: PathBuf,
    served: Option<Served>,
    session: Option<Session>,
}

pub(super) fn find(global: &Global, whose: As) -> Result<Found> {
    let here = env::current_dir().context("could not find the current folder")?;
    let token = match (&global.token_file, &global.token) {
        (Some(path), _) => Some(secret::of_file(path)?.trim().to_owned()),
        (None, token) => token.clone(),
    };
    choose(global.url.as_deref(), token, whose, upwards(&here)?, &here)
}

/// What was given counts; a token from a file goes only to the host of that file.
fn choose(url: Option<&str>, token: Option<String>, whose: As, home: Option<Home>, here: &Path) -> Result<Found> {
    let home = home.unwrap_or_else(|| Home { folder: here.join(FOLDER), served: None, session: None });
    let trimmed = |url: &str| url.trim_end_matches('/').to_owned();
    let served = home.served.as_ref().map(|served| trimmed(&served.url));
    let logged_in = home.session.as_ref().and_then(|session| session.url.as_deref().map(trimmed).or(served.clone()));
    // Whoever logged in elsewhere means that host, but for the operator's token, which is of the host here.
    let known = if whose == As::Operator { served.clone() } else { logged_in.clone().or(served.clone()) };
    let Some(url) = url.map(trimmed).or(known) else {
        bail!(
            "no host is known: start `walker serve` in this folder or one above it, or name a host with --url and --token-file"
        )
    };
    let is_of_home = served.as_ref() == Some(&url);
    let known = match whose {
        As::Nobody => return Ok(Found { url, token: None, home: home.folder, is_of_home }),
        As::Operator if is_of_home => fs::read_to_string(home.folder.join(OPERATOR_TOKEN)).ok(),
        As::Operator => None,
        As::Anybody if logged_in.as_ref() == Some(&url) => home.session.map(|session| session.token),
        As::Anybody if is_of_home => home.served.and_then(|served| served.token),
        As::Anybody => None,
    };
    let token = token.or(known.map(|token| token.trim().to_owned()));
    Ok(Found { url, token, home: home.folder, is_of_home })
}

fn upwards(from: &Path) -> Result<Option<Home>> {
    for folder in from.ancestors().map(|folder| folder.join(FOLDER)) {
        let path = folder.join(CLIENT);
        // One that is somebody else's, which we may not read, is passed over.
        let served = match fs::read_to_string(&path) {
            Ok(text) => {
                let served = serde_json::from_str(&text);
                Some(served.with_context(|| format!("{} is damaged", path.display()))?)
            }
            Err(_) => None,
        };
        let session = Session::read(&folder)?;
        if served.is_some() || session.is_some() {
            return Ok(Some(Home { folder, served, session }));
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

    const HERE: &str = "http://127.0.0.1:8000";

    fn home(session: Option<Option<&str>>) -> Option<Home> {
        let served = Served { url: HERE.into(), token: Some("wk_file".into()) };
        let session = session.map(|url| Session { url: url.map(str::to_owned), token: "ws_file".into() });
        Some(Home { folder: ".walker".into(), served: Some(served), session })
    }

    fn chosen(url: Option<&str>, token: Option<&str>, whose: As, home: Option<Home>) -> (String, Option<String>) {
        let found = choose(url, token.map(str::to_owned), whose, home, Path::new("/")).unwrap();
        (found.url, found.token)
    }

    #[test]
    fn a_files_token_stays_with_its_host() {
        let check = |url: Option<&str>, token: Option<&str>, session, expect: (&str, Option<&str>)| {
            let (url_, token_) = chosen(url, token, As::Anybody, home(session));
            assert_eq!((url_.as_str(), token_.as_deref()), expect, "{url:?} {token:?} {session:?}");
        };
        let there = "https://elsewhere";
        check(None, None, None, (HERE, Some("wk_file")));
        check(None, Some("wk_mine"), None, (HERE, Some("wk_mine")));
        check(Some("http://127.0.0.1:8000/"), None, None, (HERE, Some("wk_file")));
        check(Some(there), None, None, (there, None));
        check(Some(there), Some("wk_mine"), None, (there, Some("wk_mine")));
        // Logged in to the host that serves here.
        check(None, None, Some(None), (HERE, Some("ws_file")));
        check(None, Some("wk_mine"), Some(None), (HERE, Some("wk_mine")));
        check(Some(there), None, Some(None), (there, None));
        // Logged in elsewhere.
        check(None, None, Some(Some("https://elsewhere/")), (there, Some("ws_file")));
        check(Some(there), None, Some(Some(there)), (there, Some("ws_file")));
        check(Some(HERE), None, Some(Some(there)), (HERE, Some("wk_file")));
        check(Some("https://third"), None, Some(Some(there)), ("https://third", None));
    }

    #[test]
    fn the_operators_token_is_of_the_host_that_serves_here() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(OPERATOR_TOKEN), "wo_file\n").unwrap();
        let home = |session| home(session).map(|home| Home { folder: root.path().to_owned(), ..home });
        let there = Some(Some("https://elsewhere"));
        let of_file = (HERE.to_owned(), Some("wo_file".to_owned()));
        assert_eq!(chosen(None, None, As::Operator, home(None)), of_file);
        assert_eq!(chosen(None, None, As::Operator, home(there)), of_file);
        assert_eq!(chosen(None, Some("wo_mine"), As::Operator, home(None)).1.as_deref(), Some("wo_mine"));
        assert_eq!(chosen(Some("https://elsewhere"), None, As::Operator, home(there)).1, None);
        assert_eq!(chosen(None, Some("wk_mine"), As::Nobody, home(there)).1, None);
    }

    #[test]
    fn without_anything_it_says_what_to_do() {
        let error = choose(None, Some("wk_mine".into()), As::Anybody, None, Path::new("/")).unwrap_err();
        assert!(error.to_string().contains("walker serve"), "{error}");
        // A session with the host here, which is gone.
        let gone = home(Some(None)).map(|home| Home { served: None, ..home });
        assert!(choose(None, None, As::Anybody, gone, Path::new("/")).is_err());
    }

    #[test]
    fn looks_upwards() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        fs::create_dir_all(&deep).unwrap();
        let data = root.path().join("a").join(FOLDER);
        fs::create_dir(&data).unwrap();
        fs::write(data.join(CLIENT), r#"{"url": "http://127.0.0.1:1", "token": "t"}"#).unwrap();
        let found = upwards(&deep).unwrap().unwrap();
        assert_eq!(
            (found.folder.as_path(), found.served.unwrap().url.as_str()),
            (data.as_path(), "http://127.0.0.1:1")
        );
        // The nearest counts, also where nobody serves.
        let session = Session { url: Some("https://elsewhere".into()), token: "s".into() };
        session.write(&deep.join(FOLDER)).unwrap();
        let found = upwards(&deep).unwrap().unwrap();
        assert!(found.served.is_none() && found.session == Some(session));
        fs::write(data.join(CLIENT), "{").unwrap();
        assert!(upwards(&root.path().join("a/b")).unwrap_err().to_string().contains("damaged"));
    }
}
