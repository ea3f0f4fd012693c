//! Makes a cluster and keeps its settings.
//!
//! Knows nothing of running it.

use std::fs;
use std::path::Path;

use super::binaries::Binaries;
use super::{Error, NAME, place::Place};

/// Ours to rewrite at each start; what an operator sets with `alter system` wins over it.
const SETTINGS_FILE: &str = "walker.conf";

const SETTINGS: &str = "\
# Written by `walker serve` at each start. Use `alter system set …` for changes of your own.
max_connections = 100
shared_buffers = '128MB'
# Rare checkpoints: after each, whole pages go to the log again.
max_wal_size = '4GB'
checkpoint_timeout = '15min'
wal_compression = on
# An acknowledged walker survives a power cut.
fsync = on
synchronous_commit = on
full_page_writes = on
# Our statements are short; compiling them costs more than running them.
jit = off
# A forgotten transaction keeps dead rows of the queue alive.
idle_in_transaction_session_timeout = '60s'
# We read the log file ourselves; one place, one time zone, one language.
logging_collector = off
log_destination = 'stderr'
log_line_prefix = '%m [%p] '
log_timezone = 'UTC'
timezone = 'UTC'
lc_messages = 'C'
log_checkpoints = off
log_min_messages = warning
";

/// The major version that made the cluster, if there is one.
pub(super) fn version(place: &Place) -> Result<Option<u32>, Error> {
    let path = place.cluster.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().split('.').next().and_then(|major| major.parse().ok())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

/// Makes the cluster: all of it or, should we die meanwhile, none of it.
pub(super) async fn create(place: &Place, binaries: &Binaries) -> Result<(), Error> {
    let unfinished = place.home.join("cluster.new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(Error::file("remove", &unfinished))?;
    }
    let program = binaries.folder.join("initdb");
    let mut command = place.command(&program);
    // Whoever reaches the socket is trusted: its folder is closed to all others. Bytewise order is the fastest, and the
    // same on every machine.
    command.args(["--encoding=UTF8", "--locale=C", "--auth=trust", "--no-instructions", "--username", NAME]);
    command.arg("--pgdata").arg(&unfinished);
    let made =
        tokio::process::Command::from(command).output().await.map_err(|source| Error::Run { program, source })?;
    if !made.status.success() {
        return Err(Error::Initdb(String::from_utf8_lossy(&made.stderr).trim().to_owned()));
    }
    append(&unfinished.join("postgresql.conf"), &format!("\ninclude_if_exists = '{SETTINGS_FILE}'\n"))?;
    fs::rename(&unfinished, &place.cluster).map_err(Error::file("rename", &unfinished))
}

/// Writes our settings, which may have changed with our version.
pub(super) fn configure(place: &Place) -> Result<(), Error> {
    let path = place.cluster.join(SETTINGS_FILE);
    fs::write(&path, SETTINGS).map_err(Error::file("write", &path))?;
    place.hand_over(&path)
}

fn append(path: &Path, text: &str) -> Result<(), Error> {
    let mut all = fs::read_to_string(path).map_err(Error::file("read", path))?;
    all.push_str(text);
    fs::write(path, all).map_err(Error::file("write", path))
}
