//! What an upload may cost: one table of limits.
//!
//! Knows nothing of who reads uploads.

use crate::table::table;

table! {
    /// What an upload costs: at most, as a tenant's limits; or what one did.
    pub struct UploadCost {
        // Python and JavaScript components are 2 to 20 MB.
        /// The size of a module as it is uploaded, in bytes.
        module_bytes as module_bytes = 64 << 20, at most 256 << 20;
        // CPython has 15,000. A core module can have a million.
        /// How many functions with a body a module has.
        module_functions as module_functions = 200_000, at most 1_000_000;
        /// How many types a module has, those of components included.
        module_types as module_types = 100_000, at most 1_000_000;
        // Python and JavaScript components take 0.5 GB to compile.
        /// The memory that reading and compiling a module takes, in bytes.
        compile_memory_bytes as compile_memory_bytes = 2 << 30, at most 8 << 30;
        // The same take 3 to 11 seconds.
        /// The processor time that reading and compiling a module takes, all threads together, in milliseconds.
        compile_ms as compile_ms = 60_000, at most 600_000;
    }
}

impl UploadCost {
    /// The lower of both in each.
    #[must_use]
    pub fn below(mut self, most: &Self) -> Self {
        for row in Self::ALL {
            if let (Some(number), Some(most)) = (self.get_mut(row.name), most.get(row.name)) {
                *number = (*number).min(most);
            }
        }
        self
    }
}
