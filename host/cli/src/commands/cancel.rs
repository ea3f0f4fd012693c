//! `walker cancel`: invocations by id, or all that match.
//!
//! Knows nothing of how the host stops them.

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;
use walker_model::is_name;

use crate::args::{Cancel, Global, Output};
use crate::client::Client;
use crate::{End, Usage, print};

#[derive(Debug, Deserialize)]
struct Cancelled {
    cancelled: u64,
}

pub(crate) fn cancel(args: &Cancel, global: &Global) -> Result<End> {
    if let Some(name) = args.name.as_ref().filter(|name| !is_name(name)) {
        return Err(Usage(format!("{name:?} cannot be a walker's name")).into());
    }
    let client = Client::find(global)?;
    if args.ids.is_empty() {
        debug_assert!(args.all || args.name.is_some() || args.status.is_some(), "the parser wants one of them");
        let mut filter = serde_json::Map::new();
        filter.extend(args.name.as_ref().map(|name| ("name".to_owned(), json!(name))));
        filter.extend(args.status.map(|status| ("status".to_owned(), json!(status))));
        let answer = client.post("/walkers/cancel", &serde_json::Value::Object(filter).to_string())?;
        match global.output {
            Output::Json => print::line(&answer.text)?,
            Output::Text => print::line(format_args!("{} cancelled", answer.read::<Cancelled>()?.cancelled))?,
        }
        return Ok(End::Well);
    }
    // One that cannot be cancelled any more does not keep the others from it.
    let mut end = Ok(End::Well);
    for id in &args.ids {
        match client.post(&format!("/walkers/{id}/cancel"), "") {
            Ok(answer) => match global.output {
                Output::Json => print::line(&answer.text)?,
                Output::Text => print::line(id)?,
            },
            Err(error) if args.ids.len() == 1 => return Err(error),
            Err(error) => {
                print::error(&format!("{id}: {error:#}"));
                end = Err(anyhow::anyhow!("not all of them were cancelled"));
            }
        }
    }
    end
}
