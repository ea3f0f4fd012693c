//! `walker retry`: one invocation again.
//!
//! Knows nothing of where it goes on.

use anyhow::Result;

use crate::args::{Global, Output, Retry};
use crate::client::Client;
use crate::{End, print};

pub(crate) fn retry(args: &Retry, global: &Global) -> Result<End> {
    let answer = Client::find(global)?.post(&format!("/walkers/{}/retry", args.id), "")?;
    match global.output {
        Output::Json => print::line(&answer.text)?,
        Output::Text => print::line(&args.id)?,
    }
    Ok(End::Well)
}
