//! What stands in the brackets of `#[walker(..)]` on a struct.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, ExprLit, Ident, Lit, Token};

use crate::mistakes::Mistakes;
use crate::names::{FORM, is_name};

const KNOWN: &str = "`async`, `public`, `name = \"…\"`, `concurrency = 4`, `timeout = \"30s\"`, `fuel = 1_000_000`, \
     `memory = \"64MiB\"`, `log = \"64KiB\"`, `reports = 10`, `host_calls = 100`, `spawns = 10`, another limit by \
     its name, such as `handles = 10` or `report_bytes = \"64KiB\"`, `retries = 3`, `backoff = \"2s\"` or `max_backoff = \"5m\"`";
/// As many as a host takes.
const MAX_RETRIES: u64 = 100;
/// As long as a host waits before a retry: a day.
const MAX_BACKOFF_MS: u64 = 86_400_000;

#[derive(Default)]
pub(crate) struct Options {
    pub(crate) is_async: bool,
    pub(crate) is_public: bool,
    pub(crate) name: Option<String>,
    /// The host's key and the value, for what was asked.
    pub(crate) settings: Vec<(&'static str, u64)>,
}

impl Options {
    pub(crate) fn parse(tokens: TokenStream, mistakes: &mut Mistakes) -> Self {
        let mut options = Self::default();
        let mut seen: Vec<Ident> = Vec::new();
        let result = Parser::parse2(
            |input: ParseStream<'_>| {
                while !input.is_empty() {
                    let key = input
                        .call(Ident::parse_any)
                        .map_err(|error| syn::Error::new(error.span(), format!("expected {KNOWN}")))?;
                    let value = if input.peek(Token![=]) {
                        input.parse::<Token![=]>()?;
                        Some(input.parse::<Expr>()?)
                    } else {
                        None
                    };
                    if seen.contains(&key) {
                        mistakes.at(&key, format!("`{key}` is given twice: leave one out"));
                    }
                    options.set(&key, value, mistakes);
                    seen.push(key);
                    if !input.is_empty() {
                        input
                            .parse::<Token![,]>()
                            .map_err(|error| syn::Error::new(error.span(), "put a comma between two options"))?;
                    }
                }
                Ok(())
            },
            tokens,
        );
        if let Err(error) = result {
            mistakes.take(error);
        }
        options.check_retries(&seen, mistakes);
        options
    }

    /// What only makes sense together.
    fn check_retries(&self, seen: &[Ident], mistakes: &mut Mistakes) {
        let given = |name: &str| seen.iter().find(|key| *key == name);
        let setting = |name: &str| self.settings.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        if let (Some(retries), None) = (given("retries"), given("async")) {
            mistakes.at(
                retries,
                "only an async walker is tried again: the caller of another one waits for it; add `async`",
            );
        }
        for name in ["backoff", "max_backoff"] {
            if let (Some(key), None) = (given(name), given("retries")) {
                mistakes.at(key, format!("`{name}` is the pause before a retry: say how many with `retries = 3`"));
            }
        }
        if let (Some(first), Some(longest), Some(key)) =
            (setting("backoff_ms"), setting("max_backoff_ms"), given("max_backoff"))
            && longest < first
        {
            mistakes.at(key, "`max_backoff` is the longest pause: it cannot be shorter than `backoff`, the first one");
        }
    }

    fn set(&mut self, key: &Ident, value: Option<Expr>, mistakes: &mut Mistakes) {
        match (key.to_string().as_str(), value) {
            ("async", None) => self.is_async = true,
            ("public", None) => self.is_public = true,
            (flag @ ("async" | "public"), Some(value)) => {
                mistakes.at(&value, format!("`{flag}` takes no value: write `{flag}` alone, or leave it out"));
            }
            ("name", value) => match text(value.as_ref()) {
                Some(name) if is_name(&name) => self.name = Some(name),
                Some(name) => mistakes.at(&value, format!("`{name}` cannot name a walker: use {FORM}")),
                None => wants(key, value.as_ref(), "a name in quotes: `name = \"sample\"`", mistakes),
            },
            ("timeout", value) => match text(value.as_ref()).and_then(|text| quantity(&text, &TIMES)) {
                Some(timeout) => self.settings.push(("timeout_ms", timeout)),
                None => wants(
                    key,
                    value.as_ref(),
                    "a time in quotes, in `ms`, `s`, `m` or `h`: `timeout = \"30s\"`",
                    mistakes,
                ),
            },
            ("retries", value) => match value.as_ref().and_then(number) {
                Some(times) if times <= MAX_RETRIES => self.settings.push(("retries", times)),
                _ => wants(
                    key,
                    value.as_ref(),
                    "how often it is tried again at most, up to 100: `retries = 3`",
                    mistakes,
                ),
            },
            (pause @ ("backoff" | "max_backoff"), value) => {
                let read = text(value.as_ref()).and_then(|text| quantity(&text, &TIMES));
                match read.filter(|ms| *ms <= MAX_BACKOFF_MS) {
                    Some(ms) if pause == "backoff" => self.settings.push(("backoff_ms", ms)),
                    Some(ms) => self.settings.push(("max_backoff_ms", ms)),
                    None => wants(
                        key,
                        value.as_ref(),
                        &format!("a time in quotes, in `ms`, `s`, `m` or `h`, up to a day: `{pause} = \"2s\"`"),
                        mistakes,
                    ),
                }
            }
            ("fuel", value) => match value.as_ref().and_then(number) {
                Some(fuel) if fuel > 0 => self.settings.push(("fuel", fuel)),
                _ => {
                    wants(key, value.as_ref(), "a number, about one for each instruction: `fuel = 1_000_000`", mistakes)
                }
            },
            ("concurrency", value) => match value.as_ref().and_then(number) {
                Some(count) if (1..=u64::from(u32::MAX)).contains(&count) => self.settings.push(("concurrency", count)),
                _ => wants(key, value.as_ref(), "how many may run at once, at least 1: `concurrency = 4`", mistakes),
            },
            (name, value) => self.set_limit(key, name, value.as_ref(), mistakes),
        }
    }

    /// Limits that are sizes or numbers.
    fn set_limit(&mut self, key: &Ident, name: &str, value: Option<&Expr>, mistakes: &mut Mistakes) {
        let size = SIZE_LIMITS.into_iter().find(|(option, _)| *option == name);
        let count = COUNT_LIMITS.into_iter().find(|option| *option == name);
        match (size, count) {
            (Some((_, setting)), _) => match text(value).and_then(|text| quantity(&text, &SIZES)) {
                Some(bytes) => self.settings.push((setting, bytes)),
                None => {
                    let what = format!("a size in quotes, in `KiB`, `MiB` or `GiB`: `{name} = \"64MiB\"`");
                    wants(key, value, &what, mistakes);
                }
            },
            (None, Some(setting)) => match value.and_then(number) {
                Some(most) => self.settings.push((setting, most)),
                None => wants(key, value, &format!("a number: `{name} = 10`"), mistakes),
            },
            (None, None) => mistakes.at(key, format!("`#[walker]` has no option `{key}`: use {KNOWN}")),
        }
    }
}

/// Options whose value is how many.
const COUNT_LIMITS: [&str; 8] =
    ["reports", "host_calls", "spawns", "spawn_depth", "call_depth", "handles", "table_elements", "core_instances"];
/// Options whose value is how large, and what hosts call them.
const SIZE_LIMITS: [(&str, &str); 8] = [
    ("memory", "memory_bytes"),
    ("log", "log_bytes"),
    ("log_bytes_per_second", "log_bytes_per_second"),
    ("report_bytes", "report_bytes"),
    ("fields_bytes", "fields_bytes"),
    ("custom_bytes", "custom_bytes"),
    ("host_call_bytes", "host_call_bytes"),
    ("stack_bytes", "stack_bytes"),
];
const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZES: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

fn wants(key: &Ident, value: Option<&Expr>, what: &str, mistakes: &mut Mistakes) {
    let message = format!("`{key}` takes {what}");
    match value {
        Some(value) => mistakes.at(value, message),
        None => mistakes.at(key, message),
    }
}

fn text(value: Option<&Expr>) -> Option<String> {
    match value {
        Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => Some(text.value()),
        _ => None,
    }
}

fn number(value: &Expr) -> Option<u64> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse().ok(),
        _ => None,
    }
}

/// `30s` in the smallest unit; `None` for what is no positive whole number with one of these units.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (amount, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    amount.parse::<u64>().ok()?.checked_mul(*factor).filter(|amount| *amount > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_a_unit() {
        let check = |text, units, expect| assert_eq!(quantity(text, units), expect, "{text:?}");
        check("30s", &TIMES, Some(30_000));
        check("250ms", &TIMES, Some(250));
        check("2 m", &TIMES, Some(120_000));
        for bad in ["", "30", "s", "0s", "-1s", "1.5s", "30sec", "99999999999999999999s", "18446744073709551615h"] {
            check(bad, &TIMES, None);
        }
        check("64MiB", &SIZES, Some(64 << 20));
        check("64MB", &SIZES, None);
    }
}
