//! The host's side of the jail: starts a child for each module, feeds it, and judges how it ended.
//!
//! Parsing, compiling and resolving happen in the child only; nothing of a module is parsed here.

mod child;
mod wire;

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use walker_model::{Definition, Frame};

use crate::{Artifact, Config, SourceLine};
pub use child::jail_main;
use child::{Answer, Instructions};

/// Native code is a few times as large as WebAssembly; beyond this the child is not believed.
const MAX_GROWTH: u64 = 32;
/// What the smallest answers may take.
const MIN_ANSWER_BYTES: u64 = 64 << 20;
/// How much of what a dying child says is kept.
const MAX_COMPLAINT_BYTES: u64 = 4 << 10;

/// What one child may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JailLimits {
    /// Writable memory, in bytes.
    pub memory_bytes: u64,
    /// Processor time, all threads together, in seconds.
    pub cpu_seconds: u64,
    /// Wall-clock time, in seconds.
    pub wall_seconds: u64,
    /// The largest upload, in bytes.
    pub max_module_bytes: u64,
}

impl Default for JailLimits {
    fn default() -> Self {
        Self {
            // Python and JavaScript components take 0.5 GB to compile.
            memory_bytes: 2 << 30,
            // The same take 3 to 11 seconds.
            cpu_seconds: 60,
            wall_seconds: 120,
            // The same are 2 to 20 MB.
            max_module_bytes: 64 << 20,
        }
    }
}

/// Checks and compiles modules, and resolves frames, in child processes under limits.
#[derive(Debug, Clone)]
pub struct Jail {
    program: PathBuf,
    config: Config,
    limits: JailLimits,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Admit,
    Symbolize,
}

impl fmt::Display for Order {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Admit => "admit",
            Self::Symbolize => "symbolize",
        })
    }
}

impl FromStr for Order {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        match text {
            "admit" => Ok(Self::Admit),
            "symbolize" => Ok(Self::Symbolize),
            other => Err(io::Error::other(format!("the jail knows no order {other:?}"))),
        }
    }
}

impl Jail {
    /// A jail that runs `program jail …`; the program's hidden subcommand must call [`jail_main`].
    ///
    /// `config` must be the one that the [`crate::Sandbox`] was made with: code compiled under another is not loaded.
    pub fn new(program: PathBuf, config: Config, limits: JailLimits) -> Self {
        Self { program, config, limits }
    }

    /// Checks and compiles a module, and asks it what it defines.
    ///
    /// # Errors
    /// When the module may not run here, or the jail did not work.
    pub async fn admit(&self, wasm: Bytes) -> Result<Admitted, AdmitError> {
        let max = self.limits.max_module_bytes;
        if wasm.len() as u64 > max {
            let message = format!("the module has {} bytes; at most {max} are taken", wasm.len());
            return Err(AdmitError::Rejected(message));
        }
        let mut answer = self.ask(Order::Admit, &[&wasm]).await.map_err(|died| match died {
            Died::OfTheModule(message) => AdmitError::Rejected(message),
            Died::OfTheHost(message) => AdmitError::Fault(message),
        })?;
        let garbled =
            |error: io::Error| AdmitError::Fault(format!("the jail answered what nobody understands: {error}"));
        match answer.next().map_err(garbled)? {
            Answer::Admitted { fingerprint, definitions } => {
                let artifact = Artifact::trusted(answer.rest().map_err(garbled)?);
                Ok(Admitted { artifact, definitions, fingerprint })
            }
            Answer::Rejected(message) => Err(AdmitError::Rejected(message)),
            Answer::Lines(_) => Err(AdmitError::Fault("the jail answered another question".into())),
        }
    }

    /// Resolves frames to lines of the source, as far as the module's debug information goes; one for each frame.
    ///
    /// # Errors
    /// When the jail did not work, or the module cannot be read.
    pub async fn symbolize(&self, wasm: Bytes, frames: &[Frame]) -> Result<Vec<Option<SourceLine>>, JailFault> {
        let frames_json = serde_json::to_vec(frames).map_err(|error| JailFault(error.to_string()))?;
        let answer = self.ask(Order::Symbolize, &[&wasm, &frames_json]).await;
        let mut answer =
            answer.map_err(|(Died::OfTheModule(message) | Died::OfTheHost(message))| JailFault(message))?;
        match answer.next().map_err(|error| JailFault(error.to_string()))? {
            Answer::Lines(lines) if lines.len() == frames.len() => Ok(lines),
            Answer::Rejected(message) => Err(JailFault(message)),
            Answer::Lines(_) | Answer::Admitted { .. } => Err(JailFault("the jail answered another question".into())),
        }
    }

    /// Starts a child, gives it the pieces, and waits for its answer.
    async fn ask(&self, order: Order, pieces: &[&[u8]]) -> Result<Pieces, Died> {
        let wall = Duration::from_secs(self.limits.wall_seconds);
        match tokio::time::timeout(wall, self.converse(order, pieces)).await {
            Ok(answer) => answer,
            // Dropping the conversation has killed the child.
            Err(_elapsed) => {
                Err(Died::OfTheModule(format!("compiling took more than {} seconds", self.limits.wall_seconds)))
            }
        }
    }

    async fn converse(&self, order: Order, pieces: &[&[u8]]) -> Result<Pieces, Died> {
        let host =
            |what: &str, error: io::Error| Died::OfTheHost(format!("{what} {}: {error}", self.program.display()));
        let instructions = Instructions { config: self.config.clone(), limits: self.limits };
        let instructions = serde_json::to_string(&instructions).expect("plain data serialises");
        let mut child = Command::new(&self.program)
            .args(["jail", &order.to_string(), &instructions])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| host("cannot start", error))?;
        let mut stdin = child.stdin.take().expect("asked for");
        let stdout = child.stdout.take().expect("asked for");
        let stderr = child.stderr.take().expect("asked for");

        // All at once: a child may answer, complain or die before it has read everything.
        let feed = async {
            for piece in pieces {
                stdin.write_all(&(piece.len() as u64).to_le_bytes()).await?;
                stdin.write_all(piece).await?;
            }
            drop(stdin);
            io::Result::Ok(())
        };
        let max_answer = self.limits.max_module_bytes.saturating_mul(MAX_GROWTH).max(MIN_ANSWER_BYTES);
        let (mut answer, mut complaint) = (Vec::new(), Vec::new());
        let (mut answers, mut complaints) = (stdout.take(max_answer), stderr.take(MAX_COMPLAINT_BYTES));
        let (_fed, answered, complained, status) =
            tokio::join!(feed, answers.read_to_end(&mut answer), complaints.read_to_end(&mut complaint), child.wait(),);
        let status = status.map_err(|error| host("lost", error))?;
        answered.and(complained).map_err(|error| host("cannot read the answer of", error))?;
        if status.success() {
            return Ok(Pieces(Bytes::from(answer)));
        }
        Err(self.cause_of_death(status, &String::from_utf8_lossy(&complaint)))
    }

    fn cause_of_death(&self, status: ExitStatus, complaint: &str) -> Died {
        let limits = &self.limits;
        let complaint = complaint.trim();
        let memory = format!(
            "compiling took more than {} of memory; make the module smaller, or split it",
            in_words(limits.memory_bytes)
        );
        // Rust's allocator says so before it aborts; the kernel's refusals surface as errors.
        let refusals = ["memory allocation of", "Cannot allocate memory", "out of memory"];
        if refusals.iter().any(|refusal| complaint.contains(refusal)) {
            return Died::OfTheModule(memory);
        }
        let Some(signal) = status.signal() else {
            return Died::OfTheHost(format!("the jail ended with {status}: {complaint}"));
        };
        Died::OfTheModule(match Signal::from_named_raw(signal) {
            Some(Signal::XCPU) => format!("compiling took more than {} seconds of processor time", limits.cpu_seconds),
            Some(Signal::XFSZ) => memory,
            Some(Signal::KILL) => {
                return Died::OfTheHost("the jail was killed; the machine may be short of memory".into());
            }
            _ if complaint.contains("has overflowed its stack") => "the module nests too deeply to be compiled".into(),
            _ => format!("the compiler crashed on the module ({status})"),
        })
    }
}

/// Whose fault it is that a child died.
enum Died {
    OfTheModule(String),
    OfTheHost(String),
}

/// A child's answer, not looked at yet.
struct Pieces(Bytes);

impl Pieces {
    fn next(&mut self) -> io::Result<Answer> {
        Ok(serde_json::from_slice(&self.rest()?)?)
    }

    /// The next piece, without a copy.
    fn rest(&mut self) -> io::Result<Bytes> {
        let length = self.0.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
        let length = length.and_then(|length| usize::try_from(length).ok()).and_then(|length| length.checked_add(8));
        let length = length.filter(|length| *length <= self.0.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(self.0.split_to(length).slice(8..))
    }
}

fn in_words(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    UNITS
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(|| format!("{bytes} bytes"), |(unit, name)| format!("{} {name}", bytes / unit))
}
