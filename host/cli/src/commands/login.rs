//! `walker login`: a session, kept for the commands that follow.
//!
//! Prints no token.

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::args::{Global, Login, Output};
use crate::client::{Answer, As, Client};
use crate::{End, print, secret};

#[derive(Deserialize)]
struct LoggedIn {
    token: String,
    user: Box<RawValue>,
}

#[derive(Deserialize)]
struct User {
    email: String,
    expiration: String,
}

pub(crate) fn login(args: Login, global: &Global) -> Result<End> {
    let client = Client::find_as(global, As::Nobody)?;
    let LoggedIn { token, user } = with_password(&client, "/user/login", args)?.read()?;
    client.keep_session(&token)?;
    match global.output {
        Output::Json => print::line(&user)?,
        Output::Text => {
            let User { email, expiration } = serde_json::from_str(user.get())?;
            print::step("Logged in", format_args!("at {} as {email}, until {expiration}", client.url()));
        }
    }
    Ok(End::Well)
}

/// Asks for what is missing, and sends it.
pub(super) fn with_password(client: &Client, path: &str, args: Login) -> Result<Answer> {
    let email = secret::ask(args.email, "e-mail address", "--email")?;
    let password = secret::read(args.password_file.as_deref(), "password", "--password-file")?;
    let tenant: Vec<_> = args.tenant.iter().map(|tenant| ("walker-tenant", tenant.as_str())).collect();
    client.post_with(path, &tenant, &json!({"email": email, "password": password}).to_string())
}
