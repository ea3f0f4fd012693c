//! Several hosts on one Postgres, each behind a proxy of its own; any of them, or Postgres itself, may die.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio_postgres::NoTls;
use walker_harness::{Client, Home, Host, Options, Proxy, Server};

const DATABASE: &str = "chaos";
/// Before a host that could not start, since its database is away, is started again, as service managers do.
const RESTART_PAUSE: Duration = Duration::from_millis(200);
/// How long a host may take to come back once its database does.
const RESTART: Duration = Duration::from_secs(60);

/// After so long undisturbed a host calls others dead: three heartbeats and a bit.
const SETTLES: Duration = Duration::from_secs(7);

/// What hosts may complain of when others die and connections end.
pub const EXPECTED_LOG: [&str; 14] = [
    "deadpool.postgres",
    "database",
    "lease",
    "waiting walkers",
    "dead hosts",
    "taken for dead",
    "stopped answering",
    "will run again",
    "gave up on walker",
    "could not give walker",
    "could not hand back",
    "still under way",
    LOST,
    NEWER,
];

/// Several hosts on one Postgres.
pub struct Fleet {
    server: Mutex<Option<Server>>,
    socket_config: tokio_postgres::Config,
    seats: Vec<Seat>,
    /// When connections or Postgres itself were last hurt: a host then has to find its feet before it may call others dead.
    disturbed: Mutex<Instant>,
}

/// What may be lost: a cancel is put on record after it was answered.
const LOST: &str = "is not on record";

/// What hosts of another version say of a schema that is newer than they are, before they go on with it.
const NEWER: &str = "is missing from the filesystem";

/// One host's place.
pub(crate) struct Seat {
    pub(crate) proxy: Proxy,
    home: Home,
    /// `None` while it is dead.
    host: Mutex<Option<Host>>,
    is_paused: Mutex<bool>,
    started: Mutex<Instant>,
    /// What hosts that are gone have logged as errors.
    errors: Mutex<Vec<String>>,
}

impl Fleet {
    /// Starts Postgres and `hosts` hosts, the example modules published. Every second host, and the first, is one of `beside` if
    /// that is another program.
    pub async fn start(name: &str, hosts: usize, args: &[&str], beside: Option<&Path>) -> Self {
        let server = Server::start(name).await;
        let socket_config = server.config(DATABASE);
        let (admin, connection) = server.config("postgres").connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        admin.batch_execute(&format!("create database {DATABASE}")).await.unwrap();
        let mut seats = Vec::new();
        for at in 0..hosts {
            let proxy = Proxy::start(&server.socket_dir()).await;
            let options = Options {
                // The first has made the schema when others bring it up to date.
                binary: beside.filter(|_| at % 2 == 0).map(Path::to_owned),
                database_url: Some(server.url(DATABASE, proxy.address.port())),
                args: args.iter().map(|&arg| arg.to_owned()).collect(),
                expected_log: EXPECTED_LOG.to_vec(),
                ..Options::default()
            };
            let modules: &[&str] = if seats.is_empty() { &["seed", "faults"] } else { &[] };
            let host = Host::with_modules(options, modules).await;
            seats.push(Seat {
                proxy,
                home: host.home(),
                host: Mutex::new(Some(host)),
                is_paused: Mutex::default(),
                started: Mutex::new(Instant::now()),
                errors: Mutex::default(),
            });
        }
        Self { server: Mutex::new(Some(server)), socket_config, seats, disturbed: Mutex::new(Instant::now()) }
    }

    /// How many places for hosts there are.
    pub fn size(&self) -> usize {
        self.seats.len()
    }

    pub(crate) fn seat(&self, at: usize) -> &Seat {
        &self.seats[at]
    }

    /// The way to Postgres of one host.
    pub fn proxy(&self, at: usize) -> &Proxy {
        &self.seats[at].proxy
    }

    /// A client of some host that runs, by lot.
    pub fn any_client(&self, lot: usize) -> Option<Client> {
        let clients: Vec<Client> = self.seats.iter().filter_map(Seat::client).collect();
        clients.get(lot % clients.len().max(1)).cloned()
    }

    /// A connection to the database that no fault touches but Postgres' own death.
    ///
    /// # Errors
    /// While Postgres is away.
    pub async fn database(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let (client, connection) = self.socket_config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// The ids of the hosts that live.
    pub(crate) fn live_ids(&self) -> Vec<i32> {
        self.seats.iter().filter_map(Seat::id).collect()
    }

    /// When connections or Postgres itself were last hurt.
    pub(crate) fn disturbed(&self) -> Instant {
        *self.disturbed.lock().unwrap()
    }

    pub(crate) fn disturb(&self) {
        *self.disturbed.lock().unwrap() = Instant::now();
    }

    /// A host came or went: where no other has settled, it takes that long until one may act.
    pub(crate) fn disturb_unless_settled(&self) {
        let settled = |seat: &Seat| seat.id().is_some() && seat.started.lock().unwrap().elapsed() > SETTLES;
        if !self.seats.iter().any(settled) {
            self.disturb();
        }
    }

    /// Kills Postgres as a whole and starts it again.
    pub(crate) async fn kill_postgres(self: &Arc<Self>) {
        let fleet = self.clone();
        let killed = tokio::task::spawn_blocking(move || {
            let mut server = fleet.server.lock().unwrap();
            let server = server.as_mut().unwrap();
            server.kill();
            server.start_again();
        });
        killed.await.unwrap();
        self.disturb();
    }

    /// Kills the process behind one of the hosts' connections, by lot. `false`: Postgres was away already.
    pub(crate) async fn kill_backend(&self, lot: usize) -> bool {
        let Ok(admin) = self.database().await else { return false };
        let pids = admin.query("select pid from pg_stat_activity where application_name like 'walker%'", &[]).await;
        let Some(pid) = pids.ok().and_then(|pids| Some(pids.get(lot % pids.len().max(1))?.get(0))) else {
            return false;
        };
        self.server.lock().unwrap().as_ref().unwrap().kill_backend(pid);
        self.disturb();
        true
    }

    /// How often the hosts that run have logged this.
    pub fn logged(&self, text: &str) -> usize {
        let of = |seat: &Seat| {
            let log = seat.host.lock().unwrap().as_ref().map(Host::log).unwrap_or_default();
            log.iter().filter(|line| line.contains(text)).count()
        };
        self.seats.iter().map(of).sum()
    }

    /// Errors that hosts logged, those that are gone included.
    pub fn errors(&self) -> Vec<String> {
        for seat in &self.seats {
            let log = seat.host.lock().unwrap().as_ref().map(Host::log).unwrap_or_default();
            seat.keep_errors(log);
        }
        self.seats.iter().flat_map(|seat| std::mem::take(&mut *seat.errors.lock().unwrap())).collect()
    }

    /// Stops all hosts well, then Postgres.
    pub async fn stop(self) {
        for seat in &self.seats {
            let host = seat.host.lock().unwrap().take();
            if let Some(host) = host {
                host.stop().await;
            }
        }
        let server = self.server.lock().unwrap().take();
        tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
    }
}

impl Seat {
    fn client(&self) -> Option<Client> {
        self.host.lock().unwrap().as_ref().map(|host| host.client.clone())
    }

    fn id(&self) -> Option<i32> {
        let is_paused = *self.is_paused.lock().unwrap();
        self.host.lock().unwrap().as_ref().filter(|_| !is_paused).map(Host::id)
    }

    /// Kills the host without warning. `false`: it was dead already.
    pub(crate) async fn kill(&self) -> bool {
        let host = self.host.lock().unwrap().take();
        let Some(mut host) = host else { return false };
        host.kill().await;
        self.keep_errors(host.log());
        true
    }

    /// Asks the host to stop, and waits until it has. `false`: it was dead already.
    pub(crate) async fn terminate(&self) -> bool {
        let host = self.host.lock().unwrap().take();
        let Some(mut host) = host else { return false };
        host.end().await;
        self.keep_errors(host.log());
        true
    }

    /// Starts the host again, as often as it takes.
    pub(crate) async fn start(&self) {
        let began = Instant::now();
        loop {
            match self.home.start().await {
                Ok(host) => {
                    *self.host.lock().unwrap() = Some(host);
                    *self.started.lock().unwrap() = Instant::now();
                    return;
                }
                Err(log) => assert!(began.elapsed() < RESTART, "the host does not start:\n{log}"),
            }
            tokio::time::sleep(RESTART_PAUSE).await;
        }
    }

    /// Suspends the host for a while. `false`: it is dead.
    pub(crate) async fn pause(&self, pause: Duration) -> bool {
        let Some(resume) = self.suspend() else { return false };
        tokio::time::sleep(pause).await;
        resume(self);
        true
    }

    fn suspend(&self) -> Option<fn(&Self)> {
        let host = self.host.lock().unwrap();
        host.as_ref()?.pause();
        *self.is_paused.lock().unwrap() = true;
        Some(|seat| {
            if let Some(host) = seat.host.lock().unwrap().as_ref() {
                host.resume();
            }
            *seat.is_paused.lock().unwrap() = false;
        })
    }

    fn keep_errors(&self, log: Vec<String>) {
        let is_error = |line: &String| line.contains(r#""level":"ERROR""#) || line.contains("panicked");
        let errors =
            log.into_iter().filter(|line| is_error(line) && ![LOST, NEWER].iter().any(|known| line.contains(known)));
        self.errors.lock().unwrap().extend(errors);
    }
}
