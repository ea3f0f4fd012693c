//! HTTPS: with an authority of the test's own; certificates that change, handshakes that never end.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls};
use walker_harness::{Host, Options, command};

use crate::scene;

/// Longer than any answer or renewal takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// An authority, and the files of the certificate that it gave.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), cert.pem()).unwrap();
        let made = Self { folder, der: cert.der().clone(), issuer: Issuer::new(params, key) };
        made.renew();
        made
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a new certificate and key in the place of the last.
    fn renew(&self) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        for (name, text) in [("cert.pem", cert.pem()), ("key.pem", key.serialize_pem())] {
            std::fs::write(self.file("draft"), text).unwrap();
            std::fs::rename(self.file("draft"), self.file(name)).unwrap();
        }
        cert.der().clone()
    }

    fn options(&self, database: String, config: &str) -> Options {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let args =
            ["--tls-cert".to_owned(), text(self.file("cert.pem")), "--tls-key".to_owned(), text(self.file("key.pem"))];
        Options { database_url: Some(database), args: args.to_vec(), config: config.to_owned(), ..Options::default() }
    }

    /// A new handshake each time: nothing is resumed.
    async fn connect(
        &self,
        host: &Host,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(address(host)).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// Asks for something; answers what came, and the certificate that was shown.
    async fn get(
        &self,
        host: &Host,
        path: &str,
        version: &'static SupportedProtocolVersion,
    ) -> (String, CertificateDer<'static>) {
        let asking = async {
            let mut stream = self.connect(host, &[version], &[b"h2", b"http/1.1"]).await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.alpn_protocol(), Some(b"http/1.1".as_slice()));
            let shown = session.peer_certificates().unwrap()[0].clone().into_owned();
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            // Ends with TLS' own word, or this would be an error: nobody cut the answer short.
            stream.read_to_string(&mut answer).await.unwrap();
            (answer, shown)
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("the host answers")
    }
}

fn address(host: &Host) -> &str {
    host.url.strip_prefix("https://").unwrap()
}

/// What the host sends until it ends the connection.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // An end is an end, however it is told.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the host ends it");
    all
}

#[tokio::test]
async fn https_is_served_to_those_who_trust_its_authority() {
    let authority = Authority::new();
    let host = Host::start(authority.options(scene::database().await, "")).await;
    for version in [&TLS13, &TLS12] {
        let (answer, _) = authority.get(&host, "/healthz", version).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("{\"status\":\"ok\"}"), "{answer}");
        assert!(answer.contains("\r\nstrict-transport-security: max-age=31536000\r\n"), "{answer}");
    }
    let other = authority.connect(&host, &[&TLS13], &[b"h2"]).await;
    assert!(other.unwrap_err().to_string().contains("NoApplicationProtocol"));

    let ca = authority.file("ca.pem");
    let listed = host.command().args(["ls", "-o", "json"]).arg("--ca-cert").arg(&ca).output().await.unwrap();
    assert_eq!((listed.status.code(), listed.stdout.as_slice()), (Some(0), b"[]\n".as_slice()));
    let listed = host.command().args(["ls", "-o", "json"]).env("WALKER_CA_CERT", &ca).output().await.unwrap();
    assert!(listed.status.success());
    let refused = host.command().arg("ls").output().await.unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("not trusted") && said.contains("--ca-cert"), "{said}");

    let mut plain = TcpStream::connect(address(&host)).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(!String::from_utf8_lossy(&rest(&mut plain).await).contains("HTTP/"), "nothing is answered in the clear");
    // A host that stops does not wait for what has not begun.
    let mut half_open = TcpStream::connect(address(&host)).await.unwrap();
    half_open.write_all(b"\x16\x03\x01\x02\0").await.unwrap();
    authority.get(&host, "/healthz", &TLS13).await;
    let began = Instant::now();
    host.stop().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_certificate_is_renewed_while_the_host_serves() {
    let authority = Authority::new();
    let mut options = authority.options(scene::database().await, "");
    options.expected_log = vec!["the changed certificate is not used"];
    let host = Host::start(options).await;
    let (_, first) = authority.get(&host, "/healthz", &TLS13).await;
    let complaints = || host.log().iter().filter(|line| line.contains("is not used")).count();

    std::fs::write(authority.file("cert.pem"), "spoiled").unwrap();
    let began = Instant::now();
    while complaints() == 0 {
        assert!(began.elapsed() < PATIENCE, "nothing is said about it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let said = host.log().into_iter().find(|line| line.contains("is not used")).unwrap();
    assert!(said.contains("cert.pem has no certificate"), "{said}");
    assert_eq!(authority.get(&host, "/healthz", &TLS13).await.1, first, "the one before stays");

    let renewed = authority.renew();
    let began = Instant::now();
    while authority.get(&host, "/healthz", &TLS13).await.1 != renewed {
        assert!(began.elapsed() < PATIENCE, "it is not taken up");
    }
    assert_ne!(renewed, first);
    assert!(complaints() <= 2, "told once for each change: {:#?}", host.log());
    host.stop().await;
}

#[tokio::test]
async fn a_handshake_that_never_ends_costs_a_place_for_as_long_as_a_head() {
    let authority = Authority::new();
    let config = "head_timeout = '1s'\nmax_connections = 2";
    let host = Host::start(Options {
        expected_log: vec!["all 2 connections are open"],
        ..authority.options(scene::database().await, config)
    })
    .await;
    // One says nothing, the other begins.
    let mut half_open = Vec::new();
    for first in [b"".as_slice(), b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"] {
        let mut stream = TcpStream::connect(address(&host)).await.unwrap();
        stream.write_all(first).await.unwrap();
        half_open.push(stream);
    }
    let began = Instant::now();
    let (answer, _) = authority.get(&host, "/healthz", &TLS13).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(began.elapsed() > Duration::from_millis(500), "there was a free place: {:?}", began.elapsed());
    for stream in &mut half_open {
        assert_eq!(rest(stream).await, b"");
    }
    // Once the keys are agreed on, the same holds for the head.
    let mut silent = authority.connect(&host, &[&TLS13], &[]).await.unwrap();
    let began = Instant::now();
    let mut all = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut all)).await.expect("the host ends it");
    assert!(all.is_empty() && began.elapsed() > Duration::from_millis(500));
    host.stop().await;
}

/// Starts a host that must refuse to start; answers its exit code and what it said.
async fn refusal(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = command(folder);
    command.args(["serve", "--data-dir", ".walker"]).args(args);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it does not start").unwrap();
    assert_eq!(output.stdout, b"");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn what_would_be_readable_to_all_does_not_start_unless_told_to() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (authority.file("cert.pem"), authority.file("key.pem"));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    for (args, code, said) in [
        (vec!["--listen", "0.0.0.0:0"], 2, "--plain-http"),
        (vec!["--listen", "[::]:0"], 2, "--tls-cert"),
        (vec!["--tls-cert", cert], 2, "--tls-key"),
        (vec!["--tls-cert", "missing.pem", "--tls-key", key], 1, "cannot read missing.pem"),
        (vec!["--tls-cert", cert, "--tls-key", cert], 1, "has no private key"),
    ] {
        let (ended, stderr) = refusal(folder.path(), &args).await;
        assert_eq!(ended, Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
    let mut told = command(folder.path());
    told.args(["serve", "--data-dir", ".walker", "--listen", "0.0.0.0:0", "--plain-http"])
        .env("DATABASE_URL", scene::database().await)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut told = told.spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(told.stdout.take().unwrap());
    tokio::time::timeout(PATIENCE, stdout.read_line(&mut line)).await.expect("it starts").unwrap();
    assert!(line.starts_with("listening on http://0.0.0.0:"), "{line}");
    told.kill().await.unwrap();
}
