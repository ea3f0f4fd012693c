//! The real host with its default settings and its own Postgres, durable as it comes; started and stopped as an operator would.
//!
//! Knows nothing of what is asked of it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::connection::{Connection, request};

/// Making a cluster on a busy machine.
const START: Duration = Duration::from_secs(120);
/// Grace period and all.
const STOP: Duration = Duration::from_secs(60);
/// Names the folder of a root's cluster.
const NOTE: &str = "postgres.location";

/// Where the host keeps its data. Below `target`, since /tmp may be in memory, where nothing is durable; removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// An empty folder; whatever an interrupted bench left is removed.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = Self(binary()?.with_file_name("bench-data"));
        folder.remove();
        fs::create_dir_all(&folder.0).with_context(|| format!("cannot make {}", folder.0.display()))?;
        Ok(folder)
    }

    /// What Postgres wrote about itself: its process and the folder of its socket.
    pub(crate) fn postmaster(&self) -> anyhow::Result<(u32, PathBuf)> {
        let path = self.postgres_home().join("cluster/postmaster.pid");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines: Vec<&str> = text.lines().collect();
        let pid = lines.first().and_then(|line| line.trim().parse().ok()).context("postmaster.pid names no process")?;
        Ok((pid, lines.get(4).context("postmaster.pid names no socket")?.trim().into()))
    }

    /// The running database, for a host that is not to start its own.
    pub(crate) fn url(&self) -> anyhow::Result<String> {
        let (_, socket_dir) = self.postmaster()?;
        Ok(format!("postgresql://walker@/walker?host={}", socket_dir.display()))
    }

    /// Writes a settings file.
    pub(crate) fn settings(&self, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.0.join("walker.toml");
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// A second folder, whose host has its compiled modules as this one's has.
    pub(crate) fn beside(&self) -> anyhow::Result<Self> {
        let beside = Self(self.0.join("beside"));
        fs::create_dir_all(beside.data())?;
        Ok(beside)
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    fn postgres_home(&self) -> PathBuf {
        let noted = fs::read_to_string(self.data().join(NOTE)).map(|noted| PathBuf::from(noted.trim()));
        noted.unwrap_or_else(|_| self.data().join("postgres"))
    }

    fn remove(&self) {
        let _ = fs::remove_dir_all(self.postgres_home());
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A running host.
pub(crate) struct Host {
    /// How long it took until it listened.
    pub(crate) started_in: Duration,
    /// Where it listens.
    pub(crate) address: String,
    /// Of the tenant's key.
    pub(crate) token: String,
    /// The operator's.
    pub(crate) operator: String,
    child: Child,
}

impl Host {
    /// Starts a host on this folder. It logs to a file, as most operators let it.
    pub(crate) async fn start(folder: &Folder) -> anyhow::Result<Self> {
        Self::start_with(folder, |_| {}).await
    }

    /// The same, with something changed about how it is started.
    pub(crate) async fn start_with(folder: &Folder, change: impl FnOnce(&mut Command)) -> anyhow::Result<Self> {
        let program = binary()?;
        let log = folder.0.join("host.log");
        let mut command = Command::new(&program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.data())
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).with_context(|| format!("cannot make {}", log.display()))?)
            .kill_on_drop(true);
        change(&mut command);
        let began = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("asked for")?;
        let mut line = String::new();
        let read = tokio::time::timeout(START, BufReader::new(stdout).read_line(&mut line)).await;
        let started_in = began.elapsed();
        let address = match (read, line.trim().strip_prefix("listening on http://")) {
            (Ok(Ok(_)), Some(address)) => address.to_owned(),
            _ => bail!("the host did not start:\n{}", fs::read_to_string(&log).unwrap_or_default()),
        };
        let client: Value = serde_json::from_slice(&fs::read(folder.data().join("client.json"))?)?;
        let token = client["token"].as_str().context("client.json holds no token")?.to_owned();
        let operator = fs::read_to_string(folder.data().join("operator-token"))?.trim().to_owned();
        Ok(Self { started_in, address, token, operator, child })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the host has ended")
    }

    /// Publishes the modules that hold `sample`, `echo_later` and `spins`.
    pub(crate) async fn publish(&self) -> anyhow::Result<()> {
        let mut connection = Connection::open(&self.address).await?;
        for name in ["seed", "faults"] {
            let path = format!("/modules/{name}");
            let request = request("PUT", &path, &self.token, &walker_harness::module(name));
            connection.ask(&request).await?.expect(201)?;
        }
        Ok(())
    }

    /// The request that starts a walker, with the fields that it has by default. `walker` may end with a query.
    pub(crate) fn invocation(&self, walker: &str) -> Vec<u8> {
        request("POST", &format!("/walker/{walker}"), &self.token, b"{}")
    }

    /// Stops it well, its Postgres with it.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid()?)?).context("the host has no process")?;
        kill_process(pid, Signal::TERM).context("cannot stop the host")?;
        let status = tokio::time::timeout(STOP, self.child.wait()).await.context("the host did not stop")??;
        ensure!(status.success(), "the host ended with {status}");
        Ok(())
    }
}

/// The `walker` of the same build, next to this program.
pub(crate) fn binary() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find this program")?;
    let walker = this.parent().unwrap_or(Path::new(".")).join("walker");
    ensure!(walker.exists(), "{} does not exist; `make build` makes it", walker.display());
    Ok(walker)
}
