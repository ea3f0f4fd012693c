//! `walker tenant`: what the operator does with tenants.
//!
//! Knows no quota and no setting by name: the host says what there is.

use std::io::{self, IsTerminal};

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::args::{Global, Output, Tenant, TenantRm, TenantSet};
use crate::client::{As, Client, encode};
use crate::{End, Usage, print, secret};

pub(crate) fn tenant(command: &Tenant, global: &Global) -> Result<End> {
    let client = Client::find_as(global, As::Operator)?;
    match command {
        Tenant::Create(args) => {
            let answer = client.post("/tenants", &json!({"name": args.name}).to_string())?;
            print::object(&answer, global.output)?;
        }
        Tenant::Ls => {
            let tenants = client.all("/tenants", "tenants")?;
            match global.output {
                Output::Json => print::line(Value::from(tenants))?,
                Output::Text => print::table(&["name", "root_id", "created_at"], &tenants)?,
            }
        }
        Tenant::Get(args) => print::object(&client.get(&path(&args.name))?, global.output)?,
        Tenant::Set(TenantSet { name, changes }) => {
            let answer = client.patch(&path(name), &read(changes)?.to_string())?;
            print::object(&answer, global.output)?;
        }
        Tenant::Rm(args) => {
            confirm(args)?;
            client.delete(&path(&args.name))?;
            print::step("Deleted", format_args!("the tenant {}", args.name));
        }
    }
    Ok(End::Well)
}

fn path(name: &str) -> String {
    format!("/tenants/{}", encode(name))
}

/// `quotas.fuel=1000` is `{"quotas": {"fuel": 1000}}`; what is no JSON is a text.
fn read(changes: &[String]) -> Result<Value> {
    let mut object = Map::new();
    for change in changes {
        let wrong = || Usage(format!("expected KEY=VALUE, such as quotas.live_walkers=1000, not {change:?}"));
        let (key, text) = change.split_once('=').ok_or_else(wrong)?;
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        let mut at = &mut object;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            if part.is_empty() {
                return Err(wrong().into());
            }
            if parts.peek().is_none() {
                if at.insert(part.to_owned(), value).is_some() {
                    return Err(Usage(format!("{key} is given twice")).into());
                }
                break;
            }
            let inner = at.entry(part).or_insert_with(|| json!({})).as_object_mut();
            at = inner.ok_or_else(|| Usage(format!("{key}: {part} is given as a value, too")))?;
        }
    }
    Ok(object.into())
}

/// What is deleted does not come back.
fn confirm(TenantRm { name, yes }: &TenantRm) -> Result<()> {
    if *yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(
            Usage(format!("this deletes the tenant {name} and all that it has; say --yes if that is meant")).into()
        );
    }
    let typed = secret::ask(None, &format!("this deletes all that {name} has; type its name to go on"), "--yes")?;
    if typed == *name { Ok(()) } else { Err(Usage("nothing was deleted".to_owned()).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_keys_and_values_whatever_they_mean() {
        let check = |changes: &[&str], expect: Option<Value>| {
            let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
            assert_eq!(read(&changes).ok(), expect, "{changes:?}");
        };
        check(
            &["quotas.fuel=1000", "quotas.time_ms=null", "suspended=true", "note=two words", "url=a=b"],
            Some(
                json!({"quotas": {"fuel": 1000, "time_ms": null}, "suspended": true, "note": "two words", "url": "a=b"}),
            ),
        );
        check(&["a.b.c=[1]"], Some(json!({"a": {"b": {"c": [1]}}})));
        check(&["empty="], Some(json!({"empty": ""})));
        for bad in [["fuel"].as_slice(), &["=1"], &["quotas.=1"], &["a=1", "a=2"], &["a=1", "a.b=2"]] {
            check(bad, None);
        }
    }
}
