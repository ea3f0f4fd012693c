//! `walker whoami`: whom the token stands for.
//!
//! Does not show the token.

use anyhow::Result;

use crate::args::Global;
use crate::client::Client;
use crate::{End, print};

pub(crate) fn whoami(global: &Global) -> Result<End> {
    let answer = Client::find(global)?.get("/whoami")?;
    print::object(&answer, global.output)?;
    Ok(End::Well)
}
