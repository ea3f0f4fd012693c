//! One keep-alive connection to the host, as cheap for the machine as it can be: the host is to be measured, not its client.
//!
//! Knows HTTP/1.1 as far as the host speaks it: answers with a `content-length`.

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Larger than any answer here.
const BUFFER_BYTES: usize = 64 << 10;

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What the host answered.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a str,
}

impl Answer<'_> {
    /// The body, which must have come with this status.
    pub(crate) fn expect(&self, status: u16) -> anyhow::Result<&str> {
        if self.status != status {
            bail!("the host answered {}: {}", self.status, self.body);
        }
        Ok(self.body)
    }
}

/// A request, ready to be sent as often as one likes.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

impl Connection {
    /// Connects to `address`, such as `127.0.0.1:8000`.
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await.context("cannot send a request")?;
        let mut filled = 0;
        let (head, length) = loop {
            filled += self.read(filled).await?;
            if let Some(head) = self.buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
                break (head + 4, content_length(&self.buffer[..head])?);
            }
        };
        while filled < head + length {
            filled += self.read(filled).await?;
        }
        let status = self.buffer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let body = std::str::from_utf8(&self.buffer[head..head + length]).context("the answer is not text")?;
        Ok(Answer { status: status.context("the answer has no status")?, body })
    }

    async fn read(&mut self, filled: usize) -> anyhow::Result<usize> {
        if filled == self.buffer.len() {
            bail!("the answer is larger than {BUFFER_BYTES} bytes");
        }
        match self.stream.read(&mut self.buffer[filled..]).await.context("cannot read an answer")? {
            0 => bail!("the host closed the connection"),
            read => Ok(read),
        }
    }
}

fn content_length(head: &[u8]) -> anyhow::Result<usize> {
    let head = std::str::from_utf8(head).context("the answer's head is not text")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    length.context("the answer has no content-length")
}
