//! How single values are written: addresses, durations, sizes, counts.
//!
//! Knows no setting's name. An error says what was expected; the caller says where.

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

/// `500ms`, `10s`, `5m`, `2h`; a bare number is seconds.
///
/// # Errors
/// What was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let unit_ms = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    number
        .parse::<u64>()
        .ok()
        .filter(|_| unit_ms > 0)
        .and_then(|number| number.checked_mul(unit_ms))
        .map(Duration::from_millis)
        .ok_or_else(|| "expected a duration such as 500ms, 10s or 5m".to_owned())
}

/// A duration that is not zero.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("expected a duration above zero, such as 500ms, 10s or 5m".to_owned()),
        duration => Ok(duration),
    }
}

/// `64MiB`, `512 KiB`, `1GiB`; a bare number is bytes.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let shift = match unit {
        "" | "B" => Some(0),
        "KiB" | "K" => Some(10),
        "MiB" | "M" => Some(20),
        "GiB" | "G" => Some(30),
        _ => None,
    };
    number
        .parse::<u64>()
        .ok()
        .zip(shift)
        .and_then(|(number, shift)| number.checked_mul(1 << shift))
        .ok_or_else(|| "expected a size such as 64MiB, 512KiB or a number of bytes".to_owned())
}

/// A whole number of at least one.
pub(super) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number of at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// The same, as a number that cannot be zero.
pub(super) fn number(text: &str) -> Result<NonZero<u32>, String> {
    text.parse().map_err(|_| "expected a whole number of at least 1".to_owned())
}

/// A number of days, at most ten years: partitions of days are what is kept, and Postgres plans over all of them.
pub(super) fn days(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(days @ 1..=3650) => Ok(days),
        _ => Err("expected a number of days from 1 to 3650".to_owned()),
    }
}

/// A file or a folder.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("expected a path".to_owned()) } else { Ok(PathBuf::from(text)) }
}

/// `127.0.0.1:8000`, `[::1]:8000`, or a name that resolves, such as `localhost:8000`.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| "expected an address and port such as 127.0.0.1:8000".to_owned())
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(duration(text).ok(), expect.map(Duration::from_millis), "{text:?}");
        };
        check("500ms", Some(500));
        check("10s", Some(10_000));
        check("10", Some(10_000));
        check("5 m", Some(300_000));
        for bad in ["", "s", "-1s", "1.5s", "10 days", "99999999999999999999s"] {
            check(bad, None);
        }
        assert!(some_time("0s").is_err() && some_time("1ms").is_ok());
    }

    #[test]
    fn sizes() {
        let check = |text: &str, expect: Option<u64>| assert_eq!(bytes(text).ok(), expect, "{text:?}");
        check("1000", Some(1000));
        check("64MiB", Some(64 << 20));
        check("512 KiB", Some(512 << 10));
        check("1G", Some(1 << 30));
        for bad in ["", "MiB", "64MB", "-1", "99999999999GiB"] {
            check(bad, None);
        }
    }

    #[test]
    fn periods() {
        let check = |text: &str, expect: Option<u16>| assert_eq!(days(text).ok(), expect, "{text:?}");
        check("30", Some(30));
        check("3650", Some(3650));
        for bad in ["0", "-1", "30d", "3651", ""] {
            check(bad, None);
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(address("127.0.0.1:0").unwrap().port(), 0);
        assert!(address("[::1]:8000").unwrap().is_ipv6());
        assert!(address("8000").is_err());
    }
}
