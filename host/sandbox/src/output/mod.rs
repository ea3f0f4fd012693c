//! What a guest prints: split into lines, kept up to a limit, handed on as it comes.
//!
//! Knows nothing of where lines go; swallows what is too much, because printing must never end a run.

mod rate;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use walker_model::Limits;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use self::rate::{Bucket, Peak};
use crate::charge::Charges;
use crate::{Effects, LogLine, Stream};

/// A longer line is split, so that no line outgrows what readers hold in memory.
const MAX_LINE_BYTES: usize = 16 << 10;
/// How much a guest is told it may write at once: what the guests' own libraries write.
const WRITE_BYTES: usize = 64 << 10;

/// What a line costs at least: an empty one still becomes a row's worth of time, stream and number.
const MIN_LINE_BYTES: u64 = 64;

/// Both streams of one run.
pub(crate) struct Output {
    effects: Arc<dyn Effects>,
    limits: Limits,
    charges: Charges,
    started: Instant,
    printed: u64,
    peak: Peak,
    /// What is kept, each line at its cost.
    kept: u64,
    bucket: Bucket,
    gap: Option<Gap>,
    cut: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// What came too fast and was left out.
#[derive(Debug, Default)]
struct Gap {
    bytes: u64,
    lines: u64,
}

/// A handle that the streams of one run share.
#[derive(Clone)]
pub(crate) struct SharedOutput(Arc<Mutex<Output>>);

/// What a run printed in all, kept or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Printed {
    pub(crate) bytes: u64,
    /// The most within one second.
    pub(crate) per_second: u64,
}

impl SharedOutput {
    pub(crate) fn new(effects: Arc<dyn Effects>, limits: Limits, charges: Charges, started: Instant) -> Self {
        Self(Arc::new(Mutex::new(Output {
            effects,
            limits,
            charges,
            started,
            printed: 0,
            peak: Peak::default(),
            kept: 0,
            bucket: Bucket::new(limits.log_bytes_per_second),
            gap: None,
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
    pub(crate) fn finish(&self) -> Printed {
        let mut output = self.lock();
        for stream in [Stream::Stdout, Stream::Stderr] {
            output.flush(stream);
        }
        output.close_gap();
        Printed { bytes: output.printed, per_second: output.peak.most() }
    }

    fn lock(&self) -> MutexGuard<'_, Output> {
        // Lines are whole whatever panicked while it was held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    /// Takes what was printed at this time of the run's.
    fn write(&mut self, stream: Stream, bytes: &[u8], now: Duration) {
        self.printed = self.printed.saturating_add(bytes.len() as u64);
        self.peak.add(bytes.len() as u64, now);
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.cut {
                return;
            }
            self.take(stream, piece, now);
        }
    }

    /// Takes a piece that holds an end of line, if any, only at its end.
    fn take(&mut self, stream: Stream, piece: &[u8], now: Duration) {
        let ends = piece.ends_with(b"\n");
        let line = self.line(stream).len() as u64 + piece.len() as u64;
        // What the line's own bytes did not pay.
        let rest = if ends { MIN_LINE_BYTES.saturating_sub(line) } else { 0 };
        let cost = piece.len() as u64 + rest;
        if !self.bucket.take(cost, now) {
            if self.gap.is_none() {
                self.flush(Stream::Stdout);
                self.flush(Stream::Stderr);
            }
            let gap = self.gap.get_or_insert_default();
            gap.bytes += piece.len() as u64;
            gap.lines += u64::from(ends);
            return;
        }
        self.close_gap();
        let room = self.limits.log_bytes - self.kept;
        if cost <= room {
            self.kept += cost;
            self.append(stream, piece);
            return;
        }
        self.kept = self.limits.log_bytes;
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(piece.len());
        self.append(stream, &piece[..room]);
        self.cut = true;
        self.flush(Stream::Stdout);
        self.flush(Stream::Stderr);
        let text = format!("output cut: limit log_bytes keeps {} bytes, the rest is left out", self.limits.log_bytes);
        self.emit(Stream::Host, text);
    }

    /// Tells what was left out since the last line.
    fn close_gap(&mut self) {
        if let Some(Gap { bytes, lines }) = self.gap.take() {
            let limit = self.limits.log_bytes_per_second;
            let text = format!(
                "output cut: {bytes} bytes in {lines} lines came faster than limit log_bytes_per_second, {limit}, and \
                 are left out"
            );
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
        let mut output = self.output.lock();
        output.charges.bytes(bytes.len() as u64).map_err(|abort| StreamError::Trap(abort.into()))?;
        let now = output.started.elapsed();
        output.write(self.stream, &bytes, now);
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

    /// What is handed on of what is printed, each write at its millisecond.
    fn handed_on(limits: Limits, writes: &[(u64, Stream, &[u8])]) -> Vec<(Stream, String)> {
        let lines = Arc::new(Lines::default());
        let output = SharedOutput::new(lines.clone(), limits, Charges::new(u64::MAX), Instant::now());
        for (ms, stream, bytes) in writes {
            output.lock().write(*stream, bytes, Duration::from_millis(*ms));
        }
        let printed: usize = writes.iter().map(|(.., bytes)| bytes.len()).sum();
        assert_eq!(output.finish().bytes, printed as u64);
        std::mem::take(&mut *lines.0.lock().unwrap())
    }

    #[test]
    fn splits_lines_and_cuts_what_is_too_much() {
        use Stream::{Host, Stderr, Stdout};
        let check = |limit: u64, writes: &[(Stream, &[u8])], expect: &[(Stream, &str)]| {
            let limits = Limits { log_bytes: limit, ..Limits::DEFAULT };
            let writes: Vec<_> = writes.iter().map(|(stream, bytes)| (0, *stream, *bytes)).collect();
            let lines = handed_on(limits, &writes);
            let lines: Vec<(Stream, &str)> = lines.iter().map(|(stream, text)| (*stream, text.as_str())).collect();
            assert_eq!(lines, expect);
        };
        check(999, &[(Stdout, b"one\ntwo\n")], &[(Stdout, "one"), (Stdout, "two")]);
        check(999, &[(Stdout, b"on"), (Stderr, b"err\n"), (Stdout, b"e\n")], &[(Stderr, "err"), (Stdout, "one")]);
        check(999, &[(Stdout, b"no end")], &[(Stdout, "no end")]);
        check(999, &[(Stdout, b"\n\r\na\r\n")], &[(Stdout, ""), (Stdout, ""), (Stdout, "a")]);
        check(999, &[(Stdout, b"a\xffb\0c\n")], &[(Stdout, "a\u{FFFD}b\u{FFFD}c")]);
        // A line costs 64 bytes however short it is.
        check(64, &[(Stdout, b"one\n")], &[(Stdout, "one")]);
        let marker = |limit: u64| format!("output cut: limit log_bytes keeps {limit} bytes, the rest is left out");
        check(
            66,
            &[(Stdout, b"one\ntwo\n"), (Stderr, b"x\n")],
            &[(Stdout, "one"), (Stdout, "tw"), (Host, &marker(66))],
        );
        check(128, &[(Stdout, b"\n\n\n\n")], &[(Stdout, ""), (Stdout, ""), (Host, &marker(128))]);
        let long = vec![b'a'; MAX_LINE_BYTES + 1];
        check(1 << 20, &[(Stdout, &long)], &[(Stdout, &"a".repeat(MAX_LINE_BYTES)), (Stdout, "a")]);
    }

    #[test]
    fn what_comes_too_fast_is_left_out_with_one_marker_a_gap() {
        use Stream::Stdout;
        let limits = Limits { log_bytes_per_second: 128, ..Limits::DEFAULT };
        let texts = |writes: &[(u64, &[u8])]| -> Vec<String> {
            let writes: Vec<_> = writes.iter().map(|(ms, bytes)| (*ms, Stdout, *bytes)).collect();
            handed_on(limits, &writes).into_iter().map(|(_, text)| text).collect()
        };
        let marker = |bytes: u64, lines: u64| {
            format!(
                "output cut: {bytes} bytes in {lines} lines came faster than limit log_bytes_per_second, 128, and are \
                 left out"
            )
        };
        assert_eq!(texts(&[(0, b"a\nb\nc\nd\n"), (1_000, b"e\n")]), ["a", "b", &marker(4, 2), "e"]);
        assert_eq!(texts(&[(0, b"a\nb"), (0, b"\nc\n")]), ["a", "b", &marker(2, 1)], "told at the end, too");
        assert_eq!(texts(&[(0, b"a\n"), (500, b"b\n"), (1_000, b"c\n")]), ["a", "b", "c"], "slow enough");
    }
}
