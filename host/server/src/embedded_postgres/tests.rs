//! With the real binaries: every way to find the cluster, from absent to abandoned.

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use super::*;

/// A data directory whose cluster goes with it, wherever that lives.
struct Folder {
    root: TempDir,
    data_dir: PathBuf,
}

impl Folder {
    fn new() -> Self {
        Self::below("data")
    }

    fn below(path: &str) -> Self {
        let root = TempDir::new().unwrap();
        let data_dir = root.path().join(path);
        std::fs::create_dir_all(&data_dir).unwrap();
        Self { root, data_dir }
    }

    async fn start(&self) -> EmbeddedPostgres {
        EmbeddedPostgres::start(&self.data_dir).await.unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let place = Place::settle(&self.data_dir).unwrap();
        if let Ok(text) = std::fs::read_to_string(place.cluster.join("postmaster.pid")) {
            let pid = text.lines().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?));
            let _ = kill_process(pid.unwrap(), Signal::QUIT);
        }
        let _ = std::fs::remove_dir_all(&place.home);
        let _ = std::fs::remove_dir_all(&place.socket_dir);
        let _ = self.root.path();
    }
}

async fn connect(postgres: &EmbeddedPostgres) -> Client {
    let (client, connection) = postgres.config().connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn pid(postgres: &EmbeddedPostgres) -> i32 {
    let noted = std::fs::read_to_string(postgres.place.cluster.join("postmaster.pid")).unwrap();
    noted.lines().next().unwrap().parse().unwrap()
}

async fn write(postgres: &EmbeddedPostgres) {
    connect(postgres).await.batch_execute("create table kept as select 7 as value").await.unwrap();
}

async fn read(postgres: &EmbeddedPostgres) -> i32 {
    connect(postgres).await.query_one("select value from kept", &[]).await.unwrap().get(0)
}

/// Ends the host without ceremony: nothing of it stays but what the kernel and Postgres keep.
fn kill_host(postgres: EmbeddedPostgres) {
    postgres.keeper.abort();
    drop(postgres);
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn keeps_what_was_written_and_starts_quickly() {
    let folder = Folder::new();
    let postgres = folder.start().await;
    write(&postgres).await;
    let settings = connect(&postgres).await;
    for (name, expect) in
        [("listen_addresses", ""), ("max_wal_size", "4GB"), ("server_encoding", "UTF8"), ("synchronous_commit", "on")]
    {
        let value: String = settings.query_one("select current_setting($1)", &[&name]).await.unwrap().get(0);
        assert_eq!(value, expect, "{name}");
    }
    postgres.stop().await.unwrap();

    let began = std::time::Instant::now();
    let postgres = folder.start().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(read(&postgres).await, 7);
    let by_url: tokio_postgres::Config = postgres.url().parse().unwrap();
    assert!(by_url.connect(NoTls).await.is_ok());
    let cluster = postgres.place.cluster.clone();
    postgres.stop().await.unwrap();
    assert!(!cluster.join("postmaster.pid").exists());
}

#[tokio::test]
async fn a_host_that_died_leaves_a_postgres_to_adopt() {
    let folder = Folder::new();
    let first = folder.start().await;
    write(&first).await;
    let running = pid(&first).await;
    kill_host(first);

    let second = folder.start().await;
    assert_eq!(pid(&second).await, running);
    assert_eq!(read(&second).await, 7);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn recovers_when_both_died() {
    let folder = Folder::new();
    let first = folder.start().await;
    write(&first).await;
    // Its sessions stay for a moment as orphans.
    let _session = connect(&first).await;
    let running = pid(&first).await;
    first.keeper.abort();
    kill(running);
    kill_host(first);

    let second = folder.start().await;
    assert_ne!(pid(&second).await, running);
    assert_eq!(read(&second).await, 7);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_postmaster_that_dies_is_started_again() {
    let folder = Folder::new();
    let postgres = folder.start().await;
    write(&postgres).await;
    kill(pid(&postgres).await);
    let answered = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if let Ok((client, connection)) = postgres.config().connect(NoTls).await {
                tokio::spawn(connection);
                if client.query_one("select value from kept", &[]).await.is_ok() {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    });
    answered.await.unwrap();
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn the_number_of_an_unrelated_process_is_not_a_postmaster() {
    let folder = Folder::new();
    let first = folder.start().await;
    write(&first).await;
    let cluster = first.place.cluster.clone();
    first.stop().await.unwrap();

    // As after a reboot: our own process now has the number that the file names.
    let stale = format!("{}\n{}\n0\n5432\n\n\n0 0\nready\n", std::process::id(), cluster.display());
    std::fs::write(cluster.join("postmaster.pid"), stale).unwrap();
    let second = folder.start().await;
    assert_eq!(read(&second).await, 7);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn two_hosts_share_it_and_the_last_one_stops_it() {
    let folder = Folder::new();
    let (first, second) = tokio::join!(folder.start(), folder.start());
    assert_eq!(pid(&first).await, pid(&second).await);
    write(&first).await;
    first.stop().await.unwrap();
    assert_eq!(read(&second).await, 7);
    let cluster = second.place.cluster.clone();
    second.stop().await.unwrap();
    assert!(!cluster.join("postmaster.pid").exists());
}

#[tokio::test]
async fn a_deep_data_directory_works() {
    let folder = Folder::below(&"deeper/".repeat(20));
    let postgres = folder.start().await;
    write(&postgres).await;
    assert_eq!(read(&postgres).await, 7);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_cluster_of_another_version_is_refused_in_plain_words() {
    let folder = Folder::new();
    let place = Place::settle(&folder.data_dir).unwrap();
    std::fs::create_dir(&place.cluster).unwrap();
    std::fs::write(place.cluster.join("PG_VERSION"), "9\n").unwrap();
    let error = EmbeddedPostgres::start(&folder.data_dir).await.unwrap_err();
    assert!(error.to_string().contains("was made by PostgreSQL 9, but only"), "{error}");
}

#[tokio::test]
async fn an_error_quotes_the_log() {
    let folder = Folder::new();
    let first = folder.start().await;
    let cluster = first.place.cluster.clone();
    first.stop().await.unwrap();
    std::fs::write(cluster.join("postgresql.auto.conf"), "no_such_setting = 1\n").unwrap();
    let error = EmbeddedPostgres::start(&folder.data_dir).await.unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[tokio::test]
async fn a_new_data_directory_of_the_same_name_starts_afresh() {
    let folder = Folder::new();
    let first = Place::settle(&folder.data_dir).unwrap();
    assert_eq!(Place::settle(&folder.data_dir).unwrap().home, first.home);
    std::fs::remove_dir_all(&folder.data_dir).unwrap();
    let second = Place::settle(&folder.data_dir).unwrap();
    assert!(!second.cluster.exists());
    let _ = std::fs::remove_dir_all(&first.home);
}
