//! The same component on bare wasmtime: what anybody would write from its documentation who knows its settings.
//!
//! The engine's settings are the sandbox's; budgets, capture of output and accounts of what was used are not here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{anyhow, ensure};
use walker_sandbox::Config;
use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{Enabled, Engine, InstanceAllocationStrategy, OperatorCost, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::sandbox::{AFTER, BEFORE, Side};
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

/// The walker, compiled and linked.
pub(crate) struct BareWasmtime {
    engine: Engine,
    pre: contract::ModulePre<State>,
    clock: Arc<AtomicBool>,
}

impl BareWasmtime {
    /// Compiles a module, core or component, and starts the epochs' clock.
    pub(crate) fn new(wasm: &[u8]) -> anyhow::Result<Self> {
        let config = Config::default();
        let (engine, pre) = link(&config, &component(wasm)?).map_err(anyhow)?;
        let clock = Arc::new(AtomicBool::new(true));
        std::thread::Builder::new().name("bare-epochs".into()).spawn({
            let (engine, goes, tick) = (engine.clone(), clock.clone(), Duration::from_micros(config.tick_us));
            move || {
                while goes.load(Ordering::Relaxed) {
                    std::thread::sleep(tick);
                    engine.increment_epoch();
                }
            }
        })?;
        Ok(Self { engine, pre, clock })
    }

    /// One run in a store of its own: the walker's fields, and what it said.
    async fn call(&self) -> wasmtime::Result<(Result<String, String>, State)> {
        let mut store = Store::new(&self.engine, State::default());
        store.set_fuel(FUEL)?;
        store.epoch_deadline_async_yield_and_update(1);
        let guest = self.pre.instantiate_async(&mut store).await?;
        let root = "n::0190a4f7-3f00-7000-8000-000000000000";
        let invocation = Invocation {
            walker: "sample".into(),
            id: "w:sample:0190a4f7-3f00-7000-8000-000000000001".into(),
            node_id: root.into(),
            root_id: root.into(),
            attempt: 1,
            fields: BEFORE.into(),
            custom: None,
        };
        let fields = guest.walker_guest_guest().call_run(&mut store, &invocation).await?;
        Ok((fields, store.into_data()))
    }
}

fn link(config: &Config, component: &[u8]) -> wasmtime::Result<(Engine, contract::ModulePre<State>)> {
    let engine = Engine::new(&settings(config))?;
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

impl Drop for BareWasmtime {
    fn drop(&mut self) {
        self.clock.store(false, Ordering::Relaxed);
    }
}

impl Side for BareWasmtime {
    async fn run(&self) -> anyhow::Result<()> {
        let (fields, State { reports, saved, .. }) = self.call().await.map_err(anyhow)?;
        let is_right = fields.as_deref() == Ok(AFTER) && reports.len() == 1 && saved.as_deref() == Some(AFTER);
        ensure!(is_right, "the walker ended otherwise than it should: {fields:?}, {reports:?}, {saved:?}");
        Ok(())
    }
}

/// What one run holds.
#[derive(Default)]
struct State {
    table: ResourceTable,
    wasi: WasiCtx,
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

fn settings(config: &Config) -> wasmtime::Config {
    let guest_stack = config.stack_bytes as usize;
    let mut cost = OperatorCost::default();
    cost.variable.memory_grow_per_page = u8::MAX;
    let mut settings = wasmtime::Config::new();
    settings
        .concurrency_support(false)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .operator_cost(cost)
        .epoch_interruption(true)
        .max_wasm_stack(guest_stack)
        .async_stack_size(guest_stack + HOST_STACK_BYTES)
        .memory_init_cow(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config)));
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
        .pagemap_scan(if swap_is_off() { Enabled::Auto } else { Enabled::No });
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
