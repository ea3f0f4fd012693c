//! The HTTP library refuses what it cannot read with a status and nothing else. On its way out, that becomes a problem like
//! any other.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::head;
use crate::http::problem::PROBLEM_JSON;
use crate::http::request_id;

/// The most that a refusal takes: a status line, `content-length`, `connection` and `date`.
const MAX_BYTES: usize = 256;

/// A connection on which refusals are told in words.
pub(super) struct Refusals<S> {
    stream: S,
    /// What is written instead of a refusal.
    words: Vec<u8>,
    written: usize,
}

impl<S> Refusals<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, words: Vec::new(), written: 0 }
    }
}

impl<S: AsyncWrite + Unpin> Refusals<S> {
    /// Ready once nothing is left to write of what replaces a refusal.
    fn poll_words(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self.words.get(self.written..).filter(|left| !left.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        Poll::Ready(Ok(()))
    }
}

/// The same answer with a problem in it, if this is a refusal: no answer of the host's own has its status and no body.
fn in_words(answer: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(answer.get(..answer.len().min(MAX_BYTES + 1))?).ok()?;
    let headers = text.strip_prefix("HTTP/1.1 ")?;
    let status = headers.get(..3)?.parse().ok()?;
    let is_bare = headers.ends_with("\r\n\r\n") && headers.contains("\r\ncontent-length: 0\r\n");
    let problem = head::unreadable(status).filter(|_| is_bare)?;
    let id = request_id::new();
    tracing::debug!(request_id = id, status, "refused what cannot be read: {problem}");
    let json = problem.to_json(&id);
    let length = format!("\r\ncontent-length: {}\r\n", json.len());
    let headers = text.replacen("\r\ncontent-length: 0\r\n", &length, 1);
    let headers = headers.strip_suffix("\r\n")?;
    let more = format!("content-type: {PROBLEM_JSON}\r\n{}: {id}\r\n\r\n", request_id::X_REQUEST_ID);
    Some([headers.as_bytes(), more.as_bytes(), &json].concat())
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Refusals<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_words(context))?;
        if bytes.starts_with(b"HTTP/1.1 4")
            && let Some(words) = in_words(bytes)
        {
            (self.words, self.written) = (words, 0);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A refusal has no body: it comes alone.
        if let [one] = pieces {
            return self.poll_write(context, one);
        }
        ready!(self.poll_words(context))?;
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_words(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_words(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Refusals<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const REFUSAL: &str =
        "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn a_refusal_gets_words_and_nothing_else_changes() {
        // Less room than any of it takes.
        let (ours, mut theirs) = tokio::io::duplex(7);
        let mut answers = Refusals::new(ours);
        let others = [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 431 X\r\ncontent-length: 2\r\n\r\n{}",
        ];
        let sent = tokio::spawn(async move {
            for answer in others.into_iter().chain([REFUSAL]) {
                answers.write_all(answer.as_bytes()).await.unwrap();
            }
            answers.shutdown().await.unwrap();
        });
        let mut came = String::new();
        theirs.read_to_string(&mut came).await.unwrap();
        sent.await.unwrap();
        let refusal = came.strip_prefix(&others.concat()).unwrap();
        let (headers, body) = refusal.split_once("\r\n\r\n").unwrap();
        let body_length = format!("\r\ncontent-length: {}\r\n", body.len());
        for part in ["HTTP/1.1 431 Request", &body_length, "connection: close", "application/problem+json"] {
            assert!(headers.contains(part), "{headers}");
        }
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], "headers.too_large");
        assert!(headers.contains(body["request_id"].as_str().unwrap()), "{headers}");
    }
}
