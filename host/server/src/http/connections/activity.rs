//! What goes on in one connection: told by its parts, read by its watch.
//!
//! Decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What goes on in one connection. All parts are polled by one task, so that the order of memory does not matter.
#[derive(Debug)]
pub(super) struct Activity {
    is_under_way: AtomicBool,
    has_begun: AtomicBool,
    is_blocked: AtomicBool,
    taken: AtomicU64,
    has_unread: AtomicBool,
    is_closing: AtomicBool,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its first request, or the rest of a head that has begun.
    Head,
    /// A request is being answered.
    UnderWay,
    /// The client must take what was written; so many bytes it has taken so far.
    Blocked(u64),
    /// The next request.
    Idle,
    /// The client must read the last answer and end; how long it may take, whoever closes decides.
    Closing,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            is_under_way: AtomicBool::new(false),
            // Whoever connects is expected to ask for something.
            has_begun: AtomicBool::new(true),
            is_blocked: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            has_unread: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        if self.is_closing.load(Ordering::Relaxed) {
            Phase::Closing
        } else if self.is_blocked.load(Ordering::Relaxed) {
            Phase::Blocked(self.taken.load(Ordering::Relaxed))
        } else if self.is_under_way.load(Ordering::Relaxed) {
            Phase::UnderWay
        } else if self.has_begun.load(Ordering::Relaxed) {
            Phase::Head
        } else {
            Phase::Idle
        }
    }

    /// A request's head was read; it is under way until the guard is dropped.
    pub(super) fn request(self: &Arc<Self>) -> UnderWay {
        self.has_begun.store(false, Ordering::Relaxed);
        // The body before this one was read after all, or there would be no further request.
        self.has_unread.store(false, Ordering::Relaxed);
        self.is_under_way.store(true, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    /// Bytes came.
    pub(super) fn came(&self) {
        if !self.is_under_way.load(Ordering::Relaxed) {
            self.has_begun.store(true, Ordering::Relaxed);
        }
    }

    /// The client took bytes.
    pub(super) fn took(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
        self.is_blocked.store(false, Ordering::Relaxed);
    }

    /// The client takes nothing now.
    pub(super) fn blocked(&self) {
        self.is_blocked.store(true, Ordering::Relaxed);
    }

    /// A body was given up before its end.
    pub(super) fn left_unread(&self) {
        self.has_unread.store(true, Ordering::Relaxed);
    }

    /// The last answer was written; whatever still comes is read and dropped.
    pub(super) fn closing(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    /// Whether the client may still be sending what nobody will read.
    pub(super) fn has_unread(&self) -> bool {
        self.has_unread.load(Ordering::Relaxed)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.is_under_way.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_a_connection_waits_for() {
        let activity = Arc::new(Activity::new());
        assert_eq!(activity.phase(), Phase::Head, "it has just connected");
        let request = activity.request();
        activity.came();
        assert_eq!(activity.phase(), Phase::UnderWay, "a body is no head");
        activity.blocked();
        assert_eq!(activity.phase(), Phase::Blocked(0));
        activity.took(3);
        activity.blocked();
        assert_eq!(activity.phase(), Phase::Blocked(3));
        drop(request);
        activity.took(1);
        assert_eq!(activity.phase(), Phase::Idle);
        activity.came();
        assert_eq!(activity.phase(), Phase::Head);
        activity.closing();
        activity.came();
        assert_eq!(activity.phase(), Phase::Closing, "what comes now is no head");
    }
}
