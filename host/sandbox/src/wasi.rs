//! WASI as guests see it: an empty world with clocks, seeded random numbers and captured output.
//!
//! No arguments, environment, files or sockets; nothing here reads what belongs to the host.

mod names;

use std::time::{Duration, Instant};

use rand::rngs::ChaCha12Rng;
use rand::{Rng as _, SeedableRng as _};
use wasmtime::component::{HasData, HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sockets};
use wasmtime_wasi::p2::pipe::ClosedInputStream;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, Pollable, subscribe};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtxView};
use wasmtime_wasi_io::bindings::wasi::io;

use crate::Stream;
use crate::abort::{Abort, Exit};
use crate::state::State;

/// The most random bytes in one call: far above what seeds and keys need, far below what a host notices.
const MAX_RANDOM_BYTES: u64 = 1 << 20;

/// What one entry of a list that is polled takes while the guest waits: the list's, a future's and the answer's.
const POLLED_BYTES: u64 = 128;

/// Lets guests import WASI 0.2.
///
/// # Errors
/// When two parts define the same name.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let l = linker;
    io::error::add_to_linker::<State, Table>(l, handles)?;
    io::streams::add_to_linker::<State, Table>(l, handles)?;
    io::poll::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    clocks::wall_clock::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    clocks::monotonic_clock::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    random::random::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    random::insecure::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    random::insecure_seed::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    cli::environment::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    cli::exit::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    cli::stdin::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    cli::stdout::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    cli::stderr::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    cli::terminal_input::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    cli::terminal_output::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    cli::terminal_stdin::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    cli::terminal_stdout::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    cli::terminal_stderr::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    // The libraries of guests link against these; their contexts are empty, so that every call is refused.
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(l, files)?;
    filesystem::types::add_to_linker::<State, WasiFilesystem>(l, files)?;
    sockets::tcp::add_to_linker::<State, WasiSockets>(l, no_sockets)?;
    sockets::tcp_create_socket::add_to_linker::<State, WasiSockets>(l, no_sockets)?;
    sockets::udp::add_to_linker::<State, WasiSockets>(l, no_sockets)?;
    sockets::udp_create_socket::add_to_linker::<State, WasiSockets>(l, no_sockets)?;
    sockets::instance_network::add_to_linker::<State, WasiSockets>(l, no_sockets)?;
    sockets::network::add_to_linker::<State, WasiSockets>(l, &sockets::network::LinkOptions::default(), no_sockets)?;
    sockets::ip_name_lookup::add_to_linker::<State, HasSelf<State>>(l, State::called)?;
    Ok(())
}

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

// What host functions get to see of a run, each through `State::called`: that is what charges them.

fn handles(state: &mut State) -> &mut ResourceTable {
    &mut state.called().table
}

fn files(state: &mut State) -> WasiFilesystemCtxView<'_> {
    let state = state.called();
    WasiFilesystemCtxView { ctx: &mut state.filesystem, table: &mut state.table }
}

fn no_sockets(state: &mut State) -> WasiSocketsCtxView<'_> {
    let state = state.called();
    WasiSocketsCtxView { ctx: &mut state.sockets, table: &mut state.table }
}

/// The only calls in which a guest may sleep; they end early when the run must.
impl io::poll::Host for State {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.charges.things(pollables.len())?;
        self.held.carry((pollables.len() as u64).saturating_mul(POLLED_BYTES))?;
        self.leash.wait(io::poll::Host::poll(&mut self.table, pollables)).await?
    }
}

impl io::poll::HostPollable for State {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        io::poll::HostPollable::ready(&mut self.table, pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.leash.wait(io::poll::HostPollable::block(&mut self.table, pollable)).await?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        io::poll::HostPollable::drop(&mut self.table, pollable)
    }
}

impl clocks::wall_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        Ok(datetime(self.clock.wall()))
    }

    fn resolution(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        Ok(datetime(self.clock.resolution()))
    }
}

fn datetime(time: Duration) -> clocks::wall_clock::Datetime {
    clocks::wall_clock::Datetime { seconds: time.as_secs(), nanoseconds: time.subsec_nanos() }
}

impl clocks::monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(nanos(self.clock.monotonic()))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(nanos(self.clock.resolution()))
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let alarm = Alarm(self.clock.when_shows(Duration::from_nanos(when)));
        let alarm = self.table.push(alarm)?;
        subscribe(&mut self.table, alarm)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let alarm = Alarm(Instant::now().checked_add(Duration::from_nanos(duration)));
        let alarm = self.table.push(alarm)?;
        subscribe(&mut self.table, alarm)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Rings at a time; never, where there is none.
struct Alarm(Option<Instant>);

#[async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        match self.0 {
            // Lets others run: a guest that polls in a loop would never leave its thread.
            Some(when) if when <= Instant::now() => tokio::task::yield_now().await,
            Some(when) => tokio::time::sleep_until(when.into()).await,
            None => std::future::pending().await,
        }
    }
}

/// Random numbers that all follow from the run's seed, so that tests can run a guest twice alike.
#[derive(Debug)]
pub(crate) struct Random {
    seed: [u8; 32],
    generator: Option<ChaCha12Rng>,
}

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed, generator: None }
    }

    fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > MAX_RANDOM_BYTES {
            wasmtime::bail!("asked for {len} random bytes at once; at most {MAX_RANDOM_BYTES} are given");
        }
        let mut bytes = vec![0; usize::try_from(len)?];
        self.generator().fill_bytes(&mut bytes);
        Ok(bytes)
    }

    fn number(&mut self) -> u64 {
        self.generator().next_u64()
    }

    fn generator(&mut self) -> &mut ChaCha12Rng {
        self.generator.get_or_insert_with(|| ChaCha12Rng::from_seed(self.seed))
    }
}

impl random::random::Host for State {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.charges.bytes(len)?;
        self.random.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.number())
    }
}

impl random::insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.charges.bytes(len)?;
        self.random.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.number())
    }
}

impl random::insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.random.number(), self.random.number()))
    }
}

impl cli::environment::Host for State {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl cli::exit::Host for State {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(Abort::Exit(if status.is_ok() { Exit::Success } else { Exit::Failure }).into())
    }

    fn exit_with_code(&mut self, code: u8) -> wasmtime::Result<()> {
        Err(Abort::Exit(Exit::Code(code)).into())
    }
}

impl cli::stdin::Host for State {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<DynInputStream>> {
        let stream: DynInputStream = Box::new(ClosedInputStream);
        Ok(self.table.push(stream)?)
    }
}

impl cli::stdout::Host for State {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        let stream = self.output.stream(Stream::Stdout);
        Ok(self.table.push(stream)?)
    }
}

impl cli::stderr::Host for State {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        let stream = self.output.stream(Stream::Stderr);
        Ok(self.table.push(stream)?)
    }
}

impl cli::terminal_input::Host for State {}
impl cli::terminal_input::HostTerminalInput for State {
    fn drop(&mut self, input: Resource<cli::terminal_input::TerminalInput>) -> wasmtime::Result<()> {
        self.table.delete(input)?;
        Ok(())
    }
}

impl cli::terminal_output::Host for State {}
impl cli::terminal_output::HostTerminalOutput for State {
    fn drop(&mut self, output: Resource<cli::terminal_output::TerminalOutput>) -> wasmtime::Result<()> {
        self.table.delete(output)?;
        Ok(())
    }
}

impl cli::terminal_stdin::Host for State {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_input::TerminalInput>>> {
        Ok(None)
    }
}

impl cli::terminal_stdout::Host for State {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl cli::terminal_stderr::Host for State {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}
