//! What one run may use. Where each default came from stands beside it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one run may use. A definition may lower them, never raise them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Fuel, in wasmtime's units: about one for each instruction.
    pub fuel: u64,
    /// Wall-clock time, in milliseconds, waiting included.
    pub time_ms: u64,
    /// The sum of all memories, in bytes.
    pub memory_bytes: u64,
    /// The sum of all tables, in elements.
    pub table_elements: u64,
    /// How many values may be reported.
    pub reports: u64,
    /// The bytes of all reports' JSON together.
    pub report_bytes: u64,
    /// The bytes of the fields' JSON, at each save and at the end.
    pub fields_bytes: u64,
    /// The bytes of the custom value's JSON.
    pub custom_bytes: u64,
    /// What is kept of its output, in bytes; the rest is cut with a marker and the run goes on.
    pub log_bytes: u64,
    /// How often the host may be asked for something.
    pub host_calls: u64,
    /// How deeply sync walkers may call each other: 1 is a walker that calls nobody.
    pub call_depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // About ten seconds of one core at the 2–5 billion instructions a second measured on tight loops.
            fuel: 20_000_000_000,
            // Background work may wait for others; a spinning walker runs out of fuel first.
            time_ms: 300_000,
            // What small functions get elsewhere (128 MiB), and far above an SDK walker's 1.2 MB.
            memory_bytes: 128 << 20,
            // Python and JavaScript guests need 100,000.
            table_elements: 120_000,
            reports: 10_000,
            report_bytes: 8 << 20,
            // Leaves room around the 4 MB fields that must come back unharmed.
            fields_bytes: 8 << 20,
            // The header that sets it from outside is held to the same size.
            custom_bytes: 4 << 10,
            log_bytes: 1 << 20,
            host_calls: 100_000,
            call_depth: 8,
        }
    }
}

impl Limits {
    /// The wall-clock limit.
    pub fn time(&self) -> Duration {
        Duration::from_millis(self.time_ms)
    }
}
