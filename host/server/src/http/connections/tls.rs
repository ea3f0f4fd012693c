//! What connections are encrypted with: a certificate and its key from two files, read again when they change.
//!
//! Knows nothing of HTTP, except what it is called in a handshake.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;

/// How often the files are looked at. They are small, and a certificate is renewed days before it must be.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What is served over a connection, by its registered name.
const HTTP_1_1: &[u8] = b"http/1.1";

/// Why a certificate cannot be used. Messages name files: they are for the log and the terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The certificate's file is no PEM, or has no certificate in it.
    #[error("{path} has no certificate; expected PEM, the host's own certificate first, then its issuers'")]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What the reader stumbled on.
        source: pem::Error,
    },
    /// The key's file is no PEM, or has no key in it.
    #[error("{path} has no private key; expected PEM without a passphrase")]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What the reader stumbled on.
        source: pem::Error,
    },
    /// The two do not belong together, or are of a kind that is not known.
    #[error("the certificate in {cert} cannot be used with the key in {key}")]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

/// The encrypted side of connections.
pub(crate) struct Tls {
    files: TlsFiles,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
    provider: Arc<CryptoProvider>,
    first: Digested,
}

/// What the files held, as far as telling a change needs it: the key itself is not kept twice.
#[derive(Debug, PartialEq, Eq)]
enum Digested {
    Read([u8; 32]),
    Unreadable(std::io::ErrorKind),
}

impl Tls {
    /// With what the files hold now.
    ///
    /// # Errors
    /// When that cannot be used.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let read = Pem::read(&files);
        let first = Digested::of(&read);
        let current = Arc::new(Current(RwLock::new(Arc::new(read?.certified(&files, &provider)?))));
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider has the ciphers of TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Self { files, current, acceptor: TlsAcceptor::from(Arc::new(config)), provider, first })
    }

    /// Makes handshakes.
    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Takes up what the files hold whenever it changes; never returns. What cannot be used is told once, and the
    /// certificate in use stays.
    pub(crate) async fn follow_files(self: Arc<Self>) {
        let mut seen = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let this = self.clone();
            let read = tokio::task::spawn_blocking(move || Pem::read(&this.files)).await;
            let Ok(read) = read else { continue };
            let found = Digested::of(&read);
            if found == *seen.as_ref().unwrap_or(&self.first) {
                continue;
            }
            seen = Some(found);
            match read.and_then(|pem| pem.certified(&self.files, &self.provider)) {
                Ok(renewed) => {
                    self.current.replace(renewed);
                    tracing::info!("took up the changed certificate in {}", self.files.cert.display());
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the changed certificate is not used, the one before stays: {}",
                    with_causes(&error)
                ),
            }
        }
    }
}

/// An error and what led to it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

impl Digested {
    fn of(read: &Result<Pem, Error>) -> Self {
        match read {
            Ok(Pem { cert, key }) => {
                let parts = [cert, key].map(Sha256::digest);
                Self::Read(Sha256::digest(parts.concat()).into())
            }
            Err(Error::Read { source, .. }) => Self::Unreadable(source.kind()),
            Err(_) => Self::Unreadable(std::io::ErrorKind::Other),
        }
    }
}

/// The two files' content.
struct Pem {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Pem {
    fn read(files: &TlsFiles) -> Result<Self, Error> {
        let read = |path: &Path| std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source });
        Ok(Self { cert: read(&files.cert)?, key: read(&files.key)? })
    }

    fn certified(self, files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
        let TlsFiles { cert, key } = files;
        let no_certificate = |source| Error::NoCertificate { path: cert.clone(), source };
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&self.cert).collect::<Result<_, _>>().map_err(no_certificate)?;
        if chain.is_empty() {
            return Err(no_certificate(pem::Error::NoItemsFound));
        }
        let secret =
            PrivateKeyDer::from_pem_slice(&self.key).map_err(|source| Error::NoKey { path: key.clone(), source })?;
        CertifiedKey::from_der(chain, secret, provider).map_err(|source| Error::Unusable {
            cert: cert.clone(),
            key: key.clone(),
            source,
        })
    }
}

/// The certificate in use.
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn replace(&self, renewed: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(renewed);
    }
}

impl ResolvesServerCert for Current {
    /// The same for every name: whoever needs several has them in one certificate, or a proxy in front.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Current(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate and its key, as PEM.
    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn says_what_is_wrong_with_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        let ((cert, key), (_, other)) = (made(), made());
        let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let check = |cert: Option<&str>, key: Option<&str>, expect: &str| {
            for (path, text) in [(&files.cert, cert), (&files.key, key)] {
                match text {
                    Some(text) => std::fs::write(path, text).unwrap(),
                    None => drop(std::fs::remove_file(path)),
                }
            }
            let said = Tls::load(files.clone()).err().map(|error| with_causes(&error)).unwrap_or_default();
            assert!(said.contains(expect) && said.is_empty() == expect.is_empty(), "{expect:?}: {said}");
        };
        check(None, Some(&key), "cert.pem: No such file");
        check(Some(&cert), None, "key.pem: No such file");
        check(Some(""), Some(&key), "cert.pem has no certificate");
        check(Some("no PEM"), Some(&key), "cert.pem has no certificate");
        check(Some(broken), Some(&key), "cert.pem has no certificate");
        check(Some(&key), Some(&key), "cert.pem has no certificate");
        check(Some(&cert), Some(&cert), "key.pem has no private key");
        check(Some(no_der), Some(&key), "cannot be used with the key");
        check(Some(&cert), Some(&other), "cannot be used with the key");
        check(Some(&cert), Some(&key), "");
        // Both in one file, as some tools write them.
        check(Some(&format!("{cert}{key}")), Some(&format!("{cert}{key}")), "");
    }
}
