//! What an operator may choose about the engine, and where each default came from.
//!
//! Knows nothing of wasmtime's own settings; `engine.rs` turns these into them.

use serde::{Deserialize, Serialize};

/// Settings of the engine: what compiled code looks like and what the pool reserves.
///
/// Serialisable, because the jailed child must compile under exactly the host's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many runs may hold a store at once, nested ones included.
    pub slots: u32,
    /// The largest memory that one instance may grow to, in bytes; a run's own limit is below it.
    pub max_memory_bytes: u64,
    /// The largest table that one instance may grow to, in elements.
    pub max_table_elements: u32,
    /// How many core instances one component may have.
    pub max_core_instances: u32,
    /// How much of each memory stays resident between runs, in bytes.
    pub keep_resident_bytes: u64,
    /// Whether the kernel is asked which pages a run dirtied.
    pub pagemap_scan: PagemapScan,
    /// The stack that guest code may use, in bytes.
    pub stack_bytes: u64,
    /// How coarse the clocks are that guests read, in microseconds.
    pub clock_resolution_us: u64,
    /// How often a running guest is looked at, in microseconds.
    pub tick_us: u64,
}

/// Whether the kernel is asked which pages a run dirtied, so that only those are reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PagemapScan {
    /// Where the kernel can, and no swap is on: pages that were dirtied and swapped out would not be reset.
    Auto,
    /// Never.
    Off,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Reserves 4 GiB of address space for each memory: 512 slots are 4 of the 128 TiB there are.
            slots: 512,
            // Room for guests that ask for more than the usual 128 MiB, where their host allows it.
            max_memory_bytes: 1 << 30,
            // Python and JavaScript guests need 100,000.
            max_table_elements: 120_000,
            // Python guests need 200.
            max_core_instances: 256,
            // With pagemap scan only dirtied pages count: an SDK walker's fit, so that its runs fault no page
            // (0 against 17 with nothing kept, 41 against 96 µs a run on one busy core). More gained nothing.
            keep_resident_bytes: 64 << 10,
            pagemap_scan: PagemapScan::Auto,
            // Twice wasmtime's default: recursive parsers in guests are honest users of stack.
            stack_bytes: 1 << 20,
            // Coarse enough to be useless for timing attacks on neighbours, fine enough for timestamps.
            clock_resolution_us: 1_000,
            // A spinning walker must end within 20 ms of being cancelled; the tick itself costs one atomic add.
            tick_us: 1_000,
        }
    }
}
