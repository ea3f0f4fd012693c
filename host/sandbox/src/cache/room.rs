//! Room on the disk for compiled modules: what was used least recently goes.
//!
//! Knows nothing of what they hold. All that is known of their use stands in their files' times, so that hosts that share the
//! folders see each other's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};

use super::digest;

/// Removes of what is kept in `folders` so much that `bytes` more make at most `max_bytes`.
///
/// # Errors
/// When the folders cannot be read, or something cannot be removed.
pub(super) fn make(folders: &[PathBuf], bytes: u64, max_bytes: u64) -> io::Result<()> {
    let mut kept = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_str().and_then(digest).is_none() {
                continue;
            }
            match entry.metadata() {
                Ok(about) => kept.push((about.modified()?, about.len(), entry.path())),
                // Another host was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    let mut total = kept.iter().map(|(_, bytes, _)| bytes).sum::<u64>().saturating_add(bytes);
    if total <= max_bytes {
        return Ok(());
    }
    kept.sort_unstable();
    let before = kept.len();
    let mut removed = 0;
    for (_, bytes, path) in kept {
        if total <= max_bytes {
            break;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (total, removed) = (total - bytes, removed + 1),
        }
    }
    tracing::debug!(removed, "let go of {removed} of {before} compiled modules, those used least recently");
    Ok(())
}

/// Notes that a file is used now.
///
/// # Errors
/// When that cannot be noted, as where there is none.
pub(super) fn touch(path: &Path) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
