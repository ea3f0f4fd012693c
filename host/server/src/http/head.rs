//! How large a request's head may be. What cannot even be read is refused by the HTTP library, in words from here.
//!
//! Looks at nothing that a head says.

use axum::extract::Request;

use super::problem::{Kind, Problem};

/// More than any id, name, filter and cursor together; what most servers take.
const MAX_URI_BYTES: usize = 8 << 10;
/// Room for a token, cookies that others set on the same domain, tracing, and 4 KiB of `Walker-Custom`.
const MAX_HEADER_BYTES: usize = 32 << 10;

/// Why the HTTP library answered with this status before there was a request. `None`: that is not its way to refuse one.
pub(super) fn unreadable(status: u16) -> Option<Problem> {
    Some(match status {
        400 => Problem::new(
            Kind::RequestMalformed,
            "this is no HTTP/1.1: a line or a header before the body cannot be read",
        ),
        414 => Problem::new(
            Kind::UriTooLong,
            format!("path and query are too long; at most {MAX_URI_BYTES} bytes are taken"),
        ),
        431 => {
            let detail = format!(
                "the headers are too large or too many; at most {MAX_HEADER_BYTES} bytes and 100 headers are taken"
            );
            Problem::new(Kind::HeadersTooLarge, detail)
        }
        _ => return None,
    })
}

/// Refuses a request whose head is too large, before anything looks at it.
pub(super) fn bound(request: &Request) -> Result<(), Problem> {
    let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if uri > MAX_URI_BYTES {
        let detail = format!("path and query have {uri} bytes; at most {MAX_URI_BYTES} are taken");
        return Err(Problem::new(Kind::UriTooLong, detail));
    }
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > MAX_HEADER_BYTES {
        let detail = format!("the headers have {headers} bytes; at most {MAX_HEADER_BYTES} are taken");
        return Err(Problem::new(Kind::HeadersTooLarge, detail));
    }
    Ok(())
}
