//! HTTP byte by byte, as no client library would send it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use walker_harness::{Client, Host};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to a host.
pub(crate) struct Wire(TcpStream);

/// A host's answer: status and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// The head of a request with a token, but for its last empty line.
pub(crate) fn head(client: &Client, request: &str, headers: &str) -> Vec<u8> {
    let token = client.token().map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
    format!("{request} HTTP/1.1\r\nhost: x\r\n{token}{headers}").into_bytes()
}

impl Wire {
    pub(crate) async fn to(host: &Host) -> Self {
        Self(TcpStream::connect(host.url.strip_prefix("http://").unwrap()).await.unwrap())
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends to a host that may have had enough.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.0.write_all(bytes.as_ref()).await?;
        self.0.flush().await
    }

    /// Sends to a host that may have had enough and says so: then the rest stays unsent.
    pub(crate) async fn send_until_answered(&mut self, bytes: &[u8]) {
        let (mut answers, mut requests) = self.0.split();
        let mut byte = [0];
        tokio::select! {
            _ = answers.peek(&mut byte) => {}
            _ = requests.write_all(bytes) => {}
        }
    }

    /// Whether something can be read, if only the end.
    pub(crate) async fn has_answered(&self) -> bool {
        let mut byte = [0];
        tokio::time::timeout(Duration::from_millis(1), self.0.peek(&mut byte)).await.is_ok()
    }

    /// Waits until the host has given up a connection whose answers nobody reads.
    pub(crate) async fn is_given_up(&mut self) {
        let given_up = async { while self.0.write_all(b"GET").await.is_ok() {} };
        tokio::time::timeout(PATIENCE, given_up).await.expect("the host gives it up");
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn end(&mut self) -> String {
        let mut all = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut all)).await.expect("the host ends it");
        assert!(read.is_ok() || all.is_empty(), "it was cut off in {:?}", String::from_utf8_lossy(&all));
        String::from_utf8(all).unwrap()
    }

    /// Up to the end of a head, and as much of a body as it announces.
    pub(crate) async fn answer(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.read_answer()).await.expect("the host answers")
    }

    async fn read_answer(&mut self) -> Answer {
        let mut all = Vec::new();
        let end = loop {
            if let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert_ne!(
                self.0.read_buf(&mut all).await.unwrap(),
                0,
                "it ended after {:?}",
                String::from_utf8_lossy(&all)
            );
        };
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while all.len() < end + length {
            assert_ne!(self.0.read_buf(&mut all).await.unwrap(), 0, "the body is cut short");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: String::from_utf8(all[end..].to_vec()).unwrap() }
    }
}
