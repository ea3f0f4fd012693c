//! The child's side: takes limits upon itself, reads one request, writes one answer.
//!
//! Assumes that what it reads is hostile, and that nothing it holds is secret.

use std::error::Error as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use walker_model::{Definition, Frame, UploadCost};

use super::attempts::{self, Attempt};
use super::meter::Meter;
use super::walls::{self, Walls};
use super::{JailLimits, Order, wire};
use crate::artifact::Shape;
use crate::componentize::Rejected;
use crate::{Config, SourceLine, admit, engine, symbolize};

/// Compilers and parsers recurse as deep as their input nests.
const STACK_BYTES: usize = 64 << 20;

/// What the child is told on its command line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Instructions {
    pub(super) order: Order,
    pub(super) config: Config,
    pub(super) limits: JailLimits,
    /// What the module may cost.
    pub(super) most: UploadCost,
    /// The host's process.
    pub(super) host: u32,
    /// To `symbolize`.
    pub(super) frames: Vec<Frame>,
    /// To `attempt`: a socket to try.
    pub(super) socket: PathBuf,
}

/// What the child answers, behind the native code if there is any.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// To `admit`.
    Admitted { fingerprint: String, definitions: Vec<Definition>, shape: Shape, cost: UploadCost },
    /// To `symbolize`.
    Lines(Vec<Option<SourceLine>>),
    /// To `inspect`.
    Walls(Walls),
    /// To `attempt`.
    Attempts(Vec<Attempt>),
    /// The upload cannot be used, in words for its author.
    Rejected(String),
}

/// The hidden `jail` subcommand of the host's own program: the arguments are those after `jail`.
///
/// Reads a module from its standard input, which is a file, and writes its answer to its standard output, another. Call
/// it first of all: what it gives up is given up for all threads only while there is one.
pub fn jail_main(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let arguments: Vec<String> = arguments.into_iter().collect();
    match locked_up(&arguments) {
        Ok(code) => code,
        Err(error) => {
            // Standard error is the parent's to read, which looks for what the kernel refused.
            let (mut text, mut cause) = (error.to_string(), error.source());
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            let _ = writeln!(io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}

fn locked_up(arguments: &[String]) -> io::Result<ExitCode> {
    let [instructions] = arguments else {
        return Err(io::Error::other("the jail is started by the host, not by hand"));
    };
    let instructions: Instructions = serde_json::from_str(instructions)?;
    walls::close_inherited()?;
    let meter = Meter::open()?;
    let mut walls = walls::put_up(&instructions)?;
    // Never the process's main thread: its stack is as large as whoever started it chose.
    let worker = std::thread::Builder::new().name("jail".into()).stack_size(STACK_BYTES);
    let serves = move || {
        if instructions.order == Order::Admit {
            // Those that compile, one for each processor: they start now, since afterwards none can.
            rayon::ThreadPoolBuilder::new().build_global().map_err(io::Error::other)?;
        }
        walls.close();
        serve(instructions, walls, meter)
    };
    match worker.spawn(serves)?.join() {
        Ok(served) => served.map(|()| ExitCode::SUCCESS),
        Err(_panicked) => Ok(ExitCode::from(101)),
    }
}

fn serve(instructions: Instructions, walls: Walls, meter: Meter) -> io::Result<()> {
    // Without the buffers of the standard streams, which look for ends of lines.
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut module = || {
        let mut wasm = Vec::new();
        input.rewind()?;
        (&input).take(instructions.most.module_bytes).read_to_end(&mut wasm)?;
        io::Result::Ok(wasm)
    };
    let answer = match instructions.order {
        Order::Admit => {
            let (answer, native) = answer_admit(&instructions, &module()?, meter)?;
            output.write_all(&native)?;
            answer
        }
        Order::Symbolize => {
            let limits = &instructions.limits;
            match symbolize::resolve(&module()?, &limits.bounds, &instructions.most, &instructions.frames) {
                Ok(lines) => Answer::Lines(lines),
                Err(Rejected(message)) => Answer::Rejected(message),
            }
        }
        Order::Inspect => Answer::Walls(walls),
        Order::Hoard => {
            attempts::hoard(instructions.most.compile_memory_bytes.saturating_mul(2))?;
            Answer::Attempts(Vec::new())
        }
        Order::Attempt => Answer::Attempts(attempts::all(&instructions.socket, instructions.most.compile_memory_bytes)),
    };
    wire::write(&mut output, &answer)
}

fn answer_admit(instructions: &Instructions, wasm: &[u8], meter: Meter) -> io::Result<(Answer, Vec<u8>)> {
    let engine = engine::compiling(&instructions.config).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let most = u64::from(instructions.config.max_core_instances);
    Ok(match runtime.block_on(admit::admit(&engine, &instructions.limits.bounds, &instructions.most, most, wasm)) {
        Ok(admit::Compiled { native, shape, definitions, cost }) => {
            let fingerprint = engine::fingerprint(&engine);
            (Answer::Admitted { fingerprint, definitions, shape, cost: meter.read(cost) }, native)
        }
        // The compiler met the limit: the parent says so in words that name it.
        Err(Rejected(message)) if message.ends_with("(os error 12)") => return Err(Errno::NOMEM.into()),
        Err(Rejected(message)) => (Answer::Rejected(message), Vec::new()),
    })
}
