//! Compiled modules on disk, authenticated before they may be loaded.
//!
//! Knows nothing of how they are compiled. Reading and writing block the calling thread.

mod room;

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::fs::OFlags;
use sha2::Sha256;

use crate::artifact::{Pieces, Shape};
use crate::{Artifact, engine::hex};

/// A file ends with its authentication tag.
const TAG_BYTES: u64 = 32;
/// Before it, the length of the shape's text.
const LENGTH_BYTES: u64 = 8;
/// Read and written at once: few calls, and no memory to speak of.
const PIECE_BYTES: usize = 256 << 10;
/// The longest shape that is believed: of more core modules than any component may have.
const MAX_SHAPE_BYTES: u64 = 1 << 20;
/// What our own temporary files end in; anything else in the folder is left alone.
const TEMPORARY: &str = "new";

/// Compiled modules on disk, each named by its `.wasm`'s digest, in a folder named by the engine's fingerprint.
///
/// A file holds the native code, its shape (JSON), that text's length, and an HMAC of all of it. The
/// code comes first so that the file can be mapped as it is. Its time of modification is when it was last used: what was
/// used least recently makes room for what is new. What is mapped stays so when its file goes.
#[derive(Clone)]
pub struct ArtifactCache {
    folder: PathBuf,
    key: [u8; 32],
    fingerprint: String,
    max_bytes: u64,
    /// Held by whoever makes room, until it is filled.
    filling: Arc<Mutex<()>>,
}

impl ArtifactCache {
    /// Opens the cache in `folder`, making it where it is missing. With what hosts of other versions keep there it takes
    /// at most `max_bytes`; several hosts at once may go over that by what they write at the same moment.
    ///
    /// `key` must be secret: whoever knows it can make this host run native code.
    ///
    /// # Errors
    /// When the folder cannot be made or not be read.
    pub fn open(folder: &Path, key: [u8; 32], fingerprint: &str, max_bytes: u64) -> io::Result<Self> {
        let folder = folder.join(fingerprint);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == TEMPORARY) {
                // Left by a host that died while writing; another host's live file would only be written again.
                let _ = fs::remove_file(path);
            }
        }
        let cache = Self { folder, key, fingerprint: fingerprint.to_owned(), max_bytes, filling: Arc::default() };
        // It may have been given more before.
        room::make(&cache.folders()?, 0, max_bytes)?;
        Ok(cache)
    }

    /// The compiled module of the `.wasm` with this digest. A file that is not what this host wrote is removed.
    pub fn get(&self, sha256: &[u8; 32]) -> Option<Artifact> {
        let path = self.path(sha256);
        match self.open_authentic(&path, sha256) {
            Ok(artifact) => Some(artifact),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(
                    path = %path.display(),
                    "the compiled module {} is not what this host wrote ({error}); it is removed and will be compiled \
                     again",
                    path.display()
                );
                let _ = fs::remove_file(&path);
                None
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), "cannot read the compiled module {}: {error}", path.display());
                None
            }
        }
    }

    /// Notes that these are in use, where they are kept: whoever has one mapped does not come to [`ArtifactCache::get`].
    pub fn used(&self, digests: impl IntoIterator<Item = [u8; 32]>) {
        for sha256 in digests {
            // What cannot be noted goes a little earlier than it should.
            let _ = room::touch(&self.path(&sha256));
        }
    }

    /// Keeps a compiled module, unless it is larger than all that may be kept. Readers see all of it or nothing.
    ///
    /// # Errors
    /// When it cannot be written, or no room can be made; of what was kept before some may have gone.
    pub fn put(&self, sha256: &[u8; 32], artifact: &Artifact) -> io::Result<()> {
        let mut end = serde_json::to_vec(artifact.shape())?;
        end.extend((end.len() as u64).to_le_bytes());
        let bytes = artifact.size() + end.len() as u64 + TAG_BYTES;
        if bytes > self.max_bytes {
            tracing::info!(bytes, "a compiled module of {bytes} bytes is not kept: that is more than all may take");
            return Ok(());
        }
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        room::make(&self.folders()?, bytes, self.max_bytes)?;
        let path = self.path(sha256);
        let temporary = self.folder.join(format!("{}.{}.{TEMPORARY}", hex(sha256), std::process::id()));
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            let mut tag = self.tag(sha256);
            feed(artifact.native(), |piece| {
                tag.update(piece);
                file.write_all(piece)
            })?;
            tag.update(&end);
            file.write_all(&end)?;
            file.write_all(&tag.finalize().into_bytes())?;
            // A file cut short by a power failure is found by its tag, so that no sync is needed.
            fs::rename(&temporary, &path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// The digests of all that is kept, also by hosts of other versions.
    ///
    /// # Errors
    /// When the folders cannot be read.
    pub fn digests(&self) -> io::Result<BTreeSet<[u8; 32]>> {
        let mut digests = BTreeSet::new();
        for folder in self.folders()? {
            for entry in fs::read_dir(folder)? {
                digests.extend(entry?.file_name().to_str().and_then(digest));
            }
        }
        Ok(digests)
    }

    /// Removes what is kept of this digest, also by hosts of other versions. Who needs it after all compiles it again.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, sha256: &[u8; 32]) -> io::Result<()> {
        for folder in self.folders()? {
            match fs::remove_file(folder.join(hex(sha256))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// One for each engine that hosts of this data directory ever had.
    fn folders(&self) -> io::Result<Vec<PathBuf>> {
        let all = self.folder.parent().unwrap_or(&self.folder);
        let mut folders = Vec::new();
        for entry in fs::read_dir(all)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        Ok(folders)
    }

    /// What is checked is what will be mapped: one open file, which nobody but this user can write to.
    fn open_authentic(&self, path: &Path, sha256: &[u8; 32]) -> io::Result<Artifact> {
        let strange = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let no_link = OFlags::NOFOLLOW.bits() as i32;
        let file = OpenOptions::new().read(true).custom_flags(no_link).open(path).map_err(|error| {
            if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
                strange("it is a link")
            } else {
                error
            }
        })?;
        let about = file.metadata()?;
        if !about.is_file() || about.uid() != rustix::process::geteuid().as_raw() || about.mode() & 0o022 != 0 {
            return Err(strange("others may write to it"));
        }
        let cut_short = || strange("it is cut short");
        let content = about.len().checked_sub(TAG_BYTES).ok_or_else(cut_short)?;
        let mut tag = self.tag(sha256);
        feed(Pieces::of(&file, 0..content), |piece| {
            tag.update(piece);
            Ok(())
        })?;
        let mut kept = [0; TAG_BYTES as usize];
        Pieces::of(&file, content..about.len()).read_exact(&mut kept)?;
        // Compared in constant time.
        tag.verify_slice(&kept).map_err(|_| strange("its authentication tag is wrong"))?;

        let lengths_at = content.checked_sub(LENGTH_BYTES).ok_or_else(cut_short)?;
        let mut length = [0; LENGTH_BYTES as usize];
        Pieces::of(&file, lengths_at..content).read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        let native_bytes =
            lengths_at.checked_sub(length).filter(|_| length <= MAX_SHAPE_BYTES).ok_or_else(cut_short)?;
        let mut text = vec![0; length as usize];
        Pieces::of(&file, native_bytes..lengths_at).read_exact(&mut text)?;
        let shape: Shape = serde_json::from_slice(&text).map_err(|_| strange("its shape is unreadable"))?;
        // What cannot be noted goes a little earlier than it should.
        let _ = file.set_modified(SystemTime::now());
        Ok(Artifact::trusted(file, native_bytes, shape))
    }

    fn path(&self, sha256: &[u8; 32]) -> PathBuf {
        self.folder.join(hex(sha256))
    }

    /// A tag that knows whose code follows.
    fn tag(&self, sha256: &[u8; 32]) -> Hmac<Sha256> {
        let mut tag = Hmac::<Sha256>::new_from_slice(&self.key).expect("every length of key is taken");
        // The fingerprint's length keeps it apart from the digest, which has a length of its own.
        tag.update(&(self.fingerprint.len() as u64).to_le_bytes());
        tag.update(self.fingerprint.as_bytes());
        tag.update(sha256);
        tag
    }
}

/// The digest that a file is named by.
fn digest(name: &str) -> Option<[u8; 32]> {
    let digits = name.as_bytes().as_chunks::<2>();
    let (pairs, []) = digits else { return None };
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect();
    bytes?.try_into().ok()
}

/// Gives all that can be read to `each`, a piece at a time.
fn feed(mut from: Pieces<'_>, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        each(&piece[..read])?;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const DIGEST: [u8; 32] = [7; 32];

    fn shape() -> Shape {
        Shape { layout: vec![1..5, 6..9], core_instances: 2 }
    }

    fn artifact() -> Artifact {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"native code").unwrap();
        Artifact::trusted(file, 11, shape())
    }

    fn cache(folder: &Path, key: u8, fingerprint: &str) -> ArtifactCache {
        ArtifactCache::open(folder, [key; 32], fingerprint, 1 << 20).unwrap()
    }

    #[test]
    fn gives_back_what_was_put() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1, "engine");
        assert!(cache.get(&DIGEST).is_none());
        cache.put(&DIGEST, &artifact()).unwrap();
        let kept = cache.get(&DIGEST).unwrap();
        let mut native = String::new();
        kept.native().read_to_string(&mut native).unwrap();
        assert_eq!((native.as_str(), kept.shape()), ("native code", &shape()));
        let names: Vec<_> = fs::read_dir(folder.path().join("engine")).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file stays");
    }

    #[test]
    fn lets_go_of_what_every_version_keeps() {
        let folder = tempfile::tempdir().unwrap();
        let (mine, other) = (cache(folder.path(), 1, "engine"), cache(folder.path(), 1, "older engine"));
        for cache in [&mine, &other] {
            cache.put(&DIGEST, &artifact()).unwrap();
            cache.put(&[8; 32], &artifact()).unwrap();
        }
        fs::write(folder.path().join("engine/notes"), "not ours").unwrap();
        assert_eq!(mine.digests().unwrap(), [DIGEST, [8; 32]].into());
        mine.remove(&DIGEST).unwrap();
        mine.remove(&DIGEST).unwrap();
        assert!(mine.get(&DIGEST).is_none() && other.get(&DIGEST).is_none());
        assert!(mine.get(&[8; 32]).is_some() && folder.path().join("engine/notes").exists());
    }

    #[test]
    fn what_was_used_least_recently_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let digests: Vec<[u8; 32]> = (1..=6).map(|name| [name; 32]).collect();
        let roomy = cache(folder.path(), 1, "engine");
        roomy.put(&digests[0], &artifact()).unwrap();
        let each = fs::metadata(roomy.path(&digests[0])).unwrap().len();
        fs::write(folder.path().join("engine/notes"), vec![0; 10_000]).unwrap();

        let open =
            |fingerprint: &str, max_bytes| ArtifactCache::open(folder.path(), [1; 32], fingerprint, max_bytes).unwrap();
        let (old, mine) = (open("older engine", 4 * each), open("engine", 4 * each));
        old.put(&digests[1], &artifact()).unwrap();
        mine.put(&digests[2], &artifact()).unwrap();
        mine.put(&digests[3], &artifact()).unwrap();
        // As if they had been used one after another, long ago.
        for (at, path) in
            [mine.path(&digests[0]), old.path(&digests[1]), mine.path(&digests[2]), mine.path(&digests[3])]
                .iter()
                .enumerate()
        {
            let file = fs::File::open(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(at as u64)).unwrap();
        }
        let left = || mine.digests().unwrap().into_iter().map(|digest| digest[0]).collect::<Vec<u8>>();
        // A hit is a use, and so is having it mapped.
        let mapped = mine.get(&digests[0]).unwrap();
        mine.used([digests[2], [99; 32]]);
        mine.put(&digests[4], &artifact()).unwrap();
        assert_eq!(left(), [1, 3, 4, 5], "another version's goes, too");
        mine.put(&digests[5], &artifact()).unwrap();
        assert_eq!(left(), [1, 3, 5, 6]);
        // What is larger than everything takes nothing from the others.
        open("engine", 4 * each)
            .put(&digests[1], &{
                let file = tempfile::tempfile().unwrap();
                file.set_len(4 * each).unwrap();
                Artifact::trusted(file, 4 * each, shape())
            })
            .unwrap();
        assert_eq!(left(), [1, 3, 5, 6]);
        // Given less room, it takes less at the next start; what is mapped stays.
        assert_eq!(open("engine", each - 1).digests().unwrap(), BTreeSet::new());
        let mut native = String::new();
        mapped.native().read_to_string(&mut native).unwrap();
        assert_eq!(native, "native code");
        assert!(folder.path().join("engine/notes").exists());
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
            assert!(!cache.path(&DIGEST).is_symlink() && !cache.path(&DIGEST).exists(), "{what}: removed");
        };
        check("a flipped bit", |cache| {
            let mut bytes = fs::read(cache.path(&DIGEST)).unwrap();
            bytes[0] ^= 1;
            fs::write(cache.path(&DIGEST), bytes).unwrap();
        });
        check("a flipped bit of the tag", |cache| {
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
        check("writable by others", |cache| {
            fs::set_permissions(cache.path(&DIGEST), fs::Permissions::from_mode(0o622)).unwrap();
        });
        check("a link", |cache| {
            let elsewhere = cache.folder.join("elsewhere");
            fs::rename(cache.path(&DIGEST), &elsewhere).unwrap();
            symlink(elsewhere, cache.path(&DIGEST)).unwrap();
        });
    }
}
