//! The secret that tells this host's own compiled modules from anybody else's.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Error;

const FILE: &str = "compiled.key";

/// Reads the key of this data directory, or makes one. Without it, what was compiled before is compiled again.
pub(super) fn load(data_dir: &Path) -> Result<[u8; 32], Error> {
    let path = data_dir.join(FILE);
    let fail = |what, source| Error::File { what, path: path.clone(), source };
    match std::fs::read(&path) {
        Ok(bytes) => {
            if let Ok(key) = bytes.try_into() {
                return Ok(key);
            }
            tracing::warn!("{} is damaged; making a new key", path.display());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail("read", error)),
    }
    let key: [u8; 32] = rand::random();
    let partial = path.with_extension("partial");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(&key)?;
        file.sync_all()?;
        std::fs::rename(&partial, &path)
    };
    write().map_err(|error| fail("write", error))?;
    Ok(key)
}
