//! Holds the table of advisories to what is locked and to what is tested.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashSet;
use std::fs;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

type Version = [u64; 3];

fn version(text: &str) -> Version {
    let parts: Vec<u64> = text.split('.').map(|part| part.parse().unwrap()).collect();
    parts.try_into().unwrap_or_else(|parts| panic!("{parts:?} is no version"))
}

/// The locked version of a crate, if it is built at all.
fn locked(name: &str) -> Option<Version> {
    let lock = fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap();
    let (_, after) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    after.split('"').next().map(version)
}

/// All Rust sources of the sandbox, where tests are looked for.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| match path.extension() {
        _ if path.is_dir() => sources(&path),
        Some(extension) if extension == "rs" => fs::read_to_string(path).unwrap(),
        _ => String::new(),
    };
    entries.map(read).collect()
}

/// The rows of a table that are about advisories.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .filter(|line| line.contains("GHSA-"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

#[test]
fn every_advisory_is_fixed_or_out_of_reach() {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/advisories.md")).unwrap();
    let (fixed, later) = text.split_once("## Not yet in the locked version").unwrap();
    let (fixed, later) = (rows(fixed), rows(later));
    assert!(fixed.len() >= 69, "{} rows", fixed.len());
    let tests = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
    let mut seen = HashSet::new();
    for (row, is_fixed) in fixed.iter().map(|row| (row, true)).chain(later.iter().map(|row| (row, false))) {
        let [id, what, fixed, why] = row.as_slice() else { panic!("{row:?}") };
        assert!(id.split(' ').all(|id| seen.insert(id.to_owned())), "{id} stands there twice");
        assert!(!what.is_empty() && !why.is_empty(), "{id}");
        for name in ["wasmtime", "wasmtime-wasi", "wasmtime-internal-cranelift"] {
            let locked = locked(name).unwrap_or_else(|| panic!("{name} is not locked"));
            let has_fix = locked >= version(fixed);
            assert_eq!(has_fix, is_fixed, "{id}: {name} is locked at {locked:?}, and {fixed} has the fix");
        }
        // Between backquotes: a test when it looks like a function of ours.
        for name in why.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() >= 1) {
            assert!(tests.contains(&format!("fn {name}(")), "{id}: there is no test called {name}");
        }
    }
    for absent in ["wasmtime-wasi-http", "wasmtime-internal-winch", "wasmtime-cli"] {
        assert!(locked(absent).is_none(), "{absent} is built, but the table says that it is not");
    }
}
