//! `walker get`: one invocation.
//!
//! Knows nothing of how it was made.

use anyhow::Result;

use crate::args::{Get, Global, Output};
use crate::client::Client;
use crate::view::One;
use crate::{End, print};

pub(crate) fn get(args: &Get, global: &Global) -> Result<End> {
    let answer = Client::find(global)?.get(&format!("/walkers/{}", args.id))?;
    match global.output {
        Output::Json => print::line(&answer.text)?,
        Output::Text => print::line(answer.read::<One>()?.walker.text())?,
    }
    // Reading about a failure is not one.
    Ok(End::Well)
}
