//! `walker key`: what the operator does with tenants' keys.
//!
//! Keeps no key: it is printed once.

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::{Global, Key, KeyCreate, KeyRm, Output};
use crate::client::{As, Client, encode};
use crate::{End, print};

#[derive(Deserialize)]
struct Made {
    id: String,
    key: String,
}

pub(crate) fn key(command: &Key, global: &Global) -> Result<End> {
    let client = Client::find_as(global, As::Operator)?;
    match command {
        Key::Create(args) => create(&client, args, global.output)?,
        Key::Ls(args) => {
            let keys = client.all(&path(&args.tenant), "keys")?;
            match global.output {
                Output::Json => print::line(Value::from(keys))?,
                Output::Text => print::table(&["id", "name", "scopes", "created_at", "expires_at"], &keys)?,
            }
        }
        Key::Rm(KeyRm { id, tenant }) => {
            client.delete(&format!("{}/{}", path(tenant), encode(id)))?;
            print::step("Removed", format_args!("the key {id} of {tenant}"));
        }
    }
    Ok(End::Well)
}

fn create(client: &Client, args: &KeyCreate, output: Output) -> Result<()> {
    let scopes: Vec<_> = args.scopes.iter().map(|scope| scope.as_str()).collect();
    let mut wanted = json!({"name": args.name, "scopes": scopes});
    if let Some(expires_in) = &args.expires_in {
        wanted["expires_in"] = json!(expires_in);
    }
    let answer = client.post(&path(&args.tenant), &wanted.to_string())?;
    match output {
        Output::Json => print::line(&answer.text),
        Output::Text => {
            let Made { id, key } = answer.read()?;
            print::step("Made", format_args!("the key {id} of {}; it is shown this once", args.tenant));
            print::line(key)
        }
    }
}

fn path(tenant: &str) -> String {
    format!("/tenants/{}/keys", encode(tenant))
}
