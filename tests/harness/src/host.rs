//! The real `walker serve`, started, killed and stopped as an operator would.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::data_dir::DataDir;
use crate::{Client, module};

/// A cold start with an embedded cluster to make, on a busy machine.
const START: Duration = Duration::from_secs(120);
/// Grace period and all.
const STOP: Duration = Duration::from_secs(60);

/// How to start a host.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The program; the one that the same build made when `None`.
    pub binary: Option<PathBuf>,
    /// The database; the host's embedded one when `None`.
    pub database_url: Option<String>,
    /// Further arguments of `walker serve`.
    pub args: Vec<String>,
    /// The settings file's text.
    pub config: String,
    /// Warnings and errors that this test provokes: each text excuses the lines that contain it.
    pub expected_log: Vec<&'static str>,
}

/// A running host.
pub struct Host {
    /// Where it listens.
    pub url: String,
    /// With the tenant key that the first start made.
    pub client: Client,
    data_dir: Arc<DataDir>,
    options: Options,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    id: Arc<AtomicI32>,
    readers: Vec<JoinHandle<()>>,
}

/// Where a host lives when it does not run: what it needs to be started again.
#[derive(Clone)]
pub struct Home {
    data_dir: Arc<DataDir>,
    options: Options,
}

impl Home {
    /// Starts a host there.
    ///
    /// # Errors
    /// What it said when it ended instead, as it does when its database is away.
    pub async fn start(&self) -> Result<Host, String> {
        Host::try_start_in(self.data_dir.clone(), self.options.clone()).await
    }
}

impl Host {
    /// Starts a host in a new data directory.
    pub async fn start(options: Options) -> Self {
        Self::start_in(Arc::new(DataDir::new()), options).await
    }

    /// Starts a host and publishes the example modules.
    pub async fn with_modules(options: Options, modules: &[&str]) -> Self {
        let host = Self::start(options).await;
        for name in modules {
            host.client.put_module(name, module(name)).await.expect(201);
        }
        host
    }

    async fn start_in(data_dir: Arc<DataDir>, options: Options) -> Self {
        Self::try_start_in(data_dir, options).await.unwrap_or_else(|log| panic!("the host did not start:\n{log}"))
    }

    async fn try_start_in(data_dir: Arc<DataDir>, options: Options) -> Result<Self, String> {
        let config = data_dir.folder().join("walker.toml");
        std::fs::write(&config, &options.config).unwrap();
        let binary = options.binary.clone().unwrap_or_else(binary);
        let mut command = Command::new(&binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--config"])
            .arg(&config)
            .arg("--data-dir")
            .arg(data_dir.path())
            .args(&options.args)
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(url) = &options.database_url {
            command.env("DATABASE_URL", url);
        }
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{}: {error}; `make build` builds it", binary.display());
        });
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let id: Arc<AtomicI32> = Arc::default();
        let (kept, told) = (log.clone(), id.clone());
        let mut readers = vec![tokio::spawn(async move {
            let mut lines = stderr.lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(id) = told_id(&line) {
                    told.store(id, Ordering::Release);
                }
                kept.lock().unwrap().push(line);
            }
        })];
        let url = match tokio::time::timeout(START, listening(stdout, &mut readers)).await {
            Ok(Some(url)) => url,
            _ => {
                // To its last words.
                drop(child.start_kill());
                drop(tokio::time::timeout(STOP, &mut readers[0]).await);
                return Err(log.lock().unwrap().join("\n"));
            }
        };
        let client: Value =
            serde_json::from_slice(&std::fs::read(data_dir.path().join("client.json")).unwrap()).unwrap();
        assert_eq!(client["url"], url.as_str());
        let client = Client::new(&url, client["token"].as_str());
        Ok(Self { url, client, data_dir, options, child, log, id, readers })
    }

    /// Where it lives.
    pub fn home(&self) -> Home {
        Home { data_dir: self.data_dir.clone(), options: self.options.clone() }
    }

    /// Its number among the hosts, as it last told; another one after it was taken for dead.
    pub fn id(&self) -> i32 {
        self.id.load(Ordering::Acquire)
    }

    /// Stops its process where it stands, as a machine does that is suspended.
    pub fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    /// How it was started; a host that is given the same shares its database.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.path()
    }

    /// A client with the operator's token.
    pub fn operator(&self) -> Client {
        let token = std::fs::read_to_string(self.data_dir().join("operator-token")).unwrap();
        self.client.with_token(Some(token.trim()))
    }

    /// The most memory that the host itself has held since this was last asked, in KiB.
    pub fn peak_kib(&self) -> u64 {
        let folder = format!("/proc/{}", self.pid().as_raw_nonzero());
        let status = std::fs::read_to_string(format!("{folder}/status")).expect("the host runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        // Forgets the peak.
        std::fs::write(format!("{folder}/clear_refs"), "5").expect("its user may");
        peak.and_then(|kib| kib.parse().ok()).expect("the kernel tells")
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id().expect("it runs")).unwrap()).unwrap()
    }

    /// The process of its embedded Postgres.
    pub fn postmaster(&self) -> Pid {
        self.data_dir.postmaster().expect("the embedded Postgres runs")
    }

    /// What it has logged so far, one JSON object a line.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Kills it without warning.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again after [`kill`](Self::kill) or [`end`](Self::end), on the same data directory and database.
    pub async fn restart(self) -> Self {
        assert!(self.child.id().is_none(), "it still runs");
        Self::start_in(self.data_dir.clone(), self.options.clone()).await
    }

    /// Stops it as an operator would, and holds it to its word: it ends well, in time, and has logged no warning or
    /// error that the test did not provoke.
    pub async fn stop(mut self) {
        self.end().await;
    }

    /// The same for a host that is to be started again.
    pub async fn end(&mut self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        let ended = tokio::time::timeout(STOP, self.child.wait()).await;
        for reader in self.readers.drain(..) {
            reader.await.unwrap();
        }
        let log = self.log();
        let status = ended.unwrap_or_else(|_| panic!("it did not stop:\n{}", log.join("\n"))).unwrap();
        assert!(status.success(), "it ended with {status}:\n{}", log.join("\n"));
        let unexpected: Vec<&String> = log
            .iter()
            .filter(|line| {
                line.contains(r#""level":"WARN""#) || line.contains(r#""level":"ERROR""#) || !line.starts_with('{')
            })
            .filter(|line| !self.options.expected_log.iter().any(|expected| line.contains(expected)))
            .collect();
        assert!(unexpected.is_empty(), "unexpected log lines:\n{unexpected:#?}");
    }

    /// The command line, in a folder where it finds this host by itself.
    pub fn command(&self) -> Command {
        command(self.data_dir.folder())
    }
}

/// The number in the line by which a host tells it.
fn told_id(line: &str) -> Option<i32> {
    let (_, rest) = line.split_once(r#""host":"#)?;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// The command line in a folder, told nothing by the environment. It ends with whoever started it.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(binary());
    for name in ["DATABASE_URL", "WALKER_DATA_DIR", "WALKER_TOKEN", "WALKER_URL"] {
        command.env_remove(name);
    }
    command.current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The address from the line on stdout that says so.
async fn listening(mut stdout: BufReader<ChildStdout>, readers: &mut Vec<JoinHandle<()>>) -> Option<String> {
    let mut line = String::new();
    stdout.read_line(&mut line).await.ok()?;
    let url = line.trim().strip_prefix("listening on ")?.to_owned();
    readers.push(tokio::spawn(async move {
        if let Ok(Some(line)) = stdout.lines().next_line().await {
            panic!("stdout is for one line only, but then came {line:?}");
        }
    }));
    Some(url)
}

/// The binary that the same build made, next to the test's own.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().find(|folder| folder.ends_with("release") || folder.ends_with("debug"));
    profile.unwrap_or(Path::new("target/release")).join("walker")
}
