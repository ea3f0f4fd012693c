//! `walker user`: registering, and changing one's own password.
//!
//! Knows nothing of what makes a password acceptable: the host says.

use anyhow::Result;
use serde_json::json;

use super::login::with_password;
use crate::args::{Global, Login, Password, User};
use crate::client::{As, Client};
use crate::{End, print, secret};

pub(crate) fn user(command: User, global: &Global) -> Result<End> {
    match command {
        User::Register(args) => register(args, global),
        User::Password(args) => password(&args, global),
    }
}

fn register(args: Login, global: &Global) -> Result<End> {
    let client = Client::find_as(global, As::Nobody)?;
    let answer = with_password(&client, "/user/register", args)?;
    print::object(&answer, global.output)?;
    Ok(End::Well)
}

fn password(args: &Password, global: &Global) -> Result<End> {
    let client = Client::find(global)?;
    let old = secret::read(args.password_file.as_deref(), "old password", "--password-file")?;
    let new = secret::read(args.new_password_file.as_deref(), "new password", "--new-password-file")?;
    client.post("/user/change_password", &json!({"old_password": old, "new_password": new}).to_string())?;
    print::step("Changed", "the password; all other sessions have ended");
    Ok(End::Well)
}
