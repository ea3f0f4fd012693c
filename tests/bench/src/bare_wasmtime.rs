//! The same component on bare wasmtime: what anybody would write from its documentation who knows its settings.
//!
//! The engine's settings are the sandbox's; budgets, capture of output and accounts of what was used are not here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use walker_model::Limits;
use walker_sandbox::{Config, PagemapScan};
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{
    Enabled, Engine, InstanceAllocationStrategy, OperatorCost, PoolingAllocationConfig, Store, StoreLimits, Trap,
    UpdateDeadline,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::sandbox::{AFTER, SPIN_FUEL, Side, Subject};
use contract::exports::walker::guest::guest::Invocation;
use contract::walker::guest::{lifecycle, run, types, walkers};

#[allow(unreachable_pub, reason = "generated from the contract")]
mod contract {
    wasmtime::component::bindgen!({
        path: "../../guest-sdk/wit",
        world: "module",
        imports: {
            "walker:guest/run.save": async,
            "walker:guest/walkers.read": async,
            "walker:guest/walkers.spawn": async,
            "walker:guest/walkers.call": async,
        },
        exports: { default: async },
    });
}

/// Enough for any run; the same work as the sandbox's count.
const FUEL: u64 = 20_000_000_000;
/// What the sandbox adds to the guest's own stack.
const HOST_STACK_BYTES: usize = 1 << 20;

/// What bounds a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metering {
    /// Nothing: how fast the code could be.
    None,
    /// A budget of fuel, and nothing that could end or interrupt a run before that.
    Fuel,
    /// The same, giving way to others each time so much was burnt.
    YieldingFuel,
    /// Only epochs: time, but no budget.
    Epochs,
    /// What the sandbox interrupts and meters with.
    FuelAndEpochs,
    /// Every limit of wasmtime that the sandbox sets: also of memories, tables, handles and what calls carry.
    All,
}

impl Metering {
    /// Sets an engine up for it.
    pub(crate) fn set(self, settings: &mut wasmtime::Config) {
        settings.consume_fuel(!matches!(self, Self::None | Self::Epochs));
        settings.epoch_interruption(matches!(self, Self::Epochs | Self::FuelAndEpochs | Self::All));
    }

    /// Sets a store up for it.
    pub(crate) fn bound<T>(self, store: &mut Store<T>, fuel: u64) -> wasmtime::Result<()> {
        if !matches!(self, Self::None | Self::Epochs) {
            store.set_fuel(fuel)?;
        }
        match self {
            Self::YieldingFuel => store.fuel_async_yield_interval(Some(YIELD_FUEL))?,
            Self::Epochs | Self::FuelAndEpochs | Self::All => store.epoch_deadline_async_yield_and_update(1),
            Self::None | Self::Fuel => {}
        }
        Ok(())
    }
}

/// About what burns in one tick.
const YIELD_FUEL: u64 = 2_000_000;

/// Moves an engine's epochs on until it is dropped; slowly while nothing asks for it, lest it disturb the other sides' turns.
pub(crate) struct Clock(Arc<Ticks>);

#[derive(Default)]
struct Ticks {
    is_over: AtomicBool,
    is_wanted: AtomicBool,
}

/// For how many ticks the clock goes on at its pace after it was last asked for, and how much slower it is then.
const IDLE_TICKS: u32 = 100;
const IDLE_PACE: u32 = 20;

impl Clock {
    /// Starts it.
    pub(crate) fn start(engine: &Engine) -> anyhow::Result<Self> {
        let ticks = Arc::new(Ticks::default());
        std::thread::Builder::new().name("bare-epochs".into()).spawn({
            let (engine, ticks) = (engine.clone(), ticks.clone());
            let tick = Duration::from_micros(Config::default().tick_us);
            move || {
                let mut idle = 0;
                while !ticks.is_over.load(Ordering::Relaxed) {
                    std::thread::sleep(if idle < IDLE_TICKS { tick } else { tick * IDLE_PACE });
                    engine.increment_epoch();
                    idle = if ticks.is_wanted.swap(false, Ordering::Relaxed) { 0 } else { idle + 1 };
                }
            }
        })?;
        Ok(Self(ticks))
    }

    /// Asks for ticks at their pace for a while.
    fn want(&self) {
        // Written only where it is not set: the line is shared by all threads that measure.
        if !self.0.is_wanted.load(Ordering::Relaxed) {
            self.0.is_wanted.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// The walker, compiled and linked.
pub(crate) struct BareWasmtime {
    subject: Subject,
    metering: Metering,
    engine: Engine,
    pre: contract::ModulePre<State>,
    clock: Clock,
}

impl BareWasmtime {
    /// Compiles the walker's module and starts the epochs' clock.
    pub(crate) fn new(subject: Subject, metering: Metering, pagemap_scan: PagemapScan) -> anyhow::Result<Self> {
        let config = Config { pagemap_scan, ..Config::default() };
        let wasm = walker_harness::module(subject.parts().0);
        let (engine, pre) = link(&config, metering, &component(&wasm)?).map_err(anyhow)?;
        Ok(Self { subject, metering, clock: Clock::start(&engine)?, engine, pre })
    }

    /// One run: the walker's fields.
    async fn call(&self, store: &mut Store<State>) -> wasmtime::Result<Result<String, String>> {
        self.clock.want();
        let fuel = if self.subject == Subject::Spins { SPIN_FUEL } else { FUEL };
        self.metering.bound(store, fuel)?;
        if self.metering == Metering::All {
            all_limits(store)?;
        }
        let guest = self.pre.instantiate_async(&mut *store).await?;
        let (_, name, fields) = self.subject.parts();
        let root = "n::0190a4f7-3f00-7000-8000-000000000000";
        let invocation = Invocation {
            walker: name.into(),
            id: format!("w:{name}:0190a4f7-3f00-7000-8000-000000000001"),
            node_id: root.into(),
            root_id: root.into(),
            attempt: 1,
            fields: fields.into(),
            custom: None,
        };
        guest.walker_guest_guest().call_run(store, &invocation).await
    }
}

/// What the sandbox sets beyond fuel and epochs, with a look at the time whenever the epoch moves.
fn all_limits(store: &mut Store<State>) -> wasmtime::Result<()> {
    let limits = Limits::default();
    store.fuel_async_yield_interval(Some(YIELD_FUEL))?;
    store.limiter(|state| &mut state.limits);
    store.set_epoch_deadline(1);
    let until = Instant::now() + limits.time();
    store.epoch_deadline_callback(move |_| match Instant::now() > until {
        true => Err(wasmtime::Error::msg("its time is over")),
        false => Ok(UpdateDeadline::Yield(1)),
    });
    store.set_hostcall_fuel(limits.host_call_bytes as usize);
    store.set_max_component_handles(limits.handles as usize);
    Ok(())
}

fn link(
    config: &Config,
    metering: Metering,
    component: &[u8],
) -> wasmtime::Result<(Engine, contract::ModulePre<State>)> {
    let engine = Engine::new(&settings(config, metering))?;
    let component = Component::new(&engine, component)?;
    component.initialize_copy_on_write_image()?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    types::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    run::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    walkers::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    lifecycle::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    let pre = contract::ModulePre::new(linker.instantiate_pre(&component)?)?;
    Ok((engine, pre))
}

fn anyhow(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("bare wasmtime failed: {error:?}")
}

impl Side for BareWasmtime {
    async fn run(&self) -> anyhow::Result<()> {
        let mut store = Store::new(&self.engine, State::default());
        let fields = self.call(&mut store).await;
        let State { reports, saved, .. } = store.into_data();
        let is_right = match (self.subject, &fields) {
            (Subject::Sample, Ok(fields)) => {
                fields.as_deref() == Ok(AFTER) && reports.len() == 1 && saved.as_deref() == Some(AFTER)
            }
            (Subject::Spins, Err(error)) => error.downcast_ref() == Some(&Trap::OutOfFuel),
            _ => false,
        };
        ensure!(is_right, "the walker ended otherwise than it should: {fields:?}, {reports:?}, {saved:?}");
        Ok(())
    }
}

/// What one run holds.
#[derive(Default)]
struct State {
    table: ResourceTable,
    wasi: WasiCtx,
    limits: StoreLimits,
    reports: Vec<String>,
    saved: Option<String>,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl types::Host for State {}

impl run::Host for State {
    fn report(&mut self, value: String) -> Result<(), types::Problem> {
        self.reports.push(value);
        Ok(())
    }

    async fn save(&mut self, fields: String) -> Result<(), types::Problem> {
        self.saved = Some(fields);
        Ok(())
    }

    fn set_http_status(&mut self, _status: u16) -> Result<(), types::Problem> {
        Err(unused())
    }

    fn set_custom(&mut self, _value: String) -> Result<(), types::Problem> {
        Err(unused())
    }
}

impl walkers::Host for State {
    async fn read(&mut self, _id: String) -> Result<walkers::Seen, types::Problem> {
        Err(unused())
    }

    async fn spawn(&mut self, _: String, _: String, _: Option<String>) -> Result<String, types::Problem> {
        Err(unused())
    }

    async fn call(&mut self, _: String, _: String, _: Option<String>) -> Result<Vec<String>, types::Problem> {
        Err(unused())
    }
}

impl lifecycle::Host for State {
    fn panicked(&mut self, _message: String, _file: String, _line: u32) {}
}

/// What `sample` never asks for.
fn unused() -> types::Problem {
    types::Problem { code: "unused".into(), message: "`sample` does not ask for this".into() }
}

fn settings(config: &Config, metering: Metering) -> wasmtime::Config {
    let guest_stack = config.stack_bytes as usize;
    let mut cost = OperatorCost::default();
    cost.variable.memory_grow_per_page = u8::MAX;
    let mut settings = wasmtime::Config::new();
    settings
        .concurrency_support(false)
        .cranelift_nan_canonicalization(true)
        .operator_cost(cost)
        .max_wasm_stack(guest_stack)
        .async_stack_size(guest_stack + HOST_STACK_BYTES)
        .memory_init_cow(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config)));
    metering.set(&mut settings);
    settings
}

fn pool(config: &Config) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(config.slots)
        .total_stacks(config.slots)
        .total_memories(config.slots * 2)
        .total_tables(config.slots * 8)
        .total_core_instances(config.slots * config.max_core_instances)
        .max_memory_size(config.max_memory_bytes as usize)
        .table_elements(config.max_table_elements as usize)
        .linear_memory_keep_resident(config.keep_resident_bytes as usize)
        .table_keep_resident(config.keep_resident_bytes as usize)
        .pagemap_scan(if config.pagemap_scan == PagemapScan::Auto && swap_is_off() {
            Enabled::Auto
        } else {
            Enabled::No
        });
    pool
}

/// As the sandbox decides it: one heading line, and one line for each swap area.
fn swap_is_off() -> bool {
    std::fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() <= 1)
}

/// A component, made from a core module where it is one, as the jail does.
fn component(wasm: &[u8]) -> anyhow::Result<Vec<u8>> {
    if wasm.get(4..8) != Some(&[1, 0, 0, 0]) {
        return Ok(wasm.to_vec());
    }
    use wasi_preview1_component_adapter_provider as adapter;
    let encoder = wit_component::ComponentEncoder::default().module(wasm)?;
    let mut encoder = encoder
        .adapter(adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?;
    encoder.encode()
}
