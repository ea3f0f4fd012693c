//! When the host is asked to stop.
//!
//! Knows nothing of what stopping takes.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal as listen};

/// Resolves with the signal's name at the first SIGINT (Ctrl-C) or SIGTERM after this call.
///
/// The handlers are set up by the call itself, not by the first poll: from here on neither signal kills the process.
///
/// # Errors
/// When the handlers cannot be registered.
pub fn signal() -> io::Result<impl Future<Output = &'static str> + Send + 'static> {
    let mut interrupt: Signal = listen(SignalKind::interrupt())?;
    let mut terminate: Signal = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    #[tokio::test]
    async fn resolves_on_sigterm() {
        let stop = super::signal().unwrap();
        kill_process(getpid(), Signal::TERM).unwrap();
        assert_eq!(stop.await, "SIGTERM");
    }
}
