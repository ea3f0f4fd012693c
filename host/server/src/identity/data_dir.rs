//! The secrets that the host keeps for its operator and the command line, as files in the data directory.
//!
//! Does not know whether they are valid.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Holds the operator's token that the host made, and nothing else.
pub const OPERATOR_TOKEN_FILE: &str = "operator-token";

/// Tells the command line where the host is and who it may be.
const CLIENT_FILE: &str = "client.json";

#[derive(Serialize, Deserialize)]
struct Client {
    /// Empty until a host has listened.
    #[serde(default)]
    url: String,
    token: String,
}

/// Tells the command line where the host listens and with which key to call it.
///
/// # Errors
/// When the file cannot be written.
pub fn write_client(data_dir: &Path, url: &str, key: &str) -> io::Result<()> {
    let client = Client { url: url.to_owned(), token: key.to_owned() };
    let text = serde_json::to_vec_pretty(&client).expect("two texts serialise");
    replace(data_dir, CLIENT_FILE, &text)
}

/// Keeps a key for the command line; where the host listens stays as it was.
pub(super) fn write_key(data_dir: &Path, key: &str) -> io::Result<()> {
    let url = read_client(data_dir)?.map(|client| client.url).unwrap_or_default();
    write_client(data_dir, &url, key)
}

/// The key kept for the command line, if there is one.
pub(super) fn read_key(data_dir: &Path) -> io::Result<Option<String>> {
    Ok(read_client(data_dir)?.map(|client| client.token))
}

/// Keeps the operator's token.
pub(super) fn write_operator_token(data_dir: &Path, token: &str) -> io::Result<()> {
    replace(data_dir, OPERATOR_TOKEN_FILE, format!("{token}\n").as_bytes())
}

/// The operator's token that was kept, if there is one.
pub(super) fn read_operator_token(data_dir: &Path) -> io::Result<Option<String>> {
    Ok(read(data_dir, OPERATOR_TOKEN_FILE)?.map(|text| text.trim().to_owned()).filter(|token| !token.is_empty()))
}

fn read_client(data_dir: &Path) -> io::Result<Option<Client>> {
    // A file that somebody spoiled is as good as none.
    Ok(read(data_dir, CLIENT_FILE)?.and_then(|text| serde_json::from_str(&text).ok()))
}

fn read(data_dir: &Path, name: &str) -> io::Result<Option<String>> {
    match fs::read(data_dir.join(name)) {
        Ok(bytes) => Ok(String::from_utf8(bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file that only its owner may read, so that a reader sees the old or the new content and nothing between.
fn replace(data_dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    // Hosts that share the directory must not write the same draft.
    let draft = data_dir.join(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, data_dir.join(name))
    })();
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keeps_secrets_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new");
        assert_eq!(read_key(&data).unwrap(), None);
        write_key(&data, "wk_1").unwrap();
        write_client(&data, "http://127.0.0.1:1", "wk_1").unwrap();
        write_key(&data, "wk_2").unwrap();
        write_operator_token(&data, "wo_1").unwrap();
        let client: serde_json::Value = serde_json::from_slice(&fs::read(data.join("client.json")).unwrap()).unwrap();
        assert_eq!(client, serde_json::json!({"url": "http://127.0.0.1:1", "token": "wk_2"}));
        assert_eq!(read_operator_token(&data).unwrap().as_deref(), Some("wo_1"));
        for name in ["client.json", "operator-token"] {
            assert_eq!(fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 2, "no drafts are left");
    }

    #[test]
    fn a_spoiled_file_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("client.json"), "{").unwrap();
        fs::write(dir.path().join("operator-token"), "\n").unwrap();
        assert_eq!(read_key(dir.path()).unwrap(), None);
        assert_eq!(read_operator_token(dir.path()).unwrap(), None);
    }
}
