//! A Postgres of a test's own, that can be killed and started again, with its processes' data as a crash leaves it.
//!
//! Commits as in production (`synchronous_commit` and `full_page_writes` are on). `fsync` is off: what a killed process
//! had written stays in the kernel's page cache, so that it makes no difference to what survives a kill. Only a power cut
//! would, and no test here cuts the power.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::Config;

use crate::postgres::{config_for, initialize};

/// Starts Postgres at each line on standard input, and ends it when that ends.
const KEEPER: &str = r#"
while read -r _; do
    # What the killed one's children hold is let go as they notice.
    until "$1/pg_ctl" --wait --silent -D "$2/data" -l "$2/log" -o "-k $2 -c listen_addresses= -c fsync=off \
        -c max_connections=300 -c shared_buffers=64MB -c max_wal_size=256MB" start 2>/dev/null; do sleep 0.1; done
    echo ready
done
"$1/pg_ctl" --wait --silent -D "$2/data" -m immediate stop
rm -rf "$2"
"#;

/// A Postgres that ends with the test process.
pub struct Server {
    dir: PathBuf,
    keeper: Child,
    /// Closing it is what ends Postgres.
    commands: Option<ChildStdin>,
    answers: BufReader<std::process::ChildStdout>,
}

impl Server {
    /// Makes and starts one; `name` tells it from the others of this process.
    pub async fn start(name: &str) -> Self {
        let name = name.to_owned();
        tokio::task::spawn_blocking(move || {
            let place = initialize(&name);
            let mut keeper = place
                .command("/bin/sh".as_ref())
                .args(["-c", KEEPER, "sh"])
                .args([&place.bin, &place.dir])
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("starts Postgres");
            let commands = keeper.stdin.take().expect("its standard input is a pipe");
            let answers = BufReader::new(keeper.stdout.take().expect("its standard output is a pipe"));
            let mut server = Self { dir: place.dir, keeper, commands: Some(commands), answers };
            server.start_again();
            server
        })
        .await
        .expect("starts Postgres for a test")
    }

    /// Starts it after [`kill`](Self::kill); returns once it answers.
    pub fn start_again(&mut self) {
        let commands = self.commands.as_mut().expect("open until dropped");
        commands.write_all(b"start\n").expect("the keeper listens");
        let mut said = String::new();
        self.answers.read_line(&mut said).expect("hears from the keeper");
        let log = || std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        assert_eq!(said, "ready\n", "Postgres did not start: {}", log());
    }

    /// Kills its first process without warning; the others end as they notice.
    pub fn kill(&self) {
        let _ = kill_process(self.postmaster(), Signal::KILL);
    }

    /// Kills the process behind one connection: Postgres ends all of them and recovers by itself.
    pub fn kill_backend(&self, pid: i32) {
        let _ = kill_process(Pid::from_raw(pid).expect("a process"), Signal::KILL);
    }

    /// The folder of its socket.
    pub fn socket_dir(&self) -> PathBuf {
        self.dir.clone()
    }

    /// How to connect to a database as the superuser, without any proxy.
    pub fn config(&self, database: &str) -> Config {
        config_for(&self.dir, database)
    }

    /// The same through a port, for a host.
    pub fn url(&self, database: &str, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{database}")
    }

    fn postmaster(&self) -> Pid {
        let file = std::fs::read_to_string(self.dir.join("data/postmaster.pid")).expect("it runs");
        let first = file.lines().next().expect("its process");
        Pid::from_raw(first.parse().expect("a number")).expect("a process")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.commands.take());
        // Its folder is gone when the test ends, and no process is left to nobody.
        let _ = self.keeper.wait();
    }
}
