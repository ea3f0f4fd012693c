//! stdout is data, stderr is talk.
//!
//! Knows nothing of what is printed.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;

/// One line of data.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<()> {
    // `println!` would panic when the reader has gone, as in `walker ls | head -1`.
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Whether the reader of our data has gone, which is no error.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// What went wrong.
pub(crate) fn error(text: &str) {
    let (on, off) = if is_coloured() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    eprintln!("{on}error{off}: {text}");
}

/// What is being done.
pub(crate) fn step(verb: &str, text: impl std::fmt::Display) {
    let (on, off) = if is_coloured() { ("\x1b[1;32m", "\x1b[0m") } else { ("", "") };
    eprintln!("{on}{verb:>12}{off} {text}");
}

/// Something turning while we wait; nothing at all unless somebody watches.
pub(crate) fn spinner(text: String) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new_spinner().with_message(text);
    if io::stderr().is_terminal() {
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
    } else {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    bar
}

fn is_coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
