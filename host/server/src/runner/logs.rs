//! A run's output on its way to Postgres: chunks while it runs, the rest inside its result.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use walker_model::Json;
use walker_sandbox::LogLine;

use crate::store::LogEntry;

/// What may travel inside the result's row; more goes ahead as chunks of this size.
const CHUNK_BYTES: usize = 16 << 10;
/// How late a reader sees the output of a walker that still runs.
const FLUSH: Duration = Duration::from_secs(1);

/// The lines of one run that are not stored yet.
#[derive(Default)]
pub(super) struct RunLogs {
    buffer: Mutex<Buffer>,
    begun: Notify,
    full: Notify,
}

#[derive(Default)]
struct Buffer {
    lines: Vec<LogEntry>,
    bytes: usize,
    /// Of the last line.
    seq: i32,
}

impl RunLogs {
    /// Takes a line.
    pub(super) fn push(&self, line: LogLine) {
        let mut buffer = self.lock();
        buffer.seq += 1;
        buffer.bytes += line.text.len();
        let entry = LogEntry { seq: buffer.seq, line };
        if buffer.lines.is_empty() {
            self.begun.notify_one();
        }
        buffer.lines.push(entry);
        if buffer.bytes >= CHUNK_BYTES {
            self.full.notify_one();
        }
    }

    /// Returns when lines have waited for long enough, or are more than travels inside a result. Most runs write none, and
    /// need no timer.
    pub(super) async fn due(&self) {
        self.begun.notified().await;
        let _ = tokio::time::timeout(FLUSH, self.full.notified()).await;
    }

    /// Whether what is left must go ahead of the result.
    pub(super) fn is_full(&self) -> bool {
        self.lock().bytes >= CHUNK_BYTES
    }

    /// What has not been taken yet, with its first line's number.
    pub(super) fn take(&self) -> Option<(i32, Json)> {
        let mut buffer = self.lock();
        let lines = std::mem::take(&mut buffer.lines);
        buffer.bytes = 0;
        lines.first().map(|first| (first.seq, Json::of(&lines)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
