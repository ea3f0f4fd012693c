//! Lets Postgres have the processor before walkers also where Linux shares it by session first.
//!
//! With autogroups (the default of most distributions) a thread's priority counts within its session only, and each of Postgres'
//! processes is a session of its own: one that wakes up waits for the walkers of a processor to use up their slice, tens of
//! milliseconds in all for a request. See sched(7), "The autogroup feature".

use std::fs;

/// Of the session, as long as this lives.
const PATH: &str = "/proc/self/autogroup";
/// A third of the weight of others: measured to be enough, and when nobody else wants the processor it costs nothing.
const NICE: &str = "5";
const USUAL: &str = "0";

/// This session weighs less than others until this is dropped.
#[must_use]
pub(super) struct Autogroup(());

impl Autogroup {
    /// `None` where there are no autogroups, or somebody has chosen for this session already.
    pub(super) fn give_way() -> Option<Self> {
        let now = fs::read_to_string(PATH).ok()?;
        if nice(&now) != Some(USUAL) {
            return None;
        }
        match fs::write(PATH, NICE) {
            Ok(()) => Some(Self(())),
            Err(error) => {
                tracing::debug!(%error, "this session weighs as much as Postgres");
                None
            }
        }
    }
}

impl Drop for Autogroup {
    fn drop(&mut self) {
        // It may be a terminal's session, which goes on. Without the right to, it stays as it is.
        drop(fs::write(PATH, USUAL));
    }
}

/// Reads `/autogroup-123 nice 0`.
fn nice(text: &str) -> Option<&str> {
    text.trim().rsplit_once(" nice ").map(|(_, nice)| nice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        assert_eq!(nice("/autogroup-82915 nice 0\n"), Some("0"));
        assert_eq!(nice("/autogroup-7 nice -5\n"), Some("-5"));
        assert_eq!(nice(""), None);
    }
}
