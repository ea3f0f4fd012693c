//! Finds PostgreSQL's programs on this machine.
//!
//! Knows nothing of clusters but the version that one was made with.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Error, place::Place};

/// The oldest version whose SQL and settings we use.
const OLDEST: u32 = 14;

/// One installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    /// The folder that holds `initdb` and `postgres`.
    pub(super) folder: PathBuf,
    /// Its major version.
    pub(super) major: u32,
}

/// The first installation that fits the cluster, or any if there is no cluster yet.
pub(super) fn find(cluster: Option<u32>, place: &Place) -> Result<Binaries, Error> {
    let folders = folders();
    let mut installed = folders.iter().filter_map(|folder| probe(folder)).filter(|found| found.major >= OLDEST);
    let Some(wanted) = cluster else {
        return installed.next().ok_or_else(|| Error::NoBinaries { looked_in: listed(&folders) });
    };
    let mut others = Vec::new();
    for found in installed {
        if found.major == wanted {
            return Ok(found);
        }
        others.push(found.major.to_string());
    }
    if others.is_empty() {
        return Err(Error::NoBinaries { looked_in: listed(&folders) });
    }
    others.dedup();
    Err(Error::Version { cluster: place.cluster.clone(), cluster_major: wanted, found: others.join(", ") })
}

/// Where to look, in order. What the operator named stands alone.
fn folders() -> Vec<PathBuf> {
    if let Some(named) = env::var_os("WALKER_POSTGRES_BIN") {
        return vec![named.into()];
    }
    let mut folders = Vec::new();
    // The set-up script unpacks into the source tree, or, for root, where an unprivileged user can reach it.
    if let Some(tree) = env::current_exe().ok().as_deref().and_then(|exe| exe.ancestors().nth(3)) {
        folders.push(tree.join(".tools/pgsql/bin"));
    }
    folders.push("/var/lib/walker/pgsql/bin".into());
    folders.extend(debian(Path::new("/usr/lib/postgresql")));
    folders.extend(env::var_os("PATH").iter().flat_map(|path| env::split_paths(path).collect::<Vec<_>>()));
    folders
}

/// Debian keeps each major version in a folder of its own; newest first.
fn debian(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn probe(folder: &Path) -> Option<Binaries> {
    if !folder.join("initdb").is_file() {
        return None;
    }
    let said = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    Some(Binaries { folder: folder.to_owned(), major: major(&String::from_utf8_lossy(&said.stdout))? })
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major(said: &str) -> Option<u32> {
    let version = said.split_once("(PostgreSQL) ")?.1;
    let end = version.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

fn listed(folders: &[PathBuf]) -> String {
    let mut listed: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    listed.dedup();
    listed.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        let check = |said: &str, expect: Option<u32>| assert_eq!(major(said), expect, "{said:?}");
        check("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15));
        check("postgres (PostgreSQL) 18beta1\n", Some(18));
        check("postgres (PostgreSQL) 17\n", Some(17));
        check("", None);
    }

    #[test]
    fn prefers_the_newest_of_debian() {
        let root = tempfile::tempdir().unwrap();
        for name in ["9.6", "14", "16", "15", "lib"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let names: Vec<_> =
            debian(root.path()).iter().map(|bin| bin.parent().unwrap().file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["16", "15", "14"]);
    }
}
