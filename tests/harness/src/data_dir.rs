//! A host's folder for one test, and the end of what a killed host leaves running in it.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

/// Where the command line looks for a host, from its folder upwards.
const NAME: &str = ".walker";

/// A folder with a host's data directory in it. Dropped, it is gone with the embedded Postgres that was made for it.
#[derive(Debug)]
pub(crate) struct DataDir(TempDir);

impl DataDir {
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("walker-").tempdir().unwrap())
    }

    /// The folder around it.
    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// The data directory itself.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder().join(NAME)
    }

    /// Where the embedded Postgres lives; root's lies elsewhere, and a note says where.
    fn postgres(&self) -> PathBuf {
        match std::fs::read_to_string(self.path().join("postgres.location")) {
            Ok(note) => note.trim_end().into(),
            Err(_) => self.path().join("postgres"),
        }
    }

    /// The embedded Postgres, if there is one and it runs.
    pub(crate) fn postmaster(&self) -> Option<Pid> {
        let file = std::fs::read_to_string(self.postgres().join("cluster/postmaster.pid")).ok()?;
        let pid = Pid::from_raw(file.lines().next()?.parse().ok()?)?;
        test_kill_process(pid).is_ok().then_some(pid)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if let Some(postmaster) = self.postmaster() {
            // Its children end with it, and its data with the folder.
            let _ = kill_process(postmaster, Signal::QUIT);
        }
        let _ = std::fs::remove_dir_all(self.postgres());
    }
}
