//! Bounds the sum of a run's memories and tables, and remembers that growth was refused.
//!
//! Knows nothing of why a guest grows.

use walker_model::Limits;
use wasmtime::ResourceLimiter;

/// Bounds the sum of all memories and of all tables of one store.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: Budget,
    tables: Budget,
    refused: Option<Refused>,
}

/// What a run asked for and did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Memory,
    Table,
}

#[derive(Debug)]
struct Budget {
    limit: u64,
    used: u64,
    peak: u64,
}

impl Budget {
    fn new(limit: u64) -> Self {
        Self { limit, used: 0, peak: 0 }
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let used = self.used.saturating_add(desired.saturating_sub(current) as u64);
        let fits = used <= self.limit;
        if fits {
            self.used = used;
            self.peak = self.peak.max(used);
        }
        fits
    }
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { memory: Budget::new(limits.memory_bytes), tables: Budget::new(limits.table_elements), refused: None }
    }

    /// The last growth that was refused, if any was.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// The largest sum of all memories, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.memory.peak
    }

    /// The largest sum of all tables, in elements.
    pub(crate) fn tables_peak(&self) -> u64 {
        self.tables.peak
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let fits = maximum.is_none_or(|maximum| desired <= maximum) && self.memory.grow(current, desired);
        if !fits {
            self.refused = Some(Refused::Memory);
        }
        Ok(fits)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        tracing::debug!("memory did not grow: {error:#}");
        self.refused = Some(Refused::Memory);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let fits = maximum.is_none_or(|maximum| desired <= maximum) && self.tables.grow(current, desired);
        if !fits {
            self.refused = Some(Refused::Table);
        }
        Ok(fits)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        tracing::debug!("table did not grow: {error:#}");
        self.refused = Some(Refused::Table);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_the_sum_not_each_one() {
        let mut limiter = Limiter::new(&Limits { memory_bytes: 100, ..Limits::default() });
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert_eq!((limiter.refused(), limiter.memory_peak()), (None, 100));
        assert!(!limiter.memory_growing(40, 41, None).unwrap());
        assert_eq!((limiter.refused(), limiter.memory_peak()), (Some(Refused::Memory), 100));
    }
}
