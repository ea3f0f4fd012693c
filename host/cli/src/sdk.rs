//! The SDK's sources, carried in this program, because no registry has them.
//!
//! Knows nothing of the projects that use them.

use std::env;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use include_dir::{Dir, DirEntry, include_dir};

static MANIFEST: &str = include_str!("../../../guest-sdk/Cargo.toml");
static FOLDERS: [(&str, Dir<'static>); 3] = [
    ("src", include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk/src")),
    ("macros", include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk/macros")),
    ("wit", include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk/wit")),
];

/// Puts the sources where the user's projects can depend on them, and says where. Cheap when they are there.
pub(crate) fn install() -> Result<PathBuf> {
    let files = files();
    let folder = match env::var_os("WALKER_SDK_DIR") {
        Some(folder) => std::path::absolute(folder)?,
        None => data_folder()?.join(format!("sdk-{}-{}", env!("CARGO_PKG_VERSION"), hash(&files))),
    };
    for (name, contents) in &files {
        put(&folder.join(name), contents)?;
    }
    Ok(folder)
}

fn data_folder() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    Ok(data
        .context("neither HOME nor XDG_DATA_HOME is set: say with WALKER_SDK_DIR where to put the SDK")?
        .join("walker"))
}

/// Path and contents of each file, in a fixed order.
fn files() -> Vec<(PathBuf, &'static [u8])> {
    let mut files = vec![(PathBuf::from("Cargo.toml"), MANIFEST.as_bytes())];
    for (name, folder) in &FOLDERS {
        collect(Path::new(name), folder, &mut files);
    }
    files.sort();
    files
}

fn collect(below: &Path, folder: &'static Dir<'static>, files: &mut Vec<(PathBuf, &'static [u8])>) {
    for entry in folder.entries() {
        match entry {
            DirEntry::File(file) => files.push((below.join(file.path()), file.contents())),
            DirEntry::Dir(folder) => collect(below, folder, files),
        }
    }
}

/// FNV-1a: names a set of sources; guards against nothing.
fn hash(files: &[(PathBuf, &[u8])]) -> String {
    let bytes = files.iter().flat_map(|(name, contents)| [name.as_os_str().as_encoded_bytes(), &[0], contents, &[0]]);
    let hash = bytes
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}

/// Writes a file unless it is there already; never half of it, also when two of us do it at once.
fn put(path: &Path, contents: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|present| present == contents) {
        return Ok(());
    }
    let folder = path.parent().context("a file has a folder")?;
    let write = || -> Result<()> {
        fs::create_dir_all(folder)?;
        let everyone = Permissions::from_mode(0o666);
        let mut new = tempfile::Builder::new().permissions(everyone).tempfile_in(folder)?;
        new.write_all(contents)?;
        new.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_what_a_project_needs() {
        let files = files();
        for wanted in ["Cargo.toml", "src/lib.rs", "macros/Cargo.toml", "macros/src/lib.rs", "wit/walker.wit"] {
            assert!(files.iter().any(|(name, _)| name == Path::new(wanted)), "{wanted}");
        }
        assert!(files.iter().all(|(name, _)| !name.starts_with("macros/target")));
    }

    #[test]
    fn another_source_is_another_name() {
        let (name, other) = (PathBuf::from("a"), PathBuf::from("b"));
        let all = [
            hash(&[(name.clone(), b"1")]),
            hash(&[(name.clone(), b"2")]),
            hash(&[(other, b"1")]),
            hash(&[(name, b"1"), (PathBuf::new(), b"")]),
        ];
        assert!(all.iter().enumerate().all(|(at, hash)| !all[at + 1..].contains(hash)), "{all:?}");
    }

    #[test]
    fn writes_only_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.rs");
        put(&path, b"1").unwrap();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        put(&path, b"1").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
        put(&path, b"2").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");
    }
}
