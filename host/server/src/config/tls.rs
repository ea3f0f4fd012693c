//! How clients' connections are protected: a certificate, or the operator's word that none is needed.
//!
//! Reads no files.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a certificate and its key are kept, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The host's certificate, and those of its issuers after it.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

/// Where requests may come in unencrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainHttp {
    /// From this machine only.
    OnLoopback,
    /// From anywhere, since something else protects them.
    Anywhere,
}

impl PlainHttp {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(Self::Anywhere),
            "false" => Ok(Self::OnLoopback),
            _ => Err("expected true or false".to_owned()),
        }
    }
}

/// The certificate, if both its files are named.
pub(super) fn files(cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>, String> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err("tls_key: is missing; TLS needs it with tls_cert (--tls-key, WALKER_TLS_KEY)".to_owned())
        }
        (None, Some(_)) => {
            Err("tls_cert: is missing; TLS needs it with tls_key (--tls-cert, WALKER_TLS_CERT)".to_owned())
        }
    }
}

/// Refuses to have passwords and tokens cross a network that anybody may listen to.
pub(super) fn check(listen: SocketAddr, tls: Option<&TlsFiles>, plain: PlainHttp) -> Result<(), String> {
    if tls.is_some() || plain == PlainHttp::Anywhere || listen.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(format!(
        "listen: {listen} can be reached from other machines, and without a certificate passwords and tokens would cross \
         the network readable to all. Give --tls-cert and --tls-key; or listen on 127.0.0.1; or, where a proxy or a \
         private network protects this address, say --plain-http (WALKER_PLAIN_HTTP=true)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_clear_only_on_loopback_unless_told_otherwise() {
        let tls = TlsFiles { cert: "c".into(), key: "k".into() };
        for (listen, is_local) in [
            ("127.0.0.1:0", true),
            ("127.9.9.9:80", true),
            ("[::1]:8000", true),
            ("[::ffff:127.0.0.1]:8000", true),
            ("0.0.0.0:8000", false),
            ("[::]:8000", false),
            ("10.0.0.1:8000", false),
        ] {
            let listen: SocketAddr = listen.parse().unwrap();
            assert_eq!(check(listen, None, PlainHttp::OnLoopback).is_ok(), is_local, "{listen}");
            assert!(check(listen, Some(&tls), PlainHttp::OnLoopback).is_ok());
            assert!(check(listen, None, PlainHttp::Anywhere).is_ok());
        }
    }

    #[test]
    fn a_certificate_without_its_key_is_a_mistake() {
        assert_eq!(files(None, None), Ok(None));
        assert!(files(Some("c".into()), Some("k".into())).is_ok_and(|files| files.is_some()));
        assert!(files(Some("c".into()), None).is_err_and(|mistake| mistake.contains("--tls-key")));
        assert!(files(None, Some("k".into())).is_err_and(|mistake| mistake.contains("--tls-cert")));
    }
}
