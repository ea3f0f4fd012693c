//! How sites are named whose pages may call the host.
//!
//! Knows nothing of what they may call.

use axum::http::{HeaderValue, Uri};

/// `https://app.example`, `http://localhost:3000`: exactly as browsers write it, since it is compared letter by letter.
pub(super) fn origin(text: &str) -> Result<HeaderValue, String> {
    let expected = || "expected a site such as https://app.example, in lower case, without a path".to_owned();
    let uri: Uri = text.parse().map_err(|_| expected())?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let written = uri.authority().map(|authority| authority.as_str()).filter(|authority| !authority.contains('@'));
    let rebuilt = uri.scheme_str().zip(written).map(|(scheme, authority)| format!("{scheme}://{authority}"));
    let is_exact =
        rebuilt.as_deref() == Some(text) && !text.bytes().any(|byte| byte == b'*' || byte.is_ascii_uppercase());
    if !is_web || !is_exact || uri.port_u16() == Some(default_port) {
        return Err(expected());
    }
    HeaderValue::from_str(text).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_browsers_write() {
        for good in ["https://app.example", "http://localhost:3000", "http://[::1]:3000", "https://app.example:8443"] {
            assert_eq!(origin(good).unwrap(), good);
        }
        for bad in [
            "*",
            "null",
            "app.example",
            "https://app.example/",
            "https://app.example/path",
            "https://App.example",
            "https://app.example:443",
            "http://app.example:80",
            "https://me@app.example",
            "ftp://app.example",
            "https://*.example",
            "",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
