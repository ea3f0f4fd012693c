//! `walker logout`: ends the session and forgets it.
//!
//! Knows nothing of other sessions.

use anyhow::Result;

use crate::args::Global;
use crate::client::{Client, Problem};
use crate::{End, print};

pub(crate) fn logout(global: &Global) -> Result<End> {
    let client = Client::find(global)?;
    match client.post("/user/logout", "") {
        Ok(_) => {}
        // It had ended before: that is what was wanted.
        Err(error) if error.downcast_ref::<Problem>().is_some_and(Problem::is_unauthorized) => {}
        Err(error) => return Err(error),
    }
    client.forget_session()?;
    print::step("Logged out", format_args!("at {}", client.url()));
    Ok(End::Well)
}
