//! `walker push`: publishes one module.
//!
//! Knows nothing of what makes a module acceptable: the host says.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use walker_model::is_name;

use crate::args::{Global, Output, Push};
use crate::client::Client;
use crate::{End, Usage, print};

#[derive(Debug, Deserialize)]
struct Published {
    module: Module,
}

#[derive(Debug, Deserialize)]
struct Module {
    name: String,
    version: u64,
    walkers: Vec<Walker>,
}

#[derive(Debug, Deserialize)]
struct Walker {
    name: String,
    #[serde(rename = "async", default)]
    is_async: bool,
    #[serde(default)]
    fields: Vec<Field>,
}

#[derive(Debug, Deserialize)]
struct Field {
    name: String,
    #[serde(default)]
    schema: Value,
    #[serde(default, deserialize_with = "present")]
    default: Option<Value>,
}

/// Tells a default of `null` from none.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

pub(crate) fn push(args: &Push, global: &Global) -> Result<End> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => module_name(&args.file),
    };
    if !is_name(&name) {
        return Err(Usage(format!("{name:?} cannot be a module's name; give one with --name")).into());
    }
    let bytes = fs::read(&args.file).with_context(|| format!("could not read {}", args.file.display()))?;
    let client = Client::find(global)?;
    let spinner = print::spinner(format!("the host checks and compiles {name}"));
    let answer = client.put(&format!("/modules/{name}"), "application/wasm", &bytes);
    spinner.finish_and_clear();
    let answer = answer?;
    match global.output {
        Output::Json => print::line(&answer.text)?,
        Output::Text => {
            let Published { module } = answer.read()?;
            let was_there = if answer.status == 200 { " (unchanged)" } else { "" };
            print::line(format_args!("{} version {}{was_there}", module.name, module.version))?;
            for walker in &module.walkers {
                print::line(format_args!("  {}", signature(walker)))?;
            }
        }
    }
    Ok(End::Well)
}

/// `target/walkers/my-app.wasm` is the module `my_app`.
fn module_name(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_")
}

/// `async sample(value: integer = 0)`
fn signature(walker: &Walker) -> String {
    let fields: Vec<String> = walker
        .fields
        .iter()
        .map(|Field { name, schema, default }| {
            let kind = match &schema["type"] {
                Value::String(kind) => kind.clone(),
                Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("|"),
                _ => "any".to_owned(),
            };
            let default = default.as_ref().map(|value| format!(" = {value}")).unwrap_or_default();
            format!("{name}: {kind}{default}")
        })
        .collect();
    let before = if walker.is_async { "async " } else { "" };
    format!("{before}{}({})", walker.name, fields.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_files() {
        assert_eq!(module_name(Path::new("target/walkers/my-app.wasm")), "my_app");
        assert_eq!(module_name(Path::new("seed.wasm")), "seed");
    }

    #[test]
    fn walkers_read_like_functions() {
        let walker = r#"{"name": "sample", "async": true, "fields": [
            {"name": "value", "schema": {"type": "integer"}, "default": 0, "doc": ""},
            {"name": "note", "schema": {"type": ["string", "null"]}, "default": null},
            {"name": "any", "schema": {}}]}"#;
        let walker = serde_json::from_str(walker).unwrap();
        assert_eq!(signature(&walker), "async sample(value: integer = 0, note: string|null = null, any: any)");
    }
}
