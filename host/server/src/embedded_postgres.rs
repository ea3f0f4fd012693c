//! The host's own private Postgres: found, made, started, watched, shared between hosts and stopped.
//!
//! Knows nothing of what is stored in it.
//!
//! The cluster outlives a host that dies: the next start on the same data directory adopts the running postmaster, or
//! starts one that recovers. Hosts on the same data directory share it; the last one to stop stops it.

mod binaries;
mod cluster;
mod place;
mod postmaster;
mod users;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use place::Place;
use postmaster::Postmaster;

/// The role and the database that the host uses.
const NAME: &str = "walker";
/// Five seconds, at ten a second.
const ORPHANS_WITHIN_ATTEMPTS: u32 = 50;

/// Why the embedded Postgres cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are no binaries, or only old ones.
    #[error(
        "no PostgreSQL 14 or newer was found (looked in {looked_in}); install Debian's postgresql package, or set WALKER_POSTGRES_BIN to the folder that holds initdb and postgres, or DATABASE_URL to a database"
    )]
    NoBinaries {
        /// The folders that were tried.
        looked_in: String,
    },
    /// The cluster was made by another major version than any that is installed.
    #[error(
        "the database in {cluster} was made by PostgreSQL {cluster_major}, but only {found} is installed; install PostgreSQL {cluster_major}, or dump and restore it with pg_dump"
    )]
    Version {
        /// The cluster's folder.
        cluster: PathBuf,
        /// The version that made it.
        cluster_major: u32,
        /// What is installed.
        found: String,
    },
    /// Postgres may not run as root, and no other user is there to run it.
    #[error(
        "PostgreSQL does not run as root, and none of the users postgres, walker and nobody exists; create one: useradd --system walker"
    )]
    NoUser,
    /// A folder for the socket exists but is somebody else's.
    #[error("{0} must be a folder that only its owner can enter, and ours; remove it")]
    UnsafeFolder(PathBuf),
    /// A file operation failed.
    #[error("could not {what} {path}")]
    File {
        /// What we were doing.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// One of Postgres's programs could not be run at all.
    #[error("could not run {program}")]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `initdb` failed.
    #[error("initdb failed: {0}")]
    Initdb(String),
    /// The postmaster ended instead of starting.
    #[error("PostgreSQL did not start ({status}); the end of {log}:\n{tail}")]
    Died {
        /// How it ended.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// It runs but did not answer in time.
    #[error("PostgreSQL did not answer within {seconds} s; the end of {log}:\n{tail}")]
    Silent {
        /// How long we waited.
        seconds: u64,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// It answered, but not what we need.
    #[error("could not prepare the database")]
    Database(#[from] tokio_postgres::Error),
    /// It did not stop.
    #[error("could not stop PostgreSQL (process {pid})")]
    Stop {
        /// The postmaster.
        pid: i32,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}

/// A private Postgres that answers, restarted by itself should it die.
///
/// Dropped without [`stop`](Self::stop) it keeps running, as after the host's sudden death.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    place: Place,
    users: users::Share,
    stop: CancellationToken,
    keeper: JoinHandle<Option<Postmaster>>,
}

impl EmbeddedPostgres {
    /// Adopts the Postgres of this data directory, or starts it, or makes it.
    ///
    /// # Errors
    /// When no usable binaries are installed, or the cluster cannot be made or started; the message quotes the end of
    /// Postgres's log.
    pub async fn start(data_dir: &Path) -> Result<Self, Error> {
        let place = Place::settle(data_dir)?;
        // Held until it answers: nobody else starts or stops it meanwhile.
        let change = users::Change::begin(&place).await?;
        let postmaster = bring_up(&place).await?;
        let users = users::Share::take(&place)?;
        drop(change);
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keep(place.clone(), postmaster, stop.clone()));
        Ok(Self { place, users, stop, keeper })
    }

    /// How to connect to the database `walker`, as its owner, over the private socket.
    pub fn config(&self) -> tokio_postgres::Config {
        self.place.connect_to(NAME)
    }

    /// The same as a URL, as `psql` takes it too.
    pub fn url(&self) -> String {
        self.place.url()
    }

    /// The folder that holds the cluster, its log and its locks.
    pub fn home(&self) -> &Path {
        &self.place.home
    }

    /// Leaves the Postgres, and stops it (a fast shutdown) unless another host on this data directory still uses it.
    /// Returns when it has ended.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn stop(self) -> Result<(), Error> {
        self.stop.cancel();
        let postmaster = self.keeper.await.ok().flatten();
        let _change = users::Change::begin(&self.place).await?;
        if !self.users.leave_as_last() {
            info!(home = %self.place.home.display(), "another host still uses the embedded PostgreSQL: it stays");
            return Ok(());
        }
        // Without one, we were about to start it again: a new one may just have come up.
        match postmaster.map_or_else(|| Postmaster::running(&self.place), |known| Ok(Some(known)))? {
            Some(postmaster) => postmaster.stop().await,
            None => Ok(()),
        }
    }
}

/// Whatever state it is in, makes it answer. Only while holding [`users::Change`].
async fn bring_up(place: &Place) -> Result<Postmaster, Error> {
    let binaries = binaries::find(cluster::version(place)?, place)?;
    if !place.cluster.exists() {
        info!(home = %place.home.display(), "making a new PostgreSQL {} cluster", binaries.major);
        cluster::create(place, &binaries).await?;
    }
    cluster::configure(place)?;
    let mut attempts = 1..=ORPHANS_WITHIN_ATTEMPTS;
    loop {
        let postmaster = match Postmaster::running(place)? {
            Some(running) => running,
            None => Postmaster::launch(place, &binaries)?,
        };
        match postmaster.ready(place).await {
            // The sessions of a killed postmaster notice within moments that they are orphans, and end.
            Err(Error::Died { tail, .. }) if tail.contains("still in use") && attempts.next().is_some() => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            result => return result,
        }
    }
}

/// Restarts the postmaster whenever it dies before we are asked to stop.
async fn keep(place: Place, first: Postmaster, stop: CancellationToken) -> Option<Postmaster> {
    let mut current = first;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Some(current),
            () = current.ended() => {}
        }
        warn!(pid = current.pid(), "the embedded PostgreSQL has ended; starting it again");
        current = tokio::select! {
            () = stop.cancelled() => return None,
            again = start_again(&place) => again,
        };
    }
}

async fn start_again(place: &Place) -> Postmaster {
    loop {
        let attempt = async {
            let _change = users::Change::begin(place).await?;
            bring_up(place).await
        };
        match attempt.await {
            Ok(postmaster) => return postmaster,
            Err(failure) => {
                error!(error = &failure as &dyn std::error::Error, "could not restart the embedded PostgreSQL")
            }
        }
        // A full disk or a missing library does not mend itself faster.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

#[cfg(test)]
mod tests;
