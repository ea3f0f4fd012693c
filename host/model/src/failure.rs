//! How a run can end badly: one table of stable codes, HTTP statuses and sentences.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! codes {
    ($( $(#[doc = $doc:literal])* $name:ident = $text:literal, $http:literal, retryable: $retryable:literal; )*) => {
        /// Why a run ended badly.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $( $(#[doc = $doc])* $name, )*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Code] = &[$(Self::$name),*];

            /// The stable text used outside, in Postgres and in metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// What `schedule.http_status` becomes.
            pub fn http_status(self) -> u16 {
                match self { $(Self::$name => $http),* }
            }

            /// Whether the same walker, run again unchanged, may well end otherwise.
            pub fn is_retryable(self) -> bool {
                match self { $(Self::$name => $retryable),* }
            }
        }
    };
}

codes! {
    /// The walker returned an error.
    GuestError = "guest.error", 500, retryable: true;
    /// The walker panicked.
    GuestPanic = "guest.panic", 500, retryable: false;
    /// The module trapped: unreachable code, a bad memory access, a division by zero.
    GuestTrap = "guest.trap", 500, retryable: false;
    /// The walker called `exit` instead of returning.
    GuestExit = "guest.exit", 500, retryable: false;
    /// It used up its fuel.
    LimitFuel = "limit.fuel", 500, retryable: false;
    /// It used up its wall-clock time.
    LimitTime = "limit.time", 504, retryable: true;
    /// It was refused memory or table space, and trapped.
    LimitMemory = "limit.memory", 507, retryable: false;
    /// Its calls nested too deeply.
    LimitStack = "limit.stack", 500, retryable: false;
    /// Its component consists of too many core instances.
    LimitInstances = "limit.instances", 500, retryable: false;
    /// Its fields, reports or custom value were too large or too many.
    LimitOutput = "limit.output", 507, retryable: false;
    /// It asked the host for too much.
    LimitCalls = "limit.calls", 500, retryable: false;
    /// The host had no memory left for another of its tenant's runs.
    QuotaMemory = "quota.memory", 503, retryable: true;
    /// The host that ran it died, and its attempts ran out.
    HostLost = "host.lost", 503, retryable: true;
    /// It was cancelled.
    Cancelled = "cancelled", 499, retryable: true;
}

impl Code {
    /// Whether a walker that asks for retries is tried again after this. An error of its own always is; a stop on
    /// request never, and hosts that died are counted apart.
    pub fn counts_for_retries(self) -> bool {
        self.is_retryable() && !matches!(self, Self::Cancelled | Self::HostLost)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Code {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a failure code"))
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// A place in a module's code, as the trap gave it: cheap to record, resolved only when somebody reads it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// The function's name from the module's name section, demangled; `None` where it has none.
    pub function: Option<String>,
    /// Which core module inside the component, counted in order of appearance.
    pub module: u32,
    /// The function's index in that core module.
    pub function_index: u32,
    /// The byte offset in the core module's binary, where known.
    pub offset: Option<u64>,
}

/// How and where a run ended badly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable code.
    pub code: Code,
    /// One readable sentence: it becomes `schedule.error`.
    pub message: String,
    /// The guest's stack, innermost first; empty where none was taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<Frame>,
}

impl Failure {
    /// A failure without a stack.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), frames: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_lead_back_and_statuses_are_the_documented_ones() {
        for &code in Code::ALL {
            assert_eq!(code.as_str().parse(), Ok(code));
            let documented = match code.as_str() {
                "limit.time" => 504,
                "limit.memory" | "limit.output" => 507,
                "host.lost" | "quota.memory" => 503,
                "cancelled" => 499,
                text => {
                    assert!(text.starts_with("guest.") || text.starts_with("limit."), "{text}");
                    500
                }
            };
            assert_eq!(code.http_status(), documented, "{code}");
        }
    }
}
