//! Tables of limits: each row with its name, its default, and the ceiling that operators begin with.
//!
//! Knows nothing of what a row bounds, who enforces it or who may raise it.

/// One row of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Its name: in settings files, in quotas, in messages.
    pub name: &'static str,
    /// Its name beside what was used: `run.usage` and `run.limits` have the same keys.
    pub usage: &'static str,
    /// What it bounds, in one sentence.
    pub doc: &'static str,
    /// Where nobody says otherwise.
    pub default: u64,
    /// The most a quota may raise it to, where the operator does not say otherwise.
    pub ceiling: u64,
}

/// Makes a struct of numbers out of a table, with a way to each by its name.
macro_rules! table {
    (
        $( #[$meta:meta] )*
        pub struct $table:ident {
            $( #[doc = $doc:literal] $name:ident as $usage:ident = $default:expr, at most $ceiling:expr; )*
        }
    ) => {
        $( #[$meta] )*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $table {
            $( #[doc = $doc] pub $name: u64, )*
        }

        impl $table {
            /// Where nobody says otherwise.
            pub const DEFAULT: Self = Self { $( $name: $default, )* };
            /// The most that quotas may raise them to, where the operator does not say otherwise.
            pub const CEILING: Self = Self { $( $name: $ceiling, )* };
            /// Every row.
            pub const ALL: &[$crate::Limit] = &[$( $crate::Limit {
                name: stringify!($name),
                usage: stringify!($usage),
                doc: $doc,
                default: $default,
                ceiling: $ceiling,
            }, )*];

            /// The number of this name.
            pub fn get(&self, name: &str) -> Option<u64> {
                match name {
                    $( stringify!($name) => Some(self.$name), )*
                    _ => None,
                }
            }

            /// The same, to be changed.
            pub fn get_mut(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $( stringify!($name) => Some(&mut self.$name), )*
                    _ => None,
                }
            }
        }

        impl Default for $table {
            fn default() -> Self {
                Self::DEFAULT
            }
        }
    };
}

pub(crate) use table;
