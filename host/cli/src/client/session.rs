//! The session that somebody logged in with, kept for later commands in a file that only its owner may read.
//!
//! Knows nothing of HTTP.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Beside what a serving host writes.
const FILE: &str = "session.json";

/// A session and its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// `None`: the host that serves from this folder, wherever it listens.
    pub(crate) url: Option<String>,
    pub(crate) token: String,
}

impl Session {
    /// The one kept in `folder`, if there is one and we may read it.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        serde_json::from_str(&text).map(Some).with_context(|| format!("{} is damaged; log in again", path.display()))
    }

    /// Keeps it in `folder`, in the place of any other.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let written = (|| {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            // Made for its owner alone, and put in place whole.
            let mut draft = tempfile::NamedTempFile::new_in(folder)?;
            draft.write_all(&serde_json::to_vec_pretty(self)?)?;
            draft.persist(folder.join(FILE))?;
            Ok::<_, io::Error>(())
        })();
        written.with_context(|| format!("could not keep the session in {}", folder.display()))
    }

    /// Forgets the one kept in `folder`.
    pub(super) fn remove(folder: &Path) -> Result<()> {
        match fs::remove_file(folder.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("could not remove the session from {}", folder.display()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_session_is_its_owners_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(".walker");
        assert_eq!(Session::read(&folder).unwrap(), None);
        for token in ["ws_1", "ws_2"] {
            let session = Session { url: None, token: token.to_owned() };
            session.write(&folder).unwrap();
            assert_eq!(Session::read(&folder).unwrap(), Some(session));
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(FILE))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no drafts are left");
        Session::remove(&folder).unwrap();
        Session::remove(&folder).unwrap();
        assert_eq!(Session::read(&folder).unwrap(), None);
    }
}
