//! `walker logs`: what a walker printed, page by page.
//!
//! Knows nothing of the walker's state but whether more can come.

use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use serde_json::value::RawValue;
use walker_model::WalkerId;

use crate::args::{Global, Logs, Output};
use crate::client::Client;
use crate::{End, print};

/// How often a running walker is asked for more: as often as eyes can follow.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Deserialize)]
struct Page {
    logs: Vec<Box<RawValue>>,
    ended: bool,
}

/// One piece of output.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    seq: u64,
    pub(crate) text: String,
}

pub(crate) fn logs(args: &Logs, global: &Global) -> Result<End> {
    let client = Client::find(global)?;
    let mut reader = Reader::new(&client, args.id.clone());
    let mut show = |raw: &RawValue, entry: &Entry| match global.output {
        Output::Json => print::line(raw),
        Output::Text => print::line(entry.text.trim_end_matches('\n')),
    };
    if args.follow {
        reader.follow(&mut show)?;
    } else {
        while reader.page(&mut show)?.any {}
    }
    Ok(End::Well)
}

/// Reads on from where it stopped.
pub(crate) struct Reader<'a> {
    client: &'a Client,
    id: WalkerId,
    after: u64,
}

struct Progress {
    any: bool,
    ended: bool,
}

type Show<'a> = dyn FnMut(&RawValue, &Entry) -> Result<()> + 'a;

impl<'a> Reader<'a> {
    pub(crate) fn new(client: &'a Client, id: WalkerId) -> Self {
        Self { client, id, after: 0 }
    }

    /// Shows everything until the walker has ended.
    pub(crate) fn follow(&mut self, show: &mut Show<'_>) -> Result<()> {
        loop {
            let Progress { any, ended } = self.page(show)?;
            match (any, ended) {
                // The last page was read when nothing more came after the end.
                (false, true) => return Ok(()),
                (false, false) => std::thread::sleep(LOOK_EVERY),
                (true, _) => {}
            }
        }
    }

    fn page(&mut self, show: &mut Show<'_>) -> Result<Progress> {
        let answer = self.client.get(&format!("/walkers/{}/logs?after={}", self.id, self.after))?;
        let page: Page = answer.read()?;
        for raw in &page.logs {
            let entry: Entry = serde_json::from_str(raw.get())?;
            show(raw, &entry)?;
            self.after = self.after.max(entry.seq);
        }
        Ok(Progress { any: !page.logs.is_empty(), ended: page.ended })
    }
}
