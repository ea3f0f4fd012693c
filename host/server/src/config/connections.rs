//! What clients' connections may cost: how many there are, and how long each may take over nothing.
//!
//! Knows nothing of HTTP.

use std::time::Duration;

/// Bounds on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// How many are open at once; further ones wait in the kernel's queue. The open-file limit may lower it.
    pub max: usize,
    /// How long a request's head may take, from its first byte or from connecting.
    pub head_timeout: Duration,
    /// How long a connection may stay without a request.
    pub idle_timeout: Duration,
    /// The time in which a body must bring `transfer_min_bytes`, and in which a client must take some of its answer.
    pub transfer_timeout: Duration,
    /// What a body must bring in that time.
    pub transfer_min_bytes: u64,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            // Some 20 KB each.
            max: 20_000,
            // One packet, for honest clients; ten seconds leave room for several lost ones.
            head_timeout: Duration::from_secs(10),
            // Above the 60 s for which proxies keep theirs: whoever closes first must be the proxy, or requests are lost.
            idle_timeout: Duration::from_secs(75),
            transfer_timeout: Duration::from_secs(30),
            // 512 bytes a second: less than the worst modem or radio link brings.
            transfer_min_bytes: 15 << 10,
        }
    }
}
