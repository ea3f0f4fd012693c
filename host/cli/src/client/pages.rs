//! Lists that come page by page.
//!
//! Knows nothing of what is listed.

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::Client;

/// As many as the host gives at most.
const PAGE: u32 = 100;

impl Client {
    /// All of a list that the host gives as a member of each page.
    pub(crate) fn all(&self, path: &str, member: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut from = String::new();
        loop {
            let mut page: Map<String, Value> = self.get(&format!("{path}?limit={PAGE}{from}"))?.read()?;
            match page.get_mut(member).map(Value::take) {
                Some(Value::Array(some)) => all.extend(some),
                _ => anyhow::bail!("the host's answer has no list of {member}"),
            }
            // Its absence is an error: read as null, it would cut a list short without a word.
            match page.get("cursor").context("the host's answer does not say whether there is more")? {
                Value::String(cursor) => from = format!("&cursor={}", encode(cursor)),
                _ => return Ok(all),
            }
        }
    }
}

/// A text as a part of a URL.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_a_url() {
        assert_eq!(encode("a/b+c="), "a%2Fb%2Bc%3D");
    }
}
