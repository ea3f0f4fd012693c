//! What a child that was taken over would try: done from within the walls, and told.
//!
//! Knows nothing of the walls. Run on demand only, to see that they hold.

use std::ffi::c_void;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{io, ptr, thread};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
use rustix::process::{Pid, Uid};
use serde::{Deserialize, Serialize};

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What.
    pub what: String,
    /// Why it failed; `None` when it succeeded.
    pub refused: Option<String>,
}

/// Tries everything. `socket` is a Unix socket that somebody listens on, as Postgres would; `memory_bytes` is what it may have.
pub(super) fn all(socket: &Path, memory_bytes: u64) -> Vec<Attempt> {
    let mut made = Vec::new();
    let mut attempt = |what: &str, error: Option<String>| made.push(Attempt { what: what.into(), refused: error });
    fn failed<T, E: ToString>(result: Result<T, E>) -> Option<String> {
        result.err().map(|error| error.to_string())
    }
    attempt("read a file", failed(fs::read("/etc/passwd")));
    attempt("read its own memory's map", failed(fs::read("/proc/self/maps")));
    attempt("read another's environment", failed(fs::read("/proc/1/environ")));
    attempt("list a folder", failed(fs::read_dir("/")));
    attempt("look at a file", failed(fs::metadata("/etc/passwd")));
    attempt("make a file", failed(File::create("/tmp/walker-jail-attempt").and_then(|mut file| file.write_all(b"x"))));
    attempt("remove a file", failed(fs::remove_file("/tmp/walker-jail-attempt")));
    attempt("change its folder", failed(std::env::set_current_dir("/")));
    attempt("connect over TCP", failed(TcpStream::connect("127.0.0.1:1")));
    attempt("listen on TCP", failed(TcpListener::bind("127.0.0.1:0")));
    attempt("open a UDP socket", failed(UdpSocket::bind("127.0.0.1:0")));
    attempt("connect to a Unix socket", failed(UnixStream::connect(socket)));
    attempt("make a pair of sockets", failed(UnixStream::pair()));
    attempt("start a process", failed(Command::new("/bin/true").status()));
    // Asked for a user, the standard library forks instead of spawning.
    attempt("fork", failed(Command::new("/bin/true").uid(rustix::process::getuid().as_raw()).status()));
    attempt("become another program", Some(Command::new("/bin/true").exec().to_string()));
    attempt("become root", failed(rustix::thread::set_thread_uid(Uid::ROOT)));
    let host = rustix::process::getppid().unwrap_or(Pid::INIT);
    attempt("signal its host", failed(rustix::process::test_kill_process(host)));
    attempt("raise its limits", {
        let none = rustix::process::Rlimit { current: None, maximum: None };
        failed(rustix::process::setrlimit(rustix::process::Resource::Cpu, none))
    });
    attempt(
        "write to another's memory",
        failed(File::options().write(true).open(format!("/proc/{}/mem", host.as_raw_nonzero()))),
    );
    attempt("start a thread", failed(thread::Builder::new().spawn(|| {})));
    attempt("make a file in memory", failed(memfd_create("walker-jail-attempt", MemfdFlags::CLOEXEC)));
    for (what, bytes, flags) in [
        ("have more memory than its limit", memory_bytes, MapFlags::PRIVATE),
        ("have memory that is shared", 1 << 20, MapFlags::SHARED),
        ("have a stack that grows by itself", 1 << 20, MapFlags::PRIVATE | MapFlags::GROWSDOWN),
    ] {
        attempt(what, failed(map(bytes, flags)));
    }
    made
}

/// Holds so much memory that the kernel does not count: written, then made read-only. Waits to be ended for it, and does not
/// wait for ever.
#[allow(unsafe_code, reason = "no safe interface write-protects memory")]
pub(super) fn hoard(bytes: u64) -> io::Result<()> {
    const PIECE: usize = 16 << 20;
    for _ in 0..bytes.div_ceil(PIECE as u64) {
        let piece = map(PIECE as u64, MapFlags::PRIVATE)?;
        // SAFETY: it was just mapped, of this size, and belongs to nobody else.
        unsafe {
            piece.write_bytes(1, PIECE);
            mprotect(piece.cast(), PIECE, MprotectFlags::READ)?;
        }
    }
    thread::park_timeout(Duration::from_secs(30));
    Ok(())
}

/// Maps memory, and leaves it mapped.
#[allow(unsafe_code, reason = "no safe interface maps memory in every way that there is")]
fn map(bytes: u64, flags: MapFlags) -> rustix::io::Result<*mut u8> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    // SAFETY: wherever there is room, and nobody looks at it.
    unsafe { mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, flags) }
        .map(<*mut c_void>::cast)
}
