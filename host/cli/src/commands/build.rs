//! `walker build`: a project's modules, from source to `target/walkers/NAME.wasm`.
//!
//! Knows nothing of compilers; `toolchain` finds one.

use std::env;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::args::{Build, Global, Output};
use crate::toolchain::Toolchain;
use crate::{End, Usage, print};

/// What `cargo metadata` says, as far as we ask.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

/// What `cargo build` says about each thing it made.
#[derive(Debug, Deserialize)]
struct Message {
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

pub(crate) fn build(args: &Build, global: &Global) -> Result<End> {
    let Ok(project) = args.path.canonicalize() else {
        return Err(Usage(format!("there is no folder {}", args.path.display())).into());
    };
    let manifest = project.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(Usage(format!("{} has no Cargo.toml; make a project with `walker new`", project.display())).into());
    }
    let toolchain = Toolchain::find(&project)?;
    let metadata = describe(&toolchain, &project)?;
    let packages = modules(&metadata, &manifest);
    if packages.is_empty() {
        bail!("no crate in {} makes a module: one needs crate-type = [\"cdylib\"] under [lib]", project.display());
    }
    print::step("Using", toolchain.description());
    let built = compile(&toolchain, &project, &packages)?;
    let paths = publish(&built, &metadata.workspace_root.join("target/walkers"))?;
    match global.output {
        Output::Json => print::line(serde_json::to_string(&paths)?)?,
        Output::Text => paths.iter().try_for_each(|path| print::line(path.display()))?,
    }
    Ok(End::Well)
}

fn describe(toolchain: &Toolchain, project: &Path) -> Result<Metadata> {
    let said = toolchain
        .cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(project)
        .stderr(Stdio::inherit())
        .output()
        .context(NO_CARGO)?;
    if !said.status.success() {
        bail!("cargo cannot read the project in {}", project.display());
    }
    serde_json::from_slice(&said.stdout).context("cargo metadata's answer is not what it was")
}

const NO_CARGO: &str = "could not run cargo; install Rust from https://rustup.rs";

/// The crates to build: the one whose manifest this is, or at a workspace's root all of its own.
fn modules<'a>(metadata: &'a Metadata, manifest: &Path) -> Vec<&'a str> {
    let everything = metadata.workspace_root.join("Cargo.toml") == manifest;
    metadata
        .packages
        .iter()
        .filter(|package| everything || package.manifest_path == manifest)
        .filter(|package| package.targets.iter().any(Target::is_module))
        .map(|package| package.name.as_str())
        .collect()
}

impl Target {
    fn is_module(&self) -> bool {
        self.crate_types.iter().any(|kind| kind == "cdylib")
    }
}

/// The modules that cargo made, or found up to date.
fn compile(toolchain: &Toolchain, project: &Path, packages: &[&str]) -> Result<Vec<PathBuf>> {
    let mut cargo: Command = toolchain.cargo();
    cargo.args(["build", "--release", "--lib", "--target", toolchain.target()]).args(toolchain.build_arguments());
    // Its progress and diagnostics go to our stderr as they come; what it made comes to us.
    cargo.arg("--message-format=json-render-diagnostics");
    for package in packages {
        cargo.args(["--package", package]);
    }
    let mut running =
        cargo.current_dir(project).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context(NO_CARGO)?;
    let mut built = Vec::new();
    for line in BufReader::new(running.stdout.take().context("cargo's output is piped")?).lines() {
        // Other messages have other shapes.
        let Ok(message) = serde_json::from_str::<Message>(&line?) else { continue };
        if message.target.is_some_and(|target| target.is_module()) {
            built
                .extend(message.filenames.into_iter().filter(|path| path.extension().is_some_and(|end| end == "wasm")));
        }
    }
    if !running.wait()?.success() {
        bail!("the build failed");
    }
    Ok(built)
}

/// Puts the modules where they are found whatever they were built for.
fn publish(built: &[PathBuf], folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
    let here = env::current_dir()?;
    let mut paths = Vec::new();
    for module in built {
        let name = module.file_name().context("a module is a file")?;
        let path = folder.join(name);
        let copy = || -> Result<()> {
            // By way of a new file: somebody may be reading the old one.
            let everyone = Permissions::from_mode(0o666);
            let mut new = tempfile::Builder::new().permissions(everyone).tempfile_in(folder)?;
            new.write_all(&fs::read(module)?)?;
            new.persist(&path)?;
            Ok(())
        };
        copy().with_context(|| format!("could not write {}", path.display()))?;
        paths.push(path.strip_prefix(&here).map(Path::to_owned).unwrap_or(path));
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_one_crate_or_a_whole_workspace() {
        let metadata: Metadata = serde_json::from_str(
            r#"{"workspace_root": "/w", "packages": [
                {"name": "a", "manifest_path": "/w/a/Cargo.toml", "targets": [{"crate_types": ["cdylib", "rlib"]}]},
                {"name": "b", "manifest_path": "/w/b/Cargo.toml", "targets": [{"crate_types": ["cdylib"]}]},
                {"name": "tool", "manifest_path": "/w/tool/Cargo.toml", "targets": [{"crate_types": ["bin"]}]}]}"#,
        )
        .unwrap();
        let check = |manifest: &str, expect: &[&str]| assert_eq!(modules(&metadata, Path::new(manifest)), expect);
        check("/w/Cargo.toml", &["a", "b"]);
        check("/w/b/Cargo.toml", &["b"]);
        check("/w/tool/Cargo.toml", &[]);
    }

    #[test]
    fn modules_have_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let module = folder.path().join("hello.wasm");
        let walkers = folder.path().join("target/walkers");
        for contents in ["1", "2"] {
            fs::write(&module, contents).unwrap();
            let paths = publish(std::slice::from_ref(&module), &walkers).unwrap();
            assert_eq!(paths, [walkers.join("hello.wasm")]);
            assert_eq!(fs::read_to_string(&paths[0]).unwrap(), contents);
        }
        assert_eq!(fs::read_dir(&walkers).unwrap().count(), 1);
    }
}
