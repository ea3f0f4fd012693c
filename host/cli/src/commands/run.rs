//! `walker run`: invokes a walker, and waits for it when asked.
//!
//! Knows nothing of the walker's kind: the host's answer tells.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::value::RawValue;
use walker_model::{WalkerId, is_name};
use walker_server::config::parse_duration;

use super::logs::Reader;
use crate::args::{Global, Output, Run};
use crate::client::{Answer, Client, Problem};
use crate::view::One;
use crate::{End, Usage, print};

/// How long one question waits at the host before it is asked again.
const ONE_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize)]
struct Invoked {
    walker_id: WalkerId,
    /// A sync walker's; it has ended then.
    reports: Option<Vec<Box<RawValue>>>,
}

/// How long to wait for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Not,
    ForEver,
    AtMost(Duration),
}

pub(crate) fn run(args: Run, global: &Global) -> Result<End> {
    if !is_name(&args.name) {
        return Err(Usage(format!("{:?} cannot be a walker's name", args.name)).into());
    }
    let (wait, fields) = read(args.wait, args.fields, args.follow)?;
    let client = Client::find(global)?;
    let path = match &args.node {
        Some(node) => format!("/walker/{}/{node}", args.name),
        None => format!("/walker/{}", args.name),
    };
    let key: Vec<_> = args.idempotency_key.iter().map(|key| ("idempotency-key", key.as_str())).collect();
    let answer = match client.post_with(&path, &key, &fields) {
        Err(error) if error.downcast_ref::<Problem>().is_some_and(|problem| problem.walker_id.is_some()) => {
            // The walker ran and failed: that is not a failure to run it.
            print::error(&format!("{error:#}"));
            return Ok(End::Badly);
        }
        result => result?,
    };
    let invoked: Invoked = answer.read()?;
    match (invoked.reports, wait) {
        (Some(reports), _) => show_reports(&answer, &reports, global.output)?,
        (None, Wait::Not) => match global.output {
            Output::Json => print::line(&answer.text)?,
            Output::Text => print::line(&invoked.walker_id)?,
        },
        (None, wait) => return follow_to_end(&client, invoked.walker_id, wait, args.follow, global.output),
    }
    Ok(End::Well)
}

/// `--wait '{}'` reads as if the fields were a duration.
fn read(wait: Option<String>, fields: Option<String>, follow: bool) -> Result<(Wait, String)> {
    let (wait, fields) = match (wait, fields) {
        (Some(wait), None) if wait.trim_start().starts_with('{') => (Some(String::new()), Some(wait)),
        both => both,
    };
    let wait = match wait.as_deref() {
        None if follow => Wait::ForEver,
        None => Wait::Not,
        Some("") => Wait::ForEver,
        Some(text) => Wait::AtMost(parse_duration(text).map_err(|expected| Usage(format!("--wait: {expected}")))?),
    };
    let fields = fields.unwrap_or_else(|| "{}".to_owned());
    match serde_json::from_str::<serde_json::Value>(&fields) {
        Ok(value) if value.is_object() => Ok((wait, fields)),
        Ok(_) => Err(Usage("the fields must be a JSON object, such as '{\"value\": 1}'".to_owned()).into()),
        Err(error) => Err(Usage(format!("the fields are not JSON: {error}")).into()),
    }
}

fn show_reports(answer: &Answer, reports: &[Box<RawValue>], output: Output) -> Result<()> {
    match output {
        Output::Json => print::line(&answer.text),
        Output::Text => reports.iter().try_for_each(print::line),
    }
}

fn follow_to_end(client: &Client, id: WalkerId, wait: Wait, follow: bool, output: Output) -> Result<End> {
    let began = Instant::now();
    if follow {
        print::step("Started", &id);
        Reader::new(client, id.clone()).follow(&mut |_, entry| {
            eprintln!("{}", entry.text.trim_end_matches('\n'));
            Ok(())
        })?;
    }
    let spinner = print::spinner(format!("waiting for {id}"));
    loop {
        let left = match wait {
            Wait::AtMost(limit) => limit.saturating_sub(began.elapsed()).min(ONE_WAIT),
            Wait::ForEver | Wait::Not => ONE_WAIT,
        };
        let answer = client.get(&format!("/walkers/{id}?wait={}ms", left.as_millis()))?;
        let One { walker } = answer.read()?;
        if walker.schedule.status.is_final() {
            spinner.finish_and_clear();
            match output {
                Output::Json => print::line(&answer.text)?,
                Output::Text => print::line(walker.text())?,
            }
            return Ok(if walker.ended_badly() { End::Badly } else { End::Well });
        }
        if let Wait::AtMost(limit) = wait
            && began.elapsed() >= limit
        {
            spinner.finish_and_clear();
            bail!("{id} is still {} after {limit:?}; see it with: walker get {id}", walker.schedule.status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_wait_are_told_apart() {
        let check = |wait: Option<&str>, fields: Option<&str>, expect: Option<(Wait, &str)>| {
            let read = read(wait.map(str::to_owned), fields.map(str::to_owned), false).ok();
            assert_eq!(read.as_ref().map(|(wait, fields)| (*wait, fields.as_str())), expect, "{wait:?} {fields:?}");
        };
        check(None, None, Some((Wait::Not, "{}")));
        check(Some(""), Some("{\"a\":1}"), Some((Wait::ForEver, "{\"a\":1}")));
        check(Some("{\"a\":1}"), None, Some((Wait::ForEver, "{\"a\":1}")));
        check(Some("5s"), None, Some((Wait::AtMost(Duration::from_secs(5)), "{}")));
        check(Some("soon"), None, None);
        check(None, Some("[1]"), None);
        check(None, Some("{"), None);
    }
}
