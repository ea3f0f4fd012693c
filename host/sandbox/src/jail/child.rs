//! The child's side: takes limits upon itself, reads one request, writes one answer.
//!
//! Assumes that what it reads is hostile, and that nothing it holds is secret.

use std::io::{self, Write as _};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use walker_model::{Definition, Frame};

use super::wire;
use super::{JailLimits, Order};
use crate::componentize::Rejected;
use crate::{Config, SourceLine, admit, engine, symbolize};

/// Address space beyond the memory limit: what one module's slots reserve without using it.
const RESERVED_BYTES: u64 = 64 << 30;
/// Compiling writes no files; images of initial memory count as files and are as large as a module.
const FILE_BYTES: u64 = 1 << 30;
/// Three streams, the runtime's own, and memory images.
const OPEN_FILES: u64 = 128;
/// Compilers and parsers recurse as deep as their input nests.
const STACK_BYTES: usize = 64 << 20;

/// What the child is told on its command line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Instructions {
    pub(super) config: Config,
    pub(super) limits: JailLimits,
}

/// What the child answers, ahead of the artifact.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// To `admit`; the artifact follows.
    Admitted { fingerprint: String, definitions: Vec<Definition> },
    /// To `symbolize`.
    Lines(Vec<Option<SourceLine>>),
    /// The upload cannot be used, in words for its author.
    Rejected(String),
}

/// The hidden `jail` subcommand of the host's own program: the arguments are those after `jail`.
///
/// Reads one request from its standard input, answers on its standard output.
pub fn jail_main(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let arguments: Vec<String> = arguments.into_iter().collect();
    // Never the process's main thread: its stack is as large as whoever started it chose.
    let worker = std::thread::Builder::new().name("jail".into()).stack_size(STACK_BYTES);
    let worked = worker.spawn(move || serve(&arguments)).map(std::thread::JoinHandle::join);
    match worked {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        Ok(Ok(Err(error))) => {
            // Standard error is the parent's to read.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
        Ok(Err(_panicked)) => ExitCode::from(101),
        Err(error) => {
            let _ = writeln!(io::stderr(), "no thread to work in: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[String]) -> io::Result<()> {
    let [order, instructions] = arguments else {
        return Err(io::Error::other("the jail is started by the host, not by hand"));
    };
    let instructions: Instructions = serde_json::from_str(instructions)?;
    restrict(&instructions.limits)?;
    let max_module_bytes = instructions.limits.max_module_bytes;
    let mut input = io::stdin().lock();
    let mut output = io::BufWriter::new(io::stdout().lock());
    let wasm = wire::read(&mut input, max_module_bytes)?;
    match order.parse()? {
        Order::Admit => {
            let (answer, artifact) = answer_admit(&instructions.config, &wasm)?;
            wire::write(&mut output, &serde_json::to_vec(&answer)?)?;
            if let Some(artifact) = artifact {
                wire::write(&mut output, &artifact)?;
            }
        }
        Order::Symbolize => {
            let frames: Vec<Frame> = serde_json::from_slice(&wire::read(&mut input, max_module_bytes)?)?;
            let answer = match symbolize::resolve(&wasm, &frames) {
                Ok(lines) => Answer::Lines(lines),
                Err(Rejected(message)) => Answer::Rejected(message),
            };
            wire::write(&mut output, &serde_json::to_vec(&answer)?)?;
        }
    }
    output.flush()
}

fn answer_admit(config: &Config, wasm: &[u8]) -> io::Result<(Answer, Option<bytes::Bytes>)> {
    let engine = engine::compiling(config).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    Ok(match runtime.block_on(admit::admit(&engine, wasm)) {
        Ok(compiled) => {
            let fingerprint = engine::fingerprint(&engine);
            (Answer::Admitted { fingerprint, definitions: compiled.definitions }, Some(compiled.artifact))
        }
        Err(Rejected(message)) => (Answer::Rejected(message), None),
    })
}

/// Limits this process for good: what it may take of the machine, and that it leaves no core dump.
fn restrict(limits: &JailLimits) -> io::Result<()> {
    // Only writable memory counts as data, so that the pool's untouched reservations do not.
    limit(Resource::Data, limits.memory_bytes, 0)?;
    limit(Resource::As, limits.memory_bytes.saturating_add(RESERVED_BYTES), 0)?;
    // The kernel first says why, and kills a second later.
    limit(Resource::Cpu, limits.cpu_seconds, 1)?;
    limit(Resource::Fsize, FILE_BYTES, 0)?;
    limit(Resource::Nofile, OPEN_FILES, 0)?;
    limit(Resource::Core, 0, 0)?;
    // Walkers that run now come before modules that may run later.
    rustix::process::nice(10)?;
    Ok(())
}

fn limit(resource: Resource, value: u64, grace: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value.saturating_add(grace)) })?)
}
