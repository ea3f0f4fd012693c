//! Which hosts use the cluster, by locks that the kernel drops when a host dies.
//!
//! Knows nothing of Postgres itself.

use std::fs::{File, OpenOptions};

use super::{Error, place::Place};

/// The exclusive right to start or stop the postmaster, until dropped.
#[derive(Debug)]
pub(super) struct Change(#[expect(dead_code, reason = "held for its lock")] File);

impl Change {
    /// Waits until no other host starts or stops it.
    pub(super) async fn begin(place: &Place) -> Result<Self, Error> {
        let path = place.home.join("change.lock");
        let file = open(place, "change.lock")?;
        // A blocking lock: another host may need seconds to start Postgres.
        tokio::task::spawn_blocking(move || file.lock().map(|()| Self(file)))
            .await
            .expect("locking a file does not panic")
            .map_err(Error::file("lock", path))
    }
}

/// The mark that one host uses it, until dropped or the process ends.
#[derive(Debug)]
pub(super) struct Share(File);

impl Share {
    /// Only while holding [`Change`].
    pub(super) fn take(place: &Place) -> Result<Self, Error> {
        let file = open(place, "users.lock")?;
        file.lock_shared().map_err(Error::file("lock", place.home.join("users.lock")))?;
        Ok(Self(file))
    }

    /// Gives the mark up; whether nobody else has one. Only while holding [`Change`].
    pub(super) fn leave_as_last(self) -> bool {
        // Turning a shared lock into an exclusive one fails exactly when another holds it too.
        self.0.try_lock().is_ok()
    }
}

fn open(place: &Place, name: &str) -> Result<File, Error> {
    let path = place.home.join(name);
    OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(Error::file("open", path))
}
