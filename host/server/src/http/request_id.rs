//! The id that a request has in its answer, in the log and in a problem.
//!
//! Made here unless the caller brought one.

use axum::http::HeaderMap;
use uuid::Uuid;

/// Where it travels.
pub(crate) const X_REQUEST_ID: &str = "x-request-id";

/// Long enough for anybody's scheme, short enough for a log line.
const MAX_LENGTH: usize = 128;

/// The caller's own id if it is fit for a header and a log line, else a new one.
pub(crate) fn of(headers: &HeaderMap) -> String {
    let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_well_formed(id));
    given.map_or_else(new, str::to_owned)
}

/// A new one.
pub(crate) fn new() -> String {
    Uuid::now_v7().to_string()
}

fn is_well_formed(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte);
    (1..=MAX_LENGTH).contains(&id.len()) && id.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_well_formed_id_and_replaces_any_other() {
        let check = |given: &str, kept: bool| {
            let headers = HeaderMap::from_iter([(X_REQUEST_ID.parse().unwrap(), given.parse().unwrap())]);
            assert_eq!(of(&headers) == given, kept, "{given:?}");
        };
        check("0190-abc_x.1", true);
        check(&"a".repeat(128), true);
        check(&"a".repeat(129), false);
        check("", false);
        check("a b", false);
        check("a\"b", false);
        assert_ne!(of(&HeaderMap::new()), of(&HeaderMap::new()));
    }
}
