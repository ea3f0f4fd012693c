//! A real Postgres for tests: one cluster for each test process, one fresh database for each test.
//!
//! Knows nothing of how a host runs a Postgres of its own; nothing here is fit for data that matters.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::{Config, NoTls};

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// Starts Postgres and stops it when standard input ends, which is when the test process is gone, however it went:
/// statics are not dropped, and a killed process runs no clean-up at all.
const KEEPER: &str = r#"
"$1/pg_ctl" --wait --silent -D "$2/data" -l "$2/log" -o "-k $2 -c listen_addresses= -c fsync=off \
    -c synchronous_commit=off -c full_page_writes=off -c max_connections=300 -c shared_buffers=64MB" start || exit 1
echo ready
read -r _
"$1/pg_ctl" --wait --silent -D "$2/data" -m immediate stop
rm -rf "$2"
"#;

/// A cluster that ends with the test process.
pub struct Cluster {
    socket_dir: PathBuf,
    /// Closing its standard input is what ends the cluster.
    _keeper: Child,
}

impl Cluster {
    /// Makes and starts a cluster.
    pub async fn start() -> Self {
        tokio::task::spawn_blocking(Self::launch).await.expect("starts Postgres for tests")
    }

    /// A new database, copied from `template`.
    pub async fn database(&self, template: &str) -> Config {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.create(&name, template).await;
        self.config(&name)
    }

    /// A new empty database, as a URL.
    pub async fn url(&self) -> String {
        let database = self.database("template0").await;
        let name = database.get_dbname().expect("just named");
        format!("postgres://postgres@/{name}?host={}", self.socket_dir.display())
    }

    /// One of Postgres' own programs for its clients, such as `pg_dump`.
    pub fn program(name: &str) -> Command {
        Command::new(binaries().join(name))
    }

    fn launch() -> Self {
        let place = initialize("");
        let mut keeper = place
            .command(Path::new("/bin/sh"))
            .args(["-c", KEEPER, "sh"])
            .args([&place.bin, &place.dir])
            // Whoever ends the test with all that belongs to it (Ctrl-C, `timeout`) must not end its keeper, too.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts Postgres");
        let mut said = String::new();
        let mut lines = BufReader::new(keeper.stdout.take().expect("its standard output is a pipe"));
        lines.read_line(&mut said).expect("hears from the keeper");
        let log = || std::fs::read_to_string(place.dir.join("log")).unwrap_or_default();
        assert_eq!(said, "ready\n", "Postgres did not start: {}", log());
        Self { socket_dir: place.dir, _keeper: keeper }
    }

    /// How to connect to a database as the superuser.
    pub fn config(&self, database: &str) -> Config {
        config_for(&self.socket_dir, database)
    }

    /// Creates a database of this name.
    pub async fn create(&self, name: &str, template: &str) {
        let (client, connection) = self.config("postgres").connect(NoTls).await.expect("connects to the cluster");
        let driver = tokio::spawn(connection);
        let statement = format!("create database {name} template {template}");
        client.batch_execute(&statement).await.expect("creates a test database");
        drop(client);
        driver.await.expect("the driver ends").expect("the connection closes");
    }
}

/// How to connect as the superuser to a database of the cluster whose socket is in `socket_dir`.
pub(crate) fn config_for(socket_dir: &Path, database: &str) -> Config {
    let mut config = Config::new();
    config.host_path(socket_dir).user("postgres").dbname(database);
    config
}

/// A cluster on the disk that nothing runs on yet.
pub(crate) struct Place {
    pub(crate) bin: PathBuf,
    /// Holds `data`, `log` and the socket.
    pub(crate) dir: PathBuf,
    run_as: Option<(u32, u32)>,
}

impl Place {
    /// A program, run there by whom Postgres lets run it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir);
        if let Some((uid, gid)) = self.run_as {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// Makes a cluster; `name` tells it from the others of this process.
pub(crate) fn initialize(name: &str) -> Place {
    let bin = binaries();
    // Short, since a socket's path has at most 107 bytes.
    let dir = PathBuf::from(format!("/tmp/walker-test-{}{name}", std::process::id()));
    std::fs::create_dir(&dir).expect("makes a directory for the test cluster");
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).expect("keeps others out");
    let run_as = unprivileged();
    if let Some((uid, gid)) = run_as {
        chown(&dir, Some(uid), Some(gid)).expect("hands the directory over");
    }
    let place = Place { bin, dir, run_as };
    let made = place
        .command(&place.bin.join("initdb"))
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
        .arg(place.dir.join("data"))
        .output()
        .expect("runs initdb");
    assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
    place
}

/// Where `WALKER_POSTGRES_BIN` says, else where Debian keeps the newest installed server, else wherever `initdb` is in the path.
fn binaries() -> PathBuf {
    if let Some(given) = std::env::var_os("WALKER_POSTGRES_BIN") {
        return given.into();
    }
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = debian
        .filter_map(|path| {
            let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin"))).filter(|(_, bin)| bin.join("initdb").exists())
        })
        .max();
    newest.map(|(_, bin)| bin).unwrap_or_else(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .find(|dir| dir.join("initdb").exists())
            .expect("these tests need a Postgres server: apt-get install postgresql")
    })
}

/// Postgres refuses to run as root; `None` when we are not.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("reads the machine's users");
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields[0] == name).then(|| (fields[2].parse().expect("a uid"), fields[3].parse().expect("a gid")))
        })
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("the machine has a user postgres or nobody"))
}
