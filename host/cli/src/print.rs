//! stdout is data, stderr is talk.
//!
//! Knows nothing of what is printed.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use comfy_table::{Table, presets};
use serde_json::Value;

use crate::args::Output;
use crate::client::Answer;

/// One line of data.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<()> {
    // `println!` would panic when the reader has gone, as in `walker ls | head -1`.
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(())
}

/// An object as it came, or a line for each of its values, named as `walker tenant set` names them.
pub(crate) fn object(answer: &Answer, output: Output) -> Result<()> {
    match output {
        Output::Json => line(&answer.text),
        Output::Text => {
            let mut lines = Vec::new();
            flatten("", &answer.read()?, &mut lines);
            let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
            lines.iter().try_for_each(|(name, value)| line(format_args!("{name:<width$}  {value}")))
        }
    }
}

/// What is null is left out: it is not there, or not set.
fn flatten(name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (member, value) in members {
                let name = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
                flatten(&name, value, lines);
            }
        }
        value => lines.push((name.to_owned(), text(value))),
    }
}

/// Some members of each row under their names.
pub(crate) fn table(members: &[&str], rows: &[Value]) -> Result<()> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(members.iter().map(|member| member.to_uppercase()));
    for row in rows {
        table.add_row(members.iter().map(|member| text(&row[*member])));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.to_string().lines().try_for_each(|row| line(row.trim_end()))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
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
