//! The engine: wasmtime's settings, what the machine lets us reserve, and the engine's fingerprint.
//!
//! Knows nothing of modules or runs.

use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;

use sha2::{Digest, Sha256};
use wasmtime::{
    Enabled, Engine, InstanceAllocationStrategy, OperatorCost, PoolingAllocationConfig, WasmBacktraceDetails,
    WasmFeatures,
};

use crate::{Config, Error, PagemapScan, features};

/// Beyond the guest's own stack, for the host functions it calls: what wasmtime's defaults leave them.
const HOST_STACK_BYTES: usize = 1 << 20;
/// How many memories and tables one component may have: those that toolchains make have one and three.
const MEMORIES: u32 = 4;
const TABLES: u32 = 16;
/// What the jailed child has: it runs one component at a time.
const SLOTS_FOR_ONE: u32 = 1;
/// Large guests have instances of 16 MB.
const INSTANCE_BYTES: usize = 16 << 20;
/// An initial memory that is sparse becomes an image to be mapped, zeros and all, below this: a page of WebAssembly. Four in each
/// of the 300 core modules of an upload make 75 MiB, where wasmtime's own 16 MiB let some kilobytes fill the largest file that
/// the jail may write. What has data in more than half of its extent is mapped at any size.
const SPARSE_IMAGE_BYTES: u64 = 64 << 10;
/// What a reader of a backtrace still looks at.
const MAX_FRAMES: usize = 32;
/// Fewer slots than this are not worth a pool.
const FEWEST_SLOTS: u32 = 8;

/// How instances get their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allocation {
    /// From a pool with this many slots.
    Pooled(u32),
    /// Mapped for each run.
    OnDemand,
}

/// An engine that runs guests, with as large a pool as the machine allows.
///
/// # Errors
/// When not even an engine without a pool can be made.
pub(crate) fn running(config: &Config) -> Result<(Engine, Allocation), Error> {
    let mut slots = config.slots.max(1);
    while slots >= FEWEST_SLOTS.min(config.slots.max(1)) {
        match Engine::new(&settings(config, Allocation::Pooled(slots))) {
            Ok(engine) => {
                let pagemap_scan = may_scan(config);
                tracing::info!(slots, pagemap_scan, "engine reserved a pool of {slots} slots");
                return Ok((engine, Allocation::Pooled(slots)));
            }
            Err(error) => tracing::warn!(slots, "engine cannot reserve a pool of {slots} slots: {error:#}"),
        }
        slots /= 2;
    }
    let engine = Engine::new(&settings(config, Allocation::OnDemand)).map_err(Error::Engine)?;
    tracing::warn!("engine runs without a pool; every run will map its own memory");
    Ok((engine, Allocation::OnDemand))
}

/// An engine for the jailed child: compiles the same code, and refuses the same components, in a pool for one.
///
/// # Errors
/// When the engine cannot be made.
pub(crate) fn compiling(config: &Config) -> Result<Engine, Error> {
    // It runs one store at a time, and can open no file to ask the kernel with.
    let config = Config { pagemap_scan: PagemapScan::Off, ..config.clone() };
    Engine::new(&settings(&config, Allocation::Pooled(SLOTS_FOR_ONE))).map_err(Error::Engine)
}

/// How what is known of a compiled module is kept beside its code.
const KEPT: &str = "shape";

/// Names what kept code depends on: wasmtime's version, the engine's settings, and what is kept beside it.
pub(crate) fn fingerprint(engine: &Engine) -> String {
    let mut hasher = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    KEPT.hash(&mut hasher);
    // Half the digest: this names files, it does not authenticate them.
    hex(&hasher.0.finalize()[..16])
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Lets wasmtime feed a cryptographic hash through the interface of the standard library's hashers.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

fn settings(config: &Config, allocation: Allocation) -> wasmtime::Config {
    let mut settings = wasmtime::Config::new();
    settings.wasm_features(WasmFeatures::all(), false);
    settings.wasm_features(features::ALLOWED, true);
    settings.relaxed_simd_deterministic(true);
    settings.cranelift_nan_canonicalization(true);
    // No component-model async: it costs every store, and nobody can use it.
    settings.concurrency_support(false);

    settings.consume_fuel(true);
    settings.operator_cost(operator_cost());
    settings.epoch_interruption(true);
    let guest_stack = usize::try_from(config.stack_bytes).unwrap_or(usize::MAX >> 1);
    settings.max_wasm_stack(guest_stack);
    settings.async_stack_size(guest_stack.saturating_add(HOST_STACK_BYTES));

    // Resolving names of files and lines in this process would parse the guest's DWARF at every trap.
    settings.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    settings.wasm_backtrace_max_frames(NonZeroUsize::new(MAX_FRAMES));
    settings.memory_init_cow(true);
    settings.memory_guaranteed_dense_image_size(SPARSE_IMAGE_BYTES);

    settings.allocation_strategy(match allocation {
        Allocation::Pooled(slots) => InstanceAllocationStrategy::Pooling(pool(config, slots)),
        Allocation::OnDemand => InstanceAllocationStrategy::OnDemand,
    });
    settings
}

/// Growing memory costs what a page costs the kernel, as far as wasmtime lets it.
fn operator_cost() -> OperatorCost {
    let mut cost = OperatorCost::default();
    cost.variable.memory_grow_per_page = u8::MAX;
    cost
}

fn pool(config: &Config, slots: u32) -> PoolingAllocationConfig {
    let keep_resident = usize::try_from(config.keep_resident_bytes).unwrap_or(0);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_stacks(slots)
        // As many as all runs may have: whoever used up the pool with large components would stop the others' runs.
        .total_memories(slots.saturating_mul(MEMORIES))
        .total_tables(slots.saturating_mul(TABLES))
        .total_core_instances(slots.saturating_mul(config.max_core_instances))
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .max_core_instances_per_component(config.max_core_instances)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_memory_size(usize::try_from(config.max_memory_bytes).unwrap_or(usize::MAX))
        .table_elements(config.max_table_elements as usize)
        .linear_memory_keep_resident(keep_resident)
        .table_keep_resident(keep_resident)
        .pagemap_scan(if may_scan(config) { Enabled::Auto } else { Enabled::No });
    pool
}

fn may_scan(config: &Config) -> bool {
    config.pagemap_scan == PagemapScan::Auto && swap_is_off()
}

/// Whether no swap is on. Where nobody can tell, it may be.
fn swap_is_off() -> bool {
    std::fs::read_to_string("/proc/swaps").is_ok_and(|swaps| lists_no_swap(&swaps))
}

/// Whether `/proc/swaps` lists nothing: it has one heading line, and one line for each swap area.
fn lists_no_swap(swaps: &str) -> bool {
    let mut lines = swaps.lines();
    lines.next().is_some_and(|heading| heading.starts_with("Filename")) && lines.all(|line| line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pagemap_scan_needs_swap_to_be_off() {
        let heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        let check = |swaps: &str, expect: bool| assert_eq!(lists_no_swap(swaps), expect, "{swaps:?}");
        check(heading, true);
        check(&format!("{heading}/dev/sda2                               partition\t8388604\t\t0\t\t-2\n"), false);
        check(&format!("{heading}/swapfile file\t1\t0\t-2\n/dev/zram0 partition\t1\t0\t100\n"), false);
        // Not the file that is known: better slow than wrong.
        check("", false);
        check("/dev/sda2 partition\t8388604\t0\t-2\n", false);
        assert!(!may_scan(&Config { pagemap_scan: PagemapScan::Off, ..Config::default() }));
    }

    #[test]
    fn the_jail_compiles_what_the_host_can_load() {
        let config = Config { slots: 8, ..Config::default() };
        let (running, allocation) = running(&config).unwrap();
        assert_eq!(allocation, Allocation::Pooled(8));
        assert_eq!(fingerprint(&running), fingerprint(&compiling(&config).unwrap()));
        let other = Config { max_memory_bytes: 1 << 20, stack_bytes: 1 << 19, ..config };
        assert_eq!(fingerprint(&running), fingerprint(&compiling(&other).unwrap()), "only what code depends on");
    }
}
