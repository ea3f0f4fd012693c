//! How often passwords may be tried, and how long a login lasts.
//!
//! Knows nothing of who tries.

use std::num::NonZero;

/// Attempts to log in, to register or to change a password: so many at once, and so many a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logins {
    /// From one IPv4 address or one IPv6 network of 64 bits.
    pub per_address: NonZero<u32>,
    /// For one account: a tenant and an e-mail address. One address may take half of it.
    pub per_account: NonZero<u32>,
}

const fn number(number: u32) -> NonZero<u32> {
    NonZero::new(number).expect("is not zero")
}

impl Default for Logins {
    fn default() -> Self {
        Self {
            // An office behind one address comes to work; a hundredth of what two hashes at once can do.
            per_address: number(60),
            // From one place ten in a row: room for mistakes and for programs that log in often. From everywhere 28,800
            // guesses a day, of passwords of at least 8 bytes.
            per_account: number(20),
        }
    }
}
