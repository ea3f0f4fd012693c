//! Bounds the sum of a run's memories and tables, and remembers that growth was refused.
//!
//! Knows nothing of why a guest grows, nor how much memory there is for all runs: it asks.

use std::sync::Arc;

use walker_model::Limits;
use wasmtime::ResourceLimiter;

use crate::Effects;

/// Bounds the sum of all memories and of all tables of one store.
pub(crate) struct Limiter {
    memory: Budget,
    tables: Budget,
    refused: Option<Refused>,
    /// Where memory comes from.
    effects: Arc<dyn Effects>,
}

/// What a run asked for and did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Memory,
    Table,
    /// Within its own limit, but all runs together have as much as there is.
    SharedMemory,
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

    fn fits(&self, more: u64) -> bool {
        self.used.saturating_add(more) <= self.limit
    }

    fn use_up(&mut self, more: u64) {
        self.used += more;
        self.peak = self.peak.max(self.used);
    }
}

impl Limiter {
    pub(crate) fn new(limits: &Limits, effects: Arc<dyn Effects>) -> Self {
        let (memory, tables) = (Budget::new(limits.memory_bytes), Budget::new(limits.table_elements));
        Self { memory, tables, refused: None, effects }
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

/// A store gives its memory back as a whole: a memory never shrinks.
impl Drop for Limiter {
    fn drop(&mut self) {
        self.effects.put_back_memory(self.memory.used);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let refused = if maximum.is_some_and(|maximum| desired > maximum) || !self.memory.fits(more) {
            Refused::Memory
        } else if !self.effects.take_memory(more) {
            Refused::SharedMemory
        } else {
            self.memory.use_up(more);
            return Ok(true);
        };
        self.refused = Some(refused);
        Ok(false)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        tracing::debug!("memory did not grow: {error:#}");
        self.refused = Some(Refused::Memory);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let fits = maximum.is_none_or(|maximum| desired <= maximum) && self.tables.fits(more);
        if fits {
            self.tables.use_up(more);
        } else {
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
pub(crate) mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::*;
    use crate::{LogLine, Refusal, Reply, Request};

    /// A world with so many bytes left.
    pub(crate) struct Left(pub(crate) AtomicU64);

    impl Effects for Left {
        fn perform(&self, _: Request) -> BoxFuture<'_, Result<Reply, Refusal>> {
            std::future::pending().boxed()
        }

        fn log(&self, _: LogLine) {}

        fn take_memory(&self, bytes: u64) -> bool {
            self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes)).is_ok()
        }

        fn put_back_memory(&self, bytes: u64) {
            self.0.fetch_add(bytes, Relaxed);
        }
    }

    #[test]
    fn bounds_the_sum_not_each_one() {
        let left = Arc::new(Left(1_000.into()));
        let mut limiter = Limiter::new(&Limits { memory_bytes: 100, ..Limits::default() }, left.clone());
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert_eq!((limiter.refused(), limiter.memory_peak()), (None, 100));
        assert!(!limiter.memory_growing(40, 41, None).unwrap());
        assert_eq!((limiter.refused(), limiter.memory_peak()), (Some(Refused::Memory), 100));
        assert_eq!(left.0.load(Relaxed), 900);
        drop(limiter);
        assert_eq!(left.0.load(Relaxed), 1_000, "all of it is given back");
    }

    #[test]
    fn takes_no_more_than_there_is_for_all() {
        let left = Arc::new(Left(100.into()));
        let mut limiter = Limiter::new(&Limits::default(), left.clone());
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(60, 101, None).unwrap());
        assert_eq!((limiter.refused(), limiter.memory_peak()), (Some(Refused::SharedMemory), 60));
        assert!(limiter.memory_growing(60, 100, None).unwrap(), "what fits is still given");
        drop(limiter);
        assert_eq!(left.0.load(Relaxed), 100);
    }
}
