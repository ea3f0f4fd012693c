//! What a guest prints: split into lines, kept up to a limit, handed on as it comes.
//!
//! Knows nothing of where lines go; swallows what is too much, because printing must never end a run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::Utc;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::{Effects, LogLine, Stream};

/// A longer line is split, so that no line outgrows what readers hold in memory.
const MAX_LINE_BYTES: usize = 16 << 10;
/// How much a guest is told it may write at once: what the guests' own libraries write.
const WRITE_BYTES: usize = 64 << 10;

/// Both streams of one run.
pub(crate) struct Output {
    effects: Arc<dyn Effects>,
    limit: u64,
    printed: u64,
    kept: u64,
    cut: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// A handle that the streams of one run share.
#[derive(Clone)]
pub(crate) struct SharedOutput(Arc<Mutex<Output>>);

impl SharedOutput {
    pub(crate) fn new(effects: Arc<dyn Effects>, limit: u64) -> Self {
        Self(Arc::new(Mutex::new(Output {
            effects,
            limit,
            printed: 0,
            kept: 0,
            cut: false,
            stdout: Vec::new(),
            stderr: Vec::new(),
        })))
    }

    /// One of the two streams, as WASI wants it.
    pub(crate) fn stream(&self, stream: Stream) -> Box<dyn OutputStream> {
        Box::new(Pipe { output: self.clone(), stream })
    }

    /// Hands on what was printed without an end of line, and says how much was printed in all.
    pub(crate) fn finish(&self) -> u64 {
        let mut output = self.lock();
        for stream in [Stream::Stdout, Stream::Stderr] {
            output.flush(stream);
        }
        output.printed
    }

    fn lock(&self) -> MutexGuard<'_, Output> {
        // Lines are whole whatever panicked while it was held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        self.printed = self.printed.saturating_add(bytes.len() as u64);
        if self.cut {
            return;
        }
        let room = usize::try_from(self.limit - self.kept).unwrap_or(usize::MAX);
        let kept = &bytes[..bytes.len().min(room)];
        self.kept += kept.len() as u64;
        for piece in kept.split_inclusive(|&byte| byte == b'\n') {
            self.append(stream, piece);
        }
        if kept.len() < bytes.len() {
            self.cut = true;
            self.flush(Stream::Stdout);
            self.flush(Stream::Stderr);
            let text = format!("output cut: the first {} bytes are kept, the rest is not", self.limit);
            self.emit(Stream::Host, text);
        }
    }

    /// Adds a piece that holds an end of line, if any, only at its end.
    fn append(&mut self, stream: Stream, piece: &[u8]) {
        let (mut rest, ended) = match piece.strip_suffix(b"\n") {
            Some(rest) => (rest, true),
            None => (piece, false),
        };
        loop {
            let room = MAX_LINE_BYTES - self.line(stream).len();
            if rest.len() <= room {
                break;
            }
            self.line(stream).extend_from_slice(&rest[..room]);
            rest = &rest[room..];
            self.flush(stream);
        }
        if ended && self.line(stream).is_empty() {
            // The usual case, without a copy: a whole line in one piece.
            self.emit(stream, text(rest));
            return;
        }
        self.line(stream).extend_from_slice(rest);
        if ended {
            self.flush(stream);
        }
    }

    fn flush(&mut self, stream: Stream) {
        let line = std::mem::take(self.line(stream));
        if !line.is_empty() {
            self.emit(stream, text(&line));
        }
    }

    fn line(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stderr => &mut self.stderr,
            Stream::Stdout | Stream::Host => &mut self.stdout,
        }
    }

    fn emit(&self, stream: Stream, text: String) {
        self.effects.log(LogLine { at: Utc::now(), stream, text });
    }
}

/// The text of a line; what is not UTF-8 is replaced, and so is NUL, which databases do not take.
fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = String::from_utf8_lossy(line);
    if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text.into_owned() }
}

struct Pipe {
    output: SharedOutput,
    stream: Stream,
}

#[async_trait]
impl Pollable for Pipe {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Pipe {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.lock().write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;
    use crate::{Refusal, Reply, Request};

    #[derive(Default)]
    struct Lines(Mutex<Vec<(Stream, String)>>);

    impl Effects for Lines {
        fn perform(&self, request: Request) -> BoxFuture<'_, Result<Reply, Refusal>> {
            panic!("nobody asks for {request:?}")
        }

        fn log(&self, line: LogLine) {
            self.0.lock().unwrap().push((line.stream, line.text));
        }
    }

    #[test]
    fn splits_lines_and_cuts_what_is_too_much() {
        use Stream::{Host, Stderr, Stdout};
        let check = |limit: u64, writes: &[(Stream, &[u8])], expect: &[(Stream, &str)]| {
            let lines = Arc::new(Lines::default());
            let output = SharedOutput::new(lines.clone(), limit);
            for (stream, bytes) in writes {
                output.lock().write(*stream, bytes);
            }
            let printed: usize = writes.iter().map(|(_, bytes)| bytes.len()).sum();
            assert_eq!(output.finish(), printed as u64);
            let lines = lines.0.lock().unwrap();
            let lines: Vec<(Stream, &str)> = lines.iter().map(|(stream, text)| (*stream, text.as_str())).collect();
            assert_eq!(lines, expect);
        };
        check(99, &[(Stdout, b"one\ntwo\n")], &[(Stdout, "one"), (Stdout, "two")]);
        check(99, &[(Stdout, b"on"), (Stderr, b"err\n"), (Stdout, b"e\n")], &[(Stderr, "err"), (Stdout, "one")]);
        check(99, &[(Stdout, b"no end")], &[(Stdout, "no end")]);
        check(99, &[(Stdout, b"\n\r\na\r\n")], &[(Stdout, ""), (Stdout, ""), (Stdout, "a")]);
        check(99, &[(Stdout, b"a\xffb\0c\n")], &[(Stdout, "a\u{FFFD}b\u{FFFD}c")]);
        check(4, &[(Stdout, b"one\n")], &[(Stdout, "one")]);
        let marker = "output cut: the first 6 bytes are kept, the rest is not";
        check(6, &[(Stdout, b"one\ntwo\n"), (Stderr, b"x\n")], &[(Stdout, "one"), (Stdout, "tw"), (Host, marker)]);
        let long = vec![b'a'; MAX_LINE_BYTES + 1];
        check(1 << 20, &[(Stdout, &long)], &[(Stdout, &"a".repeat(MAX_LINE_BYTES)), (Stdout, "a")]);
    }
}
