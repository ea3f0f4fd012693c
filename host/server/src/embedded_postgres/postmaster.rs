//! One running Postgres: found, launched, awaited, stopped.
//!
//! Knows nothing of who else uses it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use tracing::{info, warn};

use super::binaries::Binaries;
use super::{Error, NAME, place::Place};

/// Between two looks at a starting postmaster; it takes some 50 ms in all.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Replaying the log after a crash may take minutes.
const START_WITHIN: Duration = Duration::from_secs(600);
/// The shutdown checkpoint writes what is in memory, at most 128 MB.
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// A log file larger than this starts anew.
const MAX_LOG_BYTES: u64 = 16 << 20;

/// A live postmaster, ours or adopted.
#[derive(Debug)]
pub(super) struct Postmaster {
    pid: Pid,
    /// Readable once the process has ended, whoever started it; never another process of the same number.
    process: pipe::Receiver,
    /// Only if this process launched it: then it must also be reaped.
    child: Option<Child>,
}

impl Postmaster {
    /// The one that runs in this place already. Removes what a dead one left behind, where Postgres itself would take
    /// the number of an unrelated process for it.
    pub(super) fn running(place: &Place) -> Result<Option<Self>, Error> {
        let path = place.cluster.join("postmaster.pid");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        let noted = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = noted
            && let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
            // Every postmaster works in its cluster's folder.
            && fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).is_ok_and(|cwd| cwd == place.cluster)
        {
            info!(pid = pid.as_raw_nonzero().get(), "adopting the PostgreSQL that runs already");
            let process = watch(process).map_err(Error::file("watch the process in", path))?;
            return Ok(Some(Self { pid, process, child: None }));
        }
        for stale in [path, place.socket(), socket_lock(place)] {
            match fs::remove_file(&stale) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::file("remove", stale)(error));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Starts it; it does not answer yet.
    pub(super) fn launch(place: &Place, binaries: &Binaries) -> Result<Self, Error> {
        let program = binaries.folder.join("postgres");
        let mut command = place.command(&program);
        command.arg("-D").arg(&place.cluster).arg("-k").arg(&place.socket_dir);
        // On the command line, so that no file can open it to the network by accident.
        command.args(["-c", "listen_addresses=", "-c", "port=5432", "-c", "unix_socket_permissions=0700"]);
        let log = open_log(place)?;
        command.stdout(Stdio::from(log.try_clone().map_err(Error::file("open", &place.log))?));
        command.stderr(Stdio::from(log));
        let spawned = tokio::process::Command::from(command).spawn();
        let child = spawned.map_err(|source| Error::Run { program: program.clone(), source })?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("nobody has reaped it yet");
        let process = pidfd_open(pid, PidfdFlags::empty())
            .map_err(io::Error::from)
            .and_then(watch)
            .map_err(|source| Error::Run { program, source })?;
        Ok(Self { pid, process, child: Some(child) })
    }

    /// Waits until it answers and has our database.
    pub(super) async fn ready(mut self, place: &Place) -> Result<Self, Error> {
        let began = Instant::now();
        let mut said = began;
        loop {
            match place.connect_to(NAME).connect(NoTls).await {
                Ok(_) => return Ok(self),
                Err(error) if error.code() == Some(&SqlState::INVALID_CATALOG_NAME) => {
                    create_database(place).await?;
                    return Ok(self);
                }
                // No socket yet, or still starting up.
                Err(error) if error.code().is_none_or(|code| *code == SqlState::CANNOT_CONNECT_NOW) => {}
                Err(error) => return Err(error.into()),
            }
            tokio::select! {
                () = self.ended() => return Err(self.died(place).await),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if began.elapsed() > START_WITHIN {
                let seconds = START_WITHIN.as_secs();
                return Err(Error::Silent { seconds, log: place.log.clone(), tail: place.log_tail() });
            }
            if said.elapsed() > Duration::from_secs(5) {
                said = Instant::now();
                info!(log = %place.log.display(), "PostgreSQL is still starting; after a crash it replays its log");
            }
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Resolves when the process has ended.
    pub(super) async fn ended(&self) {
        // An error could only mean that the runtime shuts down.
        let _ = self.process.readable().await;
    }

    async fn died(&mut self, place: &Place) -> Error {
        let status = match &mut self.child {
            Some(child) => child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string()),
            None => "adopted process".to_owned(),
        };
        Error::Died { status, log: place.log.clone(), tail: place.log_tail() }
    }

    /// A fast shutdown: sessions end, what is in memory is written, then it ends. Returns after that.
    pub(super) async fn stop(mut self) -> Result<(), Error> {
        self.signal(Signal::INT)?;
        if tokio::time::timeout(STOP_WITHIN, self.ended()).await.is_err() {
            warn!(pid = self.pid(), "PostgreSQL does not stop; stopping it hard, it will recover at its next start");
            self.signal(Signal::QUIT)?;
            self.ended().await;
        }
        if let Some(child) = &mut self.child {
            let _ = child.wait().await;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        match pidfd_send_signal(self.process.as_fd(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(Error::Stop { pid: self.pid(), source: error.into() }),
        }
    }
}

/// Lets tokio wait for a process. Its own wrapper for any descriptor is unsafe to make; the reading end of a pipe does the
/// same, as long as nobody reads from it.
fn watch(process: OwnedFd) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd_unchecked(process)
}

fn socket_lock(place: &Place) -> PathBuf {
    let mut lock = place.socket().into_os_string();
    lock.push(".lock");
    lock.into()
}

fn open_log(place: &Place) -> Result<File, Error> {
    let large = fs::metadata(&place.log).is_ok_and(|log| log.len() > MAX_LOG_BYTES);
    if large {
        fs::rename(&place.log, place.log.with_extension("log.old")).map_err(Error::file("rename", &place.log))?;
    }
    let log = OpenOptions::new().create(true).append(true).open(&place.log).map_err(Error::file("open", &place.log))?;
    place.hand_over(&place.log)?;
    Ok(log)
}

async fn create_database(place: &Place) -> Result<(), Error> {
    let (client, connection) = place.connect_to("postgres").connect(NoTls).await?;
    let (created, _) = tokio::join!(
        async move {
            let created = client.batch_execute("create database walker").await;
            drop(client);
            created
        },
        connection,
    );
    Ok(created?)
}
