//! Reads `[limits]`, what tenants get, and `[ceiling]`, what they can be given at most.
//!
//! Knows nothing of what a limit bounds.

use std::ops::RangeInclusive;

use walker_model::{Quotas, SetQuotas};

use super::parse;
use crate::quotas::{Ceiling, QuotaRules};

/// Ceilings that the engine itself is bound by, and their ranges: less runs hardly anything, and each run reserves all of
/// it; four times what the largest guests known need.
const OF_THE_ENGINE: [(&str, RangeInclusive<u64>, &str); 2] = [
    ("stack_bytes", 64 << 10..=64 << 20, "a size from 64KiB to 64MiB"),
    ("core_instances", 1..=1_000, "a number from 1 to 1000"),
];

/// Reads one value: a number, or a text in the unit that the limit's name tells.
pub(super) fn value(name: &str, given: &toml::Value) -> Result<u64, String> {
    let is_size = name.contains("bytes");
    match given {
        toml::Value::Integer(number) => {
            u64::try_from(*number).map_err(|_| format!("expected a number of at least 0, not {number}"))
        }
        toml::Value::String(text) if is_size => {
            parse::bytes(text).map_err(|expected| format!("{expected}, not {text:?}"))
        }
        toml::Value::String(text) if name.ends_with("_ms") => parse::duration(text)
            .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
            .map_err(|expected| format!("{expected}, not {text:?}")),
        other => Err(format!("expected a number, not {} {other}", other.type_str())),
    }
}

/// The rules that follow from both tables. Where only one of the two is given, the other makes room for it.
///
/// # Errors
/// Each limit that is above its ceiling, and each ceiling that no engine can have.
pub(super) fn rules(limits: &SetQuotas, ceiling: &SetQuotas) -> Result<QuotaRules, Vec<String>> {
    let mut rules = QuotaRules { default: Quotas::DEFAULT, ceiling: Ceiling(Quotas::CEILING) };
    let mut mistakes = Vec::new();
    for quota in Quotas::all() {
        let (limit, most) = (limits.get(quota.name).copied(), ceiling.get(quota.name).copied());
        if let (Some(limit), Some(most)) = (limit, most)
            && limit > most
        {
            mistakes.push(format!("limits.{}: {limit} is above ceiling.{0}, {most}", quota.name));
        }
        let most = most.unwrap_or(quota.ceiling.max(limit.unwrap_or(0)));
        let limit = limit.unwrap_or(quota.default).min(most);
        if let Some((name, _, expected)) =
            OF_THE_ENGINE.iter().find(|(name, range, _)| *name == quota.name && !range.contains(&most))
        {
            mistakes.push(format!("ceiling.{name}: expected {expected}, not {most}"));
        }
        for (to, value) in [(&mut rules.default, limit), (&mut rules.ceiling.0, most)] {
            *to.get_mut(quota.name).expect("it is one of them") = value;
        }
    }
    if mistakes.is_empty() { Ok(rules) } else { Err(mistakes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_unit_that_the_name_tells() {
        let check = |name: &str, given: toml::Value, expect: Option<u64>| assert_eq!(value(name, &given).ok(), expect);
        check("fuel", 5.into(), Some(5));
        check("fuel", "5".into(), None);
        check("fuel", (-1).into(), None);
        check("memory_bytes", "64MiB".into(), Some(64 << 20));
        check("log_bytes_per_second", "1KiB".into(), Some(1 << 10));
        check("memory_bytes", "64s".into(), None);
        check("time_ms", "30s".into(), Some(30_000));
        check("time_ms", true.into(), None);
    }

    #[test]
    fn limits_and_ceiling_make_room_for_each_other() {
        let set = |value: Option<u64>| value.map(|value| ("fuel".to_owned(), value)).into_iter().collect();
        let check = |limit, most, expect: Option<(u64, u64)>| {
            let rules = rules(&set(limit), &set(most)).ok();
            assert_eq!(rules.map(|rules| (rules.default.limits.fuel, rules.ceiling.0.limits.fuel)), expect);
        };
        let (default, ceiling) = (Quotas::DEFAULT.limits.fuel, Quotas::CEILING.limits.fuel);
        check(None, None, Some((default, ceiling)));
        check(Some(5), None, Some((5, ceiling)));
        check(Some(ceiling + 1), None, Some((ceiling + 1, ceiling + 1)));
        check(None, Some(5), Some((5, 5)));
        check(Some(5), Some(5), Some((5, 5)));
        check(Some(6), Some(5), None);
    }
}
