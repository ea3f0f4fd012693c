//! Where a data directory's cluster and socket live, and as whom Postgres runs there.
//!
//! Knows nothing of processes. Postgres refuses to run as root, and root's folders are often closed to others; a socket's
//! path must fit 107 bytes. So neither can always be in the data directory.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use super::{Error, NAME};

/// What `sockaddr_un` holds, less the final zero.
const MAX_SOCKET_PATH: usize = 107;
/// The socket's name in its folder; Postgres derives it from the port, which means nothing else here.
const SOCKET_NAME: &str = ".s.PGSQL.5432";
/// Where root's clusters live.
const ROOT_HOMES: &str = "/var/lib/walker";
/// Names the home in the data directory of a host that runs as root.
const NOTE: &str = "postgres.location";

/// One data directory's Postgres.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Holds everything below, and the locks; 0700.
    pub(super) home: PathBuf,
    /// Postgres's data directory; absent until it is made.
    pub(super) cluster: PathBuf,
    /// The folder of the socket; 0700.
    pub(super) socket_dir: PathBuf,
    /// Postgres's own log.
    pub(super) log: PathBuf,
    /// Whom it runs as, when not as ourselves.
    user: Option<User>,
}

/// An unprivileged user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct User {
    uid: u32,
    gid: u32,
}

impl Place {
    /// Decides and makes the folders.
    pub(super) fn settle(data_dir: &Path) -> Result<Self, Error> {
        // Tokens are kept in it: nobody else's business. One that exists keeps its mode.
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(Error::file("create", data_dir))?;
        let data_dir = data_dir.canonicalize().map_err(Error::file("find", data_dir))?;
        if rustix::process::geteuid().is_root() {
            let passwd = fs::read_to_string("/etc/passwd").map_err(Error::file("read", "/etc/passwd"))?;
            let user = unprivileged(&passwd).ok_or(Error::NoUser)?;
            let home = home_for_root(&data_dir, Path::new(ROOT_HOMES), user)?;
            Self::at(home, Some(user))
        } else {
            let home = data_dir.join("postgres");
            private_folder(&home, None)?;
            Self::at(home, None)
        }
    }

    fn at(home: PathBuf, user: Option<User>) -> Result<Self, Error> {
        // As the kernel names it: a running postmaster is known by its working directory.
        let home = home.canonicalize().map_err(Error::file("find", &home))?;
        let socket_dir = socket_dir(&home);
        private_folder(&socket_dir, user)?;
        Ok(Self { cluster: home.join("cluster"), log: home.join("postgres.log"), socket_dir, home, user })
    }

    /// A command that runs one of Postgres's programs here, as the right user, out of the terminal's reach.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.home).stdin(Stdio::null());
        // Ctrl-C goes to the terminal's foreground group: the host must have the time to stop Postgres last.
        command.process_group(0);
        // The operator's PG* variables are meant for their own databases. English messages, since we read some.
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").env("PATH", "/usr/bin:/bin");
        if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", path);
        }
        if let Some(user) = self.user {
            // As root, this also drops all supplementary groups.
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Gives a file that we wrote to the user that Postgres runs as.
    pub(super) fn hand_over(&self, path: &Path) -> Result<(), Error> {
        self.user.map_or(Ok(()), |user| own(path, user))
    }

    /// The socket itself.
    pub(super) fn socket(&self) -> PathBuf {
        self.socket_dir.join(SOCKET_NAME)
    }

    pub(super) fn connect_to(&self, database: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host_path(&self.socket_dir).user(NAME).dbname(database);
        config
    }

    pub(super) fn url(&self) -> String {
        let mut host = String::new();
        for byte in self.socket_dir.as_os_str().as_encoded_bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => host.push(char::from(*byte)),
                other => host.push_str(&format!("%{other:02X}")),
            }
        }
        format!("postgresql://{NAME}@{host}/{NAME}")
    }

    /// The last lines of the log, for an error.
    pub(super) fn log_tail(&self) -> String {
        const LINES: usize = 15;
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

/// Root's cluster lives where the unprivileged user can reach it, and the data directory says where that is.
fn home_for_root(data_dir: &Path, homes: &Path, user: User) -> Result<PathBuf, Error> {
    let note = data_dir.join(NOTE);
    if let Ok(noted) = fs::read_to_string(&note) {
        let home = PathBuf::from(noted.trim());
        private_folder(&home, Some(user))?;
        return Ok(home);
    }
    if !homes.exists() {
        fs::create_dir_all(homes).map_err(Error::file("create", homes))?;
        // Whatever root's umask: the unprivileged user must get through.
        fs::set_permissions(homes, Permissions::from_mode(0o755)).map_err(Error::file("open", homes))?;
    }
    let name: String = data_dir
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(16)
        .collect();
    // A home without a note belonged to a data directory that somebody removed, to start afresh: leave it alone.
    let home = (0..)
        .map(|times| homes.join(format!("{name}-{}", short_hash(&[data_dir.as_os_str().as_encoded_bytes(), &[times]]))))
        .find(|home| !home.exists())
        .expect("some number is free");
    // The note first: a home without a note would be lost.
    fs::write(&note, format!("{}\n", home.display())).map_err(Error::file("write", &note))?;
    private_folder(&home, Some(user))?;
    Ok(home)
}

/// Beside the cluster if that is short enough, else in the user's runtime folder, else in /tmp.
fn socket_dir(home: &Path) -> PathBuf {
    let near = home.join("socket");
    if near.as_os_str().len() + 1 + SOCKET_NAME.len() <= MAX_SOCKET_PATH {
        return near;
    }
    let name = format!("walker-{}", short_hash(&[home.as_os_str().as_encoded_bytes()]));
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_dir());
    runtime.unwrap_or_else(|| PathBuf::from("/tmp")).join(name)
}

fn short_hash(parts: &[&[u8]]) -> String {
    let digest = parts.iter().fold(Sha256::new(), |digest, part| digest.chain_update(part)).finalize();
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Makes `folder`, or checks that nobody else can have made it: Postgres trusts whoever reaches its socket.
fn private_folder(folder: &Path, user: Option<User>) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::file("create", folder)(error)),
    }
    let found = fs::symlink_metadata(folder).map_err(Error::file("inspect", folder))?;
    let ours = rustix::process::geteuid().as_raw();
    let owners = [Some(ours), user.map(|user| user.uid)];
    if !found.is_dir() || !owners.contains(&Some(found.uid())) {
        return Err(Error::UnsafeFolder(folder.to_owned()));
    }
    fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(Error::file("close", folder))?;
    user.map_or(Ok(()), |user| own(folder, user))
}

fn own(path: &Path, user: User) -> Result<(), Error> {
    chown(path, Some(user.uid), Some(user.gid)).map_err(Error::file("change the owner of", path))
}

/// The user to run as, from the text of `/etc/passwd`.
fn unprivileged(passwd: &str) -> Option<User> {
    ["postgres", NAME, "nobody"].iter().find_map(|wanted| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2);
        let user = User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? };
        (user.uid != 0).then_some(user)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_an_unprivileged_user() {
        let check = |passwd: &str, expect: Option<u32>| {
            assert_eq!(unprivileged(passwd).map(|user| user.uid), expect, "{passwd}");
        };
        let nobody = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
        check(nobody, Some(65534));
        check(&format!("{nobody}postgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n"), Some(101));
        check(&format!("{nobody}walker:x:0:0::/:/bin/sh\n"), Some(65534));
        check("root:x:0:0::/root:/bin/sh\n", None);
    }

    #[test]
    fn a_deep_folder_gets_its_socket_elsewhere() {
        let near = socket_dir(Path::new("/srv/walker/postgres"));
        assert_eq!(near, Path::new("/srv/walker/postgres/socket"));
        let deep = PathBuf::from(format!("/srv/{}/postgres", "deep/".repeat(30)));
        let far = socket_dir(&deep);
        assert!(far.join(SOCKET_NAME).as_os_str().len() <= MAX_SOCKET_PATH, "{}", far.display());
        assert_ne!(far, socket_dir(&deep.join("other")));
    }

    #[test]
    fn refuses_a_socket_folder_that_is_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(matches!(private_folder(&link, None), Err(Error::UnsafeFolder(_))));
    }

    #[test]
    fn the_url_leads_to_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("with space");
        fs::create_dir(&home).unwrap();
        let place = Place::at(home, None).unwrap();
        let config: tokio_postgres::Config = place.url().parse().unwrap();
        assert_eq!(config.get_hosts(), place.connect_to(NAME).get_hosts());
        assert_eq!((config.get_user(), config.get_dbname()), (Some(NAME), Some(NAME)));
    }
}
