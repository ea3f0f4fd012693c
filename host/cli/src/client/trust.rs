//! Which hosts are believed to be who they say: those whom public authorities vouch for, or a private one.
//!
//! Knows nothing of who is asking.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// Trusts the authorities in a PEM file, and no other.
pub(super) fn only(path: &Path) -> Result<TlsConfig> {
    let shown = path.display();
    let pem = fs::read(path).with_context(|| format!("could not read {shown}"))?;
    let mut authorities = Vec::new();
    for item in parse_pem(&pem) {
        match item.with_context(|| format!("{shown} is no PEM"))? {
            PemItem::Certificate(certificate) => authorities.push(certificate),
            _ => bail!("{shown} holds something that is no certificate; expected authorities' certificates only"),
        }
    }
    if authorities.is_empty() {
        bail!("{shown} holds no certificate; expected an authority's, as PEM");
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(authorities))).build())
}

/// Whether a host could not show that it is who it is taken for.
pub(super) fn is_missing(error: &ureq::Error) -> bool {
    let mut cause = Some(error as &(dyn std::error::Error + 'static));
    while let Some(error) = cause {
        // Whichever layer reports it, rustls begins so.
        if error.to_string().contains("invalid peer certificate") {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(only(&path).unwrap_err().to_string().contains("could not read"));
        for text in ["", "no PEM"] {
            fs::write(&path, text).unwrap();
            assert!(only(&path).unwrap_err().to_string().contains("holds no certificate"), "{text:?}");
        }
        fs::write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
        assert!(only(&path).unwrap_err().to_string().contains("no certificate"));
    }
}
