//! Compiled modules on disk, authenticated before they may be loaded.
//!
//! Knows nothing of how they are compiled. Reading and writing block the calling thread.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{Artifact, engine::hex};

/// A file begins with its authentication tag.
const TAG_BYTES: usize = 32;
/// What our own temporary files end in; anything else in the folder is left alone.
const TEMPORARY: &str = "new";

/// Compiled modules on disk, each named by its `.wasm`'s digest, in a folder named by the engine's fingerprint.
#[derive(Clone)]
pub struct ArtifactCache {
    folder: PathBuf,
    key: [u8; 32],
    fingerprint: String,
}

impl ArtifactCache {
    /// Opens the cache in `folder`, making it where it is missing.
    ///
    /// `key` must be secret: whoever knows it can make this host run native code.
    ///
    /// # Errors
    /// When the folder cannot be made or not be read.
    pub fn open(folder: &Path, key: [u8; 32], fingerprint: &str) -> io::Result<Self> {
        let folder = folder.join(fingerprint);
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == TEMPORARY) {
                // Left by a host that died while writing; another host's live file would only be written again.
                let _ = fs::remove_file(path);
            }
        }
        Ok(Self { folder, key, fingerprint: fingerprint.to_owned() })
    }

    /// The compiled module of the `.wasm` with this digest. A file that is not what this host wrote is removed.
    pub fn get(&self, sha256: &[u8; 32]) -> Option<Artifact> {
        let path = self.path(sha256);
        let bytes = match fs::read(&path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), "cannot read the compiled module {}: {error}", path.display());
                return None;
            }
        };
        let authentic = bytes.split_at_checked(TAG_BYTES).is_some_and(|(tag, content)| {
            // Compared in constant time.
            self.tag(sha256, content).verify_slice(tag).is_ok()
        });
        if !authentic {
            tracing::warn!(
                path = %path.display(),
                "the compiled module {} is not what this host wrote; it is removed and will be compiled again",
                path.display()
            );
            let _ = fs::remove_file(&path);
            return None;
        }
        Some(Artifact::trusted(bytes.slice(TAG_BYTES..)))
    }

    /// Keeps a compiled module. Readers see all of it or nothing.
    ///
    /// # Errors
    /// When it cannot be written; the cache is as before then.
    pub fn put(&self, sha256: &[u8; 32], artifact: &Artifact) -> io::Result<()> {
        let path = self.path(sha256);
        let temporary = self.folder.join(format!("{}.{}.{TEMPORARY}", hex(sha256), std::process::id()));
        let written = (|| {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&self.tag(sha256, artifact.bytes()).finalize().into_bytes())?;
            file.write_all(artifact.bytes())?;
            // A file cut short by a power failure is found by its tag, so that no sync is needed.
            fs::rename(&temporary, &path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn path(&self, sha256: &[u8; 32]) -> PathBuf {
        self.folder.join(hex(sha256))
    }

    fn tag(&self, sha256: &[u8; 32], content: &[u8]) -> Hmac<Sha256> {
        let mut tag = Hmac::<Sha256>::new_from_slice(&self.key).expect("every length of key is taken");
        // The fingerprint's length keeps it apart from the digest, which has a length of its own.
        tag.update(&(self.fingerprint.len() as u64).to_le_bytes());
        tag.update(self.fingerprint.as_bytes());
        tag.update(sha256);
        tag.update(content);
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: [u8; 32] = [7; 32];

    fn artifact() -> Artifact {
        Artifact::trusted(Artifact::join(&[1..5, 6..9], b"native code"))
    }

    fn cache(folder: &Path, key: u8, fingerprint: &str) -> ArtifactCache {
        ArtifactCache::open(folder, [key; 32], fingerprint).unwrap()
    }

    #[test]
    fn gives_back_what_was_put() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1, "engine");
        assert!(cache.get(&DIGEST).is_none());
        cache.put(&DIGEST, &artifact()).unwrap();
        assert_eq!(cache.get(&DIGEST).unwrap().bytes(), artifact().bytes());
        let names: Vec<_> = fs::read_dir(folder.path().join("engine")).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file stays");
    }

    #[test]
    fn refuses_and_removes_what_it_did_not_write() {
        type Tamper = fn(&ArtifactCache);
        let check = |what: &str, tamper: Tamper| {
            let folder = tempfile::tempdir().unwrap();
            let cache = cache(folder.path(), 1, "engine");
            cache.put(&DIGEST, &artifact()).unwrap();
            tamper(&cache);
            assert!(cache.get(&DIGEST).is_none(), "{what}");
            assert!(!cache.path(&DIGEST).exists(), "{what}: removed");
        };
        check("a flipped bit", |cache| {
            let mut bytes = fs::read(cache.path(&DIGEST)).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(cache.path(&DIGEST), bytes).unwrap();
        });
        check("cut short", |cache| {
            let bytes = fs::read(cache.path(&DIGEST)).unwrap();
            fs::write(cache.path(&DIGEST), &bytes[..bytes.len() - 1]).unwrap();
        });
        check("empty", |cache| fs::write(cache.path(&DIGEST), []).unwrap());
        check("another module's", |cache| {
            cache.put(&[8; 32], &artifact()).unwrap();
            fs::rename(cache.path(&[8; 32]), cache.path(&DIGEST)).unwrap();
        });
        check("another key", |cache| {
            let other = ArtifactCache { key: [2; 32], ..cache.clone() };
            other.put(&DIGEST, &artifact()).unwrap();
        });
        check("another engine", |cache| {
            let other = ArtifactCache { fingerprint: "other".into(), ..cache.clone() };
            other.put(&DIGEST, &artifact()).unwrap();
        });
    }
}
