//! The walls around the child: what it gives up, for good, before it reads the first byte of an upload.
//!
//! Knows nothing of what is read inside. A wall that the kernel lacks is told, never passed over in silence.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::RawFd;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, LandlockStatus, Ruleset, RulesetAttr as _,
    RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Gid, Pid, Resource, Rlimit, Signal, Uid, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use serde::{Deserialize, Serialize};
use walker_model::UploadCost;

use super::JailLimits;
use super::child::Instructions;

/// Address space beyond the memory limit: what one module's slots reserve without using it.
const RESERVED_BYTES: u64 = 64 << 30;
/// Three streams, and the runtime's own.
const OPEN_FILES: u64 = 128;
/// The user who owns nothing, by the number that every Linux gives him.
const NOBODY: u32 = 65534;
/// The newest landlock this was written for; an older kernel enforces what it knows.
const LANDLOCK: ABI = ABI::V6;
/// Sets, besides names of threads, names of memory areas.
const NAME_MEMORY: u64 = 0x53564d41;

/// Which walls stand around a jailed child, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// Those that stand.
    pub standing: Vec<String>,
    /// Those that this machine cannot put up, each with the reason.
    pub missing: Vec<String>,
}

/// Puts up every wall but the last. Called with no files open but those that the child is to have, and before the process has
/// a second thread: walls stand around threads, and each new thread inherits those of its maker.
///
/// # Errors
/// When not even the limits of resources can be set, or the host is gone already.
pub(super) fn put_up(instructions: &Instructions) -> io::Result<Walls> {
    let mut walls = Walls::default();
    // Where the machine runs out of memory, this process is the one to go.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    restrict_resources(&instructions.limits, &instructions.most)?;
    walls.note("a user without rights", drop_root());
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    die_with(instructions.host)?;
    rustix::thread::set_no_new_privs(true)?;
    walls.standing.push("no new privileges".into());
    walls.note("landlock: no files, no networks, no signals", restrict_files());
    Ok(walls)
}

impl Walls {
    /// Puts up the last wall, around all threads: from now on there are no more of them.
    pub(super) fn close(&mut self) {
        self.note("seccomp: only the system calls that compiling needs, and no more threads", filter_system_calls());
    }

    fn note(&mut self, wall: &str, put_up: Result<(), String>) {
        match put_up {
            Ok(()) => self.standing.push(wall.into()),
            Err(why) => self.missing.push(format!("{wall} ({why})")),
        }
    }
}

/// Whoever started the host may have left it files that end with no program; the child has business with none.
pub(super) fn close_inherited() -> io::Result<()> {
    let open: Vec<RawFd> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        // One of them was the listing itself.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

fn restrict_resources(limits: &JailLimits, most: &UploadCost) -> io::Result<()> {
    // Only writable memory counts as data, so that the pool's untouched reservations do not.
    limit(Resource::Data, most.compile_memory_bytes, 0)?;
    limit(Resource::As, most.compile_memory_bytes.saturating_add(RESERVED_BYTES), 0)?;
    // The kernel first says why, and kills a second later.
    limit(Resource::Cpu, most.compile_ms.div_ceil(1000), 1)?;
    limit(Resource::Fsize, limits.artifact_bytes, 0)?;
    limit(Resource::Nofile, OPEN_FILES, 0)?;
    limit(Resource::Core, 0, 0)?;
    // Walkers that run now come before modules that may run later.
    rustix::process::nice(10)?;
    Ok(())
}

fn limit(resource: Resource, value: u64, grace: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value.saturating_add(grace)) })?)
}

fn drop_root() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    // The user last: afterwards nothing can be changed any more.
    rustix::thread::set_thread_groups(&[])
        .and_then(|()| rustix::thread::set_thread_res_gid(group, group, group))
        .and_then(|()| rustix::thread::set_thread_res_uid(user, user, user))
        .map_err(|error| format!("cannot become user {NOBODY}: {error}"))
}

/// Asked for after the change of user, which would undo it.
fn die_with(host: u32) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // Strictly, this one dies with the thread that started it: the host starts children on threads of its runtimes only.
    // It may have died just before.
    let parent = rustix::process::getppid().map_or(0, Pid::as_raw_pid);
    if u32::try_from(parent) == Ok(host) { Ok(()) } else { Err(io::Error::other("the host is gone")) }
}

fn restrict_files() -> Result<(), String> {
    let restricted = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(LANDLOCK)))
        .and_then(|rules| rules.scope(Scope::from_all(LANDLOCK)))
        .and_then(Ruleset::create)
        // Not one rule: what is handled and not allowed is refused.
        .and_then(|rules| rules.restrict_self());
    match restricted {
        Ok(status) if status.ruleset == RulesetStatus::FullyEnforced => Ok(()),
        Ok(status) => Err(match status.landlock {
            LandlockStatus::NotEnabled => "the kernel has it switched off".into(),
            LandlockStatus::NotImplemented => "the kernel is built without it".into(),
            LandlockStatus::Available { .. } => "the kernel knows only a part of it".into(),
        }),
        Err(error) => Err(error.to_string()),
    }
}

fn filter_system_calls() -> Result<(), String> {
    let program = |rules, otherwise, action| {
        let arch = TargetArch::try_from(std::env::consts::ARCH)?;
        BpfProgram::try_from(SeccompFilter::new(rules, otherwise, action, arch)?)
    };
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let allowed = program(allowed()?, refuse, SeccompAction::Allow).map_err(|error| error.to_string())?;
    let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
    let lacking = LACKING.iter().map(|call| (*call, Vec::new())).collect();
    let lacking = program(lacking, SeccompAction::Allow, unknown).map_err(|error| error.to_string())?;
    seccompiler::apply_filter_all_threads(&lacking)
        .and_then(|()| seccompiler::apply_filter_all_threads(&allowed))
        .map_err(|error| error.to_string())
}

/// What compiling, describing and answering need: memory, clocks, and the files that are open already.
fn allowed() -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    let mut allowed: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let when = |argument, operator, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(|error| error.to_string())
    };
    // Answered by the other filter.
    allowed.extend(LACKING.iter().map(|call| (*call, Vec::new())));
    // Only memory that counts as data: what is shared, and stacks that grow by themselves, count as something else.
    let kind = (libc::MAP_TYPE | libc::MAP_GROWSDOWN) as u64;
    allowed.insert(libc::SYS_mmap, vec![when(3, SeccompCmpOp::MaskedEq(kind), libc::MAP_PRIVATE as u64)?]);
    // Names, and nothing else that can be asked of the process.
    let names = [libc::PR_SET_NAME as u64, NAME_MEMORY];
    let names = names.map(|name| when(0, SeccompCmpOp::Eq, name)).into_iter().collect::<Result<_, _>>()?;
    allowed.insert(libc::SYS_prctl, names);
    // An abort is a signal to oneself.
    let own = u64::from(std::process::id());
    allowed.insert(libc::SYS_tgkill, vec![when(0, SeccompCmpOp::Eq, own)?]);
    // Limits may be read: without new values.
    allowed.insert(libc::SYS_prlimit64, vec![when(2, SeccompCmpOp::Eq, 0)?]);
    Ok(allowed)
}

/// What this kernel seems to lack, so that whoever asks does without. Files in memory count as nobody's memory: wasmtime
/// copies what it would map from them.
const LACKING: &[i64] = &[libc::SYS_clone3, libc::SYS_memfd_create];

const ALLOWED: &[i64] = &[
    // What is open.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_ftruncate,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    // Threads that are there.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Signals of this process's own.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Clocks and waiting.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_getrandom,
];
