//! What one run may use: one table of limits, and what it did use.
//!
//! Knows nothing of who enforces them or who may raise them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::table::table;

macro_rules! limits {
    ($( #[doc = $doc:literal] $name:ident as $usage:ident = $default:expr, at most $ceiling:expr; )*) => {
        table! {
            /// What one run may use. A definition may lower them, never raise them.
            pub struct Limits {
                $( #[doc = $doc] $name as $usage = $default, at most $ceiling; )*
            }
        }

        impl Limits {
            /// All of them in the table's order, which only ever grows at its end: how they are stored, beside every
            /// result. They read back from that as from an object. What old hosts do not know is left out at the end for
            /// as long as it is as usual, so that such defaults never change.
            pub fn values(&self) -> Vec<u64> {
                let (mut values, usual) = (vec![$( self.$name, )*], [$( Self::DEFAULT.$name, )*]);
                while values.len() > KNOWN_TO_ALL && values.last() == usual.get(values.len() - 1) {
                    values.pop();
                }
                values
            }
        }

        /// Limits that somebody lowers; `None` leaves one as it is.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct LowerLimits {
            $( #[doc = $doc] pub $name: Option<u64>, )*
        }

        impl LowerLimits {
            /// These limits, but for what is lower here.
            pub fn below(&self, limits: Limits) -> Limits {
                Limits { $( $name: self.$name.map_or(limits.$name, |asked| asked.min(limits.$name)), )* }
            }

            /// What is lowered, by name.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$( (stringify!($name), self.$name), )*].into_iter().filter_map(|(name, asked)| Some((name, asked?)))
            }

            /// The limit of this name, to be lowered.
            pub fn get_mut(&mut self, name: &str) -> Option<&mut Option<u64>> {
                match name {
                    $( stringify!($name) => Some(&mut self.$name), )*
                    _ => None,
                }
            }
        }

        /// What a run used up, beside its limits.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Usage {
            $( #[doc = $doc] #[serde(skip_serializing_if = "is_zero")] pub $usage: u64, )*
            /// From the start of the run to its end, in milliseconds.
            pub duration_ms: f64,
        }

        impl Usage {
            /// What was used under the limit of this name.
            pub fn get(&self, name: &str) -> Option<u64> {
                match name {
                    $( stringify!($name) => Some(self.$usage), )*
                    _ => None,
                }
            }
        }
    };
}

limits! {
    // About ten seconds of one core at the 2–5 billion instructions a second measured on tight loops.
    /// Fuel, in wasmtime's units: about one for each instruction; calls to the host cost by their bytes.
    fuel as fuel = 20_000_000_000, at most 2_000_000_000_000;
    // Background work may wait for others; a spinning walker runs out of fuel first.
    /// Wall-clock time, in milliseconds, waiting included.
    time_ms as time_ms = 300_000, at most 3_600_000;
    // What small functions get elsewhere (128 MiB), and far above an SDK walker's 1.2 MB.
    /// The largest sum of all its memories, in bytes.
    memory_bytes as memory_peak_bytes = 128 << 20, at most 1 << 30;
    // Python and JavaScript guests need 100,000.
    /// The largest sum of all its tables, in elements.
    table_elements as table_elements = 120_000, at most 120_000;
    /// How many values it reports.
    reports as reports = 10_000, at most 1_000_000;
    // With the fields, far below what one statement may carry to Postgres.
    /// The bytes of all its reports' JSON together.
    report_bytes as report_bytes = 8 << 20, at most 64 << 20;
    // Leaves room around the 4 MB fields that must come back unharmed.
    /// The bytes of its fields' JSON, as given, at each save and at the end.
    fields_bytes as fields_bytes = 8 << 20, at most 64 << 20;
    // The header that sets it from outside is held to the same size.
    /// The bytes of its custom value's JSON.
    custom_bytes as custom_bytes = 4 << 10, at most 64 << 10;
    /// What is kept of its output, in bytes, a line counting for at least 64; the rest is cut with a marker.
    log_bytes as log_bytes = 1 << 20, at most 64 << 20;
    // As much at once as a run may keep in all: it bites where an operator lets runs keep more.
    /// How fast its output may come, in bytes a second and as much at once; what is faster is left out with a marker.
    log_bytes_per_second as log_bytes_per_second = 1 << 20, at most 8 << 20;
    /// How often it asks the host for something.
    host_calls as host_calls = 100_000, at most 10_000_000;
    // Twice the largest single thing that may cross.
    /// What one call carries to the host, in bytes.
    host_call_bytes as host_call_bytes = 16 << 20, at most 128 << 20;
    // Python's interpreter holds tens.
    /// How many handles of the host's it holds at once: streams, timers, and what else the host lends.
    handles as handles = 1_000, at most 10_000;
    // A thousand is a page of work to hand out; a bomb needs generations (`spawn_depth`) and meets `live_walkers`.
    /// How many walkers it spawns.
    spawns as spawns = 1_000, at most 100_000;
    // Deep enough for any tree of work, and a cycle ends within a second.
    /// How many generations of spawning lie before it; a walker that nobody spawned has none.
    spawn_depth as spawn_depth = 32, at most 1_000;
    // The pool holds a store for each level of each run.
    /// How deeply sync walkers call each other; 1 is a walker that calls nobody.
    call_depth as call_depth = 8, at most 8;
    // Twice wasmtime's default: recursive parsers in guests are honest users of stack.
    /// How much stack its calls use, in bytes: as much as 64 KiB is told by the page, what is less counts as that.
    stack_bytes as stack_bytes = 1 << 20, at most 1 << 20;
    // Python guests need 200.
    /// How many core instances its component consists of.
    core_instances as core_instances = 256, at most 256;
}

/// Hosts of the first versions know so many limits, and cannot read more.
const KNOWN_TO_ALL: usize = 16;

/// It is stored beside every result: most runs leave most of it at nothing.
fn is_zero(used: &u64) -> bool {
    *used == 0
}

impl Limits {
    /// The wall-clock limit.
    pub fn time(&self) -> Duration {
        Duration::from_millis(self.time_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limit;

    #[test]
    fn every_limit_has_a_default_below_its_ceiling_and_a_place_in_usage() {
        for limit in Limits::ALL {
            let Limit { name, default, ceiling, .. } = *limit;
            assert_eq!((Limits::DEFAULT.get(name), Limits::CEILING.get(name)), (Some(default), Some(ceiling)));
            assert!(default <= ceiling, "{name}");
            assert_eq!(Usage::default().get(name), Some(0));
            let mut limits = Limits::DEFAULT;
            *limits.get_mut(name).expect("has a place") = 7;
            assert_eq!(limits.get(name), Some(7));
        }
        assert_eq!((Limits::DEFAULT.get("feul"), Usage::default().get("feul")), (None, None));
    }

    #[test]
    fn what_is_stored_reads_back() {
        let limits = Limits { fuel: 1, call_depth: 2, ..Limits::DEFAULT };
        let usage = Usage { fuel: 1, spawns: 3, ..Usage::default() };
        let stored = serde_json::to_string(&(usage, limits.values())).expect("serialises");
        assert_eq!(serde_json::from_str::<(Usage, Limits)>(&stored).expect("reads"), (usage, limits));
        assert!(stored.starts_with(r#"[{"fuel":1,"spawns":3,"duration_ms":0.0},[1,300000,"#), "{stored}");
        assert_eq!(limits.values().len(), KNOWN_TO_ALL, "hosts that know no more can read it");
        let limits = Limits { stack_bytes: 1 << 18, ..limits };
        let stored = serde_json::to_string(&limits.values()).expect("serialises");
        assert_eq!(serde_json::from_str::<Limits>(&stored).expect("reads"), limits);
        // By a host that knew fewer limits, and by one that kept them as an object.
        assert_eq!(serde_json::from_str::<Limits>("[1,2]").expect("reads").time_ms, 2);
        assert_eq!(serde_json::from_str::<Limits>(r#"{"time_ms":2}"#).expect("reads").time_ms, 2);
    }

    #[test]
    fn usage_stored_by_an_older_host_still_reads() {
        let old = r#"{"fuel":1,"memory_peak_bytes":2,"log_bytes":3,"reports":4,"report_bytes":5,"host_calls":6,"duration_ms":0.5}"#;
        let usage: Usage = serde_json::from_str(old).expect("reads");
        assert_eq!((usage.fuel, usage.host_calls, usage.spawns, usage.duration_ms), (1, 6, 0, 0.5));
    }
}
