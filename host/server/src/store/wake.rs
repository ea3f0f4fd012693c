//! The word that walkers wait.

/// The channel; what is said is the speaker's number.
pub(crate) const WAITING: &str = "walkers_waiting";
