//! Durations as people write them in a query: `90s`, `500ms`, `2m`, or plain seconds.

use std::time::Duration;

/// Reads a whole number with an optional unit.
///
/// # Errors
/// What was expected, in words for the caller.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => Some(1),
        "" | "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let ms = unit_ms.and_then(|unit_ms: u64| number.parse::<u64>().ok()?.checked_mul(unit_ms));
    ms.map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is not a duration; expected a whole number and ms, s, m, h or d, such as 30s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_with_units() {
        let check =
            |text: &str, ms: Option<u64>| assert_eq!(parse(text).ok(), ms.map(Duration::from_millis), "{text:?}");
        check("90s", Some(90_000));
        check("500ms", Some(500));
        check("2m", Some(120_000));
        check("30", Some(30_000));
        check("0", Some(0));
        check("1h", Some(3_600_000));
        check("7d", Some(604_800_000));
        for bad in ["", "s", "-1s", "1.5s", "1 s", "1w", "30S", "99999999999999999999", "18446744073709551615d"] {
            check(bad, None);
        }
    }
}
