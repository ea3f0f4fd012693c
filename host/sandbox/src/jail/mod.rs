//! The host's side of the jail: starts a child for each module, feeds it, and judges how it ended.
//!
//! Parsing, compiling and resolving happen in the child only; nothing of a module is parsed here.

mod attempts;
mod child;
mod meter;
mod walls;
mod watch;
mod wire;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use walker_model::{Definition, Frame, UploadCost};

use crate::{Artifact, Bounds, Config, SourceLine};
pub use attempts::Attempt;
pub use child::jail_main;
use child::{Answer, Instructions};
pub use walls::Walls;

/// Somebody waits for a backtrace, and can do without lines: a hostile module may not make that long.
const SYMBOLIZE_CPU_MS: u64 = 5_000;
const SYMBOLIZE_WALL_SECONDS: u64 = 10;
/// The module, its component, and what their debug information indexes to.
const SYMBOLIZE_MEMORY_BYTES: u64 = 512 << 20;
/// How much of what a dying child says is kept.
const MAX_COMPLAINT_BYTES: u64 = 4 << 10;

/// What one child may use, beside what an upload may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JailLimits {
    /// Wall-clock time, in seconds.
    pub wall_seconds: u64,
    /// The largest file that the child may write: the native code, and its answer.
    pub artifact_bytes: u64,
    /// How much an upload may hold of what costs when it is compiled.
    pub bounds: Bounds,
}

impl Default for JailLimits {
    fn default() -> Self {
        Self {
            // Python and JavaScript components take 3 to 11 seconds of a processor.
            wall_seconds: 120,
            // Native code is three to six times as large as WebAssembly.
            artifact_bytes: 512 << 20,
            bounds: Bounds::default(),
        }
    }
}

/// Checks and compiles modules, and resolves frames, in child processes under limits.
#[derive(Debug, Clone)]
pub struct Jail {
    program: PathBuf,
    config: Config,
    limits: JailLimits,
    most: UploadCost,
    folder: PathBuf,
}

/// A module that may run.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// Its native code.
    pub artifact: Artifact,
    /// What it defines, checked.
    pub definitions: Vec<Definition>,
    /// The engine it was compiled for, as [`crate::Sandbox::fingerprint`] names it.
    pub fingerprint: String,
    /// What that took.
    pub cost: UploadCost,
}

/// Why a module was not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// The module may not run here; the text is for its author.
    #[error("{0}")]
    Rejected(String),
    /// The jail did not work; the module may be fine.
    #[error("cannot admit the module: {0}")]
    Fault(String),
}

/// Why frames were not resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot resolve the backtrace: {0}")]
pub struct JailFault(String);

/// What a child is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Order {
    Admit,
    Symbolize,
    Inspect,
    Attempt,
    Hoard,
}

impl Jail {
    /// A jail that runs `program jail …`; the program's hidden subcommand must call [`jail_main`].
    ///
    /// `config` must be the one that the [`crate::Sandbox`] was made with: code compiled under another is not loaded.
    /// No module may cost more than `most`. What children write lies in `folder`, in files without names.
    pub fn new(program: PathBuf, config: Config, limits: JailLimits, most: UploadCost, folder: PathBuf) -> Self {
        Self { program, config, limits, most, folder }
    }

    /// What any module may cost at most.
    pub fn most(&self) -> &UploadCost {
        &self.most
    }

    /// Checks and compiles a module that may cost so much, and asks it what it defines. Nothing of it is held in memory here.
    ///
    /// # Errors
    /// When the module may not run here, or the jail did not work.
    pub async fn admit(&self, module: &File, most: &UploadCost) -> Result<Admitted, AdmitError> {
        let fault = |error: io::Error| AdmitError::Fault(error.to_string());
        let most = most.below(&self.most);
        let (size, max) = (module.metadata().map_err(fault)?.len(), most.module_bytes);
        if size > max {
            let message = format!("the module has {size} bytes; at most {max} are taken");
            return Err(AdmitError::Rejected(message));
        }
        let input = Stdio::from(read_only(module).map_err(fault)?);
        let answer = self.ask(Instructions { most, ..self.instructions(Order::Admit) }, input).await.map_err(
            |died| match died {
                Died::OfTheModule(message) => AdmitError::Rejected(message),
                Died::OfTheHost(message) => AdmitError::Fault(message),
            },
        )?;
        match answer {
            (Answer::Admitted { fingerprint, definitions, shape, cost }, file, native_bytes) => {
                Ok(Admitted { artifact: Artifact::trusted(file, native_bytes, shape), definitions, fingerprint, cost })
            }
            (Answer::Rejected(message), ..) => Err(AdmitError::Rejected(message)),
            _ => Err(AdmitError::Fault("the jail answered another question".into())),
        }
    }

    /// Resolves frames to lines of the source, as far as the module's debug information goes; one for each frame.
    ///
    /// # Errors
    /// When the jail did not work, or the module cannot be read.
    pub async fn symbolize(&self, module: &File, frames: &[Frame]) -> Result<Vec<Option<SourceLine>>, JailFault> {
        let input = Stdio::from(read_only(module).map_err(|error| JailFault(error.to_string()))?);
        let mut instructions = self.instructions(Order::Symbolize);
        // Names are not needed to find lines, and may be long.
        instructions.frames = frames.iter().map(|frame| Frame { function: None, ..frame.clone() }).collect();
        let Instructions { limits, most, .. } = &mut instructions;
        limits.wall_seconds = limits.wall_seconds.min(SYMBOLIZE_WALL_SECONDS);
        most.compile_ms = most.compile_ms.min(SYMBOLIZE_CPU_MS);
        most.compile_memory_bytes = most.compile_memory_bytes.min(SYMBOLIZE_MEMORY_BYTES);
        match self.answer(instructions, input).await? {
            Answer::Lines(lines) if lines.len() == frames.len() => Ok(lines),
            Answer::Rejected(message) => Err(JailFault(message)),
            _ => Err(JailFault("the jail answered another question".into())),
        }
    }

    /// Which walls stand around children on this machine.
    ///
    /// # Errors
    /// When the jail did not work.
    pub async fn walls(&self) -> Result<Walls, JailFault> {
        match self.answer(self.instructions(Order::Inspect), Stdio::null()).await? {
            Answer::Walls(walls) => Ok(walls),
            _ => Err(JailFault("the jail answered another question".into())),
        }
    }

    /// What a child that was taken over could do: it tries to read, write, connect (to `socket`, too), start programs
    /// and become somebody else. For tests: where walls are missing, it succeeds.
    ///
    /// # Errors
    /// When the jail did not work.
    pub async fn attempts(&self, socket: &Path) -> Result<Vec<Attempt>, JailFault> {
        let instructions = Instructions { socket: socket.to_owned(), ..self.instructions(Order::Attempt) };
        match self.answer(instructions, Stdio::null()).await? {
            Answer::Attempts(attempts) => Ok(attempts),
            _ => Err(JailFault("the jail answered another question".into())),
        }
    }

    /// Whether a child that was taken over can hold twice its memory, in a way that the kernel does not count. For tests.
    ///
    /// # Errors
    /// When it was ended for that, as it should be.
    pub async fn hoard(&self) -> Result<(), JailFault> {
        self.answer(self.instructions(Order::Hoard), Stdio::null()).await.map(drop)
    }

    fn instructions(&self, order: Order) -> Instructions {
        Instructions {
            order,
            config: self.config.clone(),
            limits: self.limits,
            most: self.most,
            host: std::process::id(),
            frames: Vec::new(),
            socket: PathBuf::new(),
        }
    }

    async fn answer(&self, instructions: Instructions, input: Stdio) -> Result<Answer, JailFault> {
        match self.ask(instructions, input).await {
            Ok((answer, ..)) => Ok(answer),
            Err(Died::OfTheModule(message) | Died::OfTheHost(message)) => Err(JailFault(message)),
        }
    }

    /// Starts a child and waits for its answer, the file that it stands in, and how much stands before it there.
    async fn ask(&self, instructions: Instructions, input: Stdio) -> Result<(Answer, File, u64), Died> {
        let limits = instructions.limits;
        let wall = Duration::from_secs(limits.wall_seconds);
        match tokio::time::timeout(wall, self.converse(instructions, input)).await {
            Ok(answer) => answer,
            // Dropping the conversation has killed the child.
            Err(_elapsed) => {
                Err(Died::OfTheModule(format!("compiling took more than {} seconds", limits.wall_seconds)))
            }
        }
    }

    async fn converse(&self, instructions: Instructions, input: Stdio) -> Result<(Answer, File, u64), Died> {
        let host = |what: &str, error: io::Error| {
            Died::OfTheHost(format!("{what} the jail ({}): {error}", self.program.display()))
        };
        let (limits, most) = (instructions.limits, instructions.most);
        let instructions = serde_json::to_string(&instructions).expect("plain data serialises");
        let output = tempfile::tempfile_in(&self.folder).map_err(|error| host("cannot make a file for", error))?;
        let written = output.try_clone().map_err(|error| host("cannot make a file for", error))?;
        let mut child = Command::new(&self.program)
            .args(["jail", &instructions])
            .env_clear()
            .stdin(input)
            .stdout(written)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| host("cannot start", error))?;
        let stderr = child.stderr.take().expect("asked for");
        let mut complaint = Vec::new();
        let mut complaints = stderr.take(MAX_COMPLAINT_BYTES);
        // Native code counts beside the rest once it can be run.
        let too_much = watch::holds_more(child.id(), most.compile_memory_bytes.saturating_add(limits.artifact_bytes));
        let ended = async { tokio::join!(complaints.read_to_end(&mut complaint), child.wait()) };
        let (complained, status) = tokio::select! {
            ended = ended => ended,
            // Dropping the child kills it.
            () = too_much => return Err(Died::OfTheModule(out_of_memory(&most))),
        };
        let status = status.map_err(|error| host("lost", error))?;
        complained.map_err(|error| host("cannot hear", error))?;
        if !status.success() {
            return Err(cause_of_death(status, &String::from_utf8_lossy(&complaint), &limits, &most));
        }
        let (answer, before) = wire::read(&output).map_err(|error| host("cannot understand", error))?;
        Ok((answer, output, before))
    }
}

/// What an author can do about it.
const SMALLER: &str = "make the module smaller, or split it";

fn cause_of_death(status: ExitStatus, complaint: &str, limits: &JailLimits, most: &UploadCost) -> Died {
    let complaint = complaint.trim();
    // Rust's allocator says so before it aborts; the kernel's refusals surface as errors, for threads as the last one.
    let refusals =
        ["memory allocation of", "Cannot allocate memory", "out of memory", "Resource temporarily unavailable"];
    if refusals.iter().any(|refusal| complaint.contains(refusal)) {
        return Died::OfTheModule(out_of_memory(most));
    }
    let Some(signal) = status.signal() else {
        return Died::OfTheHost(format!("the jail ended with {status}: {complaint}"));
    };
    Died::OfTheModule(match Signal::from_named_raw(signal) {
        Some(Signal::XCPU) => {
            format!(
                "compiling took more than {} seconds of processor time, its limit (compile_ms); {SMALLER}",
                most.compile_ms.div_ceil(1_000)
            )
        }
        Some(Signal::XFSZ) => {
            format!("its native code is larger than {}; {SMALLER}", in_words(limits.artifact_bytes))
        }
        Some(Signal::KILL) => {
            return Died::OfTheHost("the jail was killed; the machine may be short of memory".into());
        }
        _ if complaint.contains("has overflowed its stack") => "the module nests too deeply to be compiled".into(),
        _ => format!("the compiler crashed on the module ({status})"),
    })
}

fn out_of_memory(most: &UploadCost) -> String {
    let limit = in_words(most.compile_memory_bytes);
    format!("compiling took more than {limit} of memory, its limit (compile_memory_bytes); {SMALLER}")
}

/// Whose fault it is that a child died.
enum Died {
    OfTheModule(String),
    OfTheHost(String),
}

/// The same file, for a reader who may not write to it, with a place of its own.
fn read_only(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn in_words(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    UNITS
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(|| format!("{bytes} bytes"), |(unit, name)| format!("{} {name}", bytes / unit))
}
