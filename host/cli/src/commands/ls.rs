//! `walker ls`: invocations, newest first, page by page.
//!
//! Knows nothing of one invocation but a line about it.

use anyhow::Result;
use comfy_table::{Cell, Color, Table, presets};
use serde::Deserialize;
use serde_json::value::RawValue;
use walker_model::{Status, is_name};

use crate::args::{Global, Ls, Output};
use crate::client::{Client, encode};
use crate::view::View;
use crate::{End, Usage, print};

/// As many as one page holds.
const PAGE: u32 = 100;
/// An error's sentence is cut here, so that a line stays a line.
const MAX_ERROR_CHARS: usize = 60;

#[derive(Debug, Deserialize)]
struct Page {
    walkers: Vec<Box<RawValue>>,
    /// Null on the last page. Its absence is an error: read as null, it would cut a list short without a word.
    #[serde(deserialize_with = "Option::deserialize")]
    cursor: Option<String>,
}

pub(crate) fn ls(args: &Ls, global: &Global) -> Result<End> {
    let walkers = all(args, global)?;
    match global.output {
        Output::Json => {
            let walkers: Vec<&str> = walkers.iter().map(|walker| walker.get()).collect();
            print::line(format_args!("[{}]", walkers.join(",")))?;
        }
        Output::Text => {
            let mut views = Vec::new();
            for walker in &walkers {
                views.push(serde_json::from_str::<View>(walker.get())?);
            }
            for line in table(&views).lines() {
                print::line(line.trim_end())?;
            }
        }
    }
    Ok(End::Well)
}

fn all(args: &Ls, global: &Global) -> Result<Vec<Box<RawValue>>> {
    let mut filter = String::new();
    if let Some(name) = &args.name {
        if !is_name(name) {
            return Err(Usage(format!("{name:?} cannot be a walker's name")).into());
        }
        filter.push_str(&format!("&name={name}"));
    }
    if let Some(status) = args.status {
        filter.push_str(&format!("&status={status}"));
    }
    let client = Client::find(global)?;
    let limit = usize::try_from(args.limit)?;
    let mut walkers = Vec::new();
    let mut from = String::new();
    loop {
        let page = PAGE.min(u32::try_from(limit - walkers.len())?);
        let page: Page = client.get(&format!("/walkers?limit={page}{filter}{from}"))?.read()?;
        walkers.extend(page.walkers);
        walkers.truncate(limit);
        match page.cursor {
            // What a host gives as a cursor is its own business, but for what a URL can hold.
            Some(cursor) if walkers.len() < limit => from = format!("&cursor={}", encode(&cursor)),
            _ => return Ok(walkers),
        }
    }
}

fn table(views: &[View]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["ID", "STATUS", "EXECUTED", "MS", "ERROR"]);
    for view in views {
        let View { id, schedule, run, .. } = view;
        let date = schedule.executed_date.as_deref().or(schedule.execute_date.as_deref()).unwrap_or_default();
        let duration = run.as_ref().and_then(|run| run.duration_ms).map(|ms| format!("{ms:.3}")).unwrap_or_default();
        let error: String = schedule.error.as_deref().unwrap_or_default().chars().take(MAX_ERROR_CHARS).collect();
        table.add_row([
            Cell::new(id),
            Cell::new(schedule.status).fg(colour(schedule.status)),
            Cell::new(date.split('.').next().unwrap_or_default()),
            Cell::new(duration),
            Cell::new(error.lines().next().unwrap_or_default()),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.to_string()
}

fn colour(status: Status) -> Color {
    match status {
        Status::Pending => Color::Yellow,
        Status::Running => Color::Cyan,
        Status::Completed => Color::Green,
        Status::Failed => Color::Red,
        Status::Cancelled => Color::DarkGrey,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_each() {
        let text = r#"{"id": "w:a:1", "context": {}, "schedule": {"status": "failed", "execute_date": "2026-11-23T10:00:00.000000Z",
            "executed_date": "2026-11-23T10:00:01.000000Z", "error": "first\nsecond"}, "run": {"duration_ms": 0.412}}"#;
        let table = table(&[serde_json::from_str(text).unwrap()]);
        let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
        assert_eq!(
            lines,
            ["ID     STATUS  EXECUTED             MS     ERROR", "w:a:1  failed  2026-11-23T10:00:01  0.412  first",]
        );
    }

    #[test]
    fn a_page_says_whether_it_is_the_last() {
        let cursor = |text: &str| serde_json::from_str::<Page>(text).map(|page| page.cursor).ok();
        assert_eq!(cursor(r#"{"walkers": [], "cursor": null}"#), Some(None));
        assert_eq!(cursor(r#"{"walkers": [], "cursor": "a"}"#), Some(Some("a".to_owned())));
        assert_eq!(cursor(r#"{"walkers": []}"#), None);
    }
}
