//! Finds something on this machine that compiles Rust to WebAssembly.
//!
//! Knows nothing of projects. Two kinds serve: rustup's own targets, and Debian's packages where those cannot be
//! installed.

mod debian;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// Compiled for, in this order; a host takes both.
const TARGETS: [&str; 2] = ["wasm32-wasip2", "wasm32-wasip1"];

/// Said when nothing is there.
const NOTHING: &str = "nothing here compiles Rust to WebAssembly; run `rustup target add wasm32-wasip2`, or on Debian \
                       `apt-get install rustc-web cargo-web rust-web-src wasi-libc lld`";

/// A compiler for WebAssembly.
#[derive(Debug)]
pub(crate) enum Toolchain {
    /// The project's own, with an installed target.
    Rustup {
        /// The target.
        target: &'static str,
    },
    /// Debian's rustc and wasi-libc; builds the standard library, too.
    Debian(debian::Toolchain),
}

impl Toolchain {
    /// The best one for a project in `folder`.
    pub(crate) fn find(folder: &Path) -> Result<Self> {
        let sysroot = sysroot(folder);
        if let Some(target) = sysroot.as_deref().and_then(installed_target) {
            return Ok(Self::Rustup { target });
        }
        match debian::find(sysroot.as_deref())? {
            Some(found) => Ok(Self::Debian(found)),
            None => bail!(NOTHING),
        }
    }

    /// What it builds for.
    pub(crate) fn target(&self) -> &'static str {
        match self {
            Self::Rustup { target } => target,
            Self::Debian(_) => debian::TARGET,
        }
    }

    /// For the eyes.
    pub(crate) fn description(&self) -> String {
        match self {
            Self::Rustup { target } => format!("rustup's {target}"),
            Self::Debian(found) => format!("Debian's rustc {} and wasi-libc", found.version),
        }
    }

    /// A cargo that is not told yet what to do.
    pub(crate) fn cargo(&self) -> Command {
        match self {
            Self::Rustup { .. } => Command::new("cargo"),
            Self::Debian(found) => found.cargo(),
        }
    }

    /// What `cargo build` needs beside the target.
    pub(crate) fn build_arguments(&self) -> &'static [&'static str] {
        match self {
            Self::Rustup { .. } => &[],
            Self::Debian(_) => debian::BUILD_ARGUMENTS,
        }
    }
}

/// Where the compiler that a project in `folder` uses keeps its libraries.
fn sysroot(folder: &Path) -> Option<PathBuf> {
    let said = Command::new("rustc").args(["--print", "sysroot"]).current_dir(folder).output().ok()?;
    said.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&said.stdout).trim()))
}

fn installed_target(sysroot: &Path) -> Option<&'static str> {
    TARGETS.into_iter().find(|target| {
        let library = sysroot.join("lib/rustlib").join(target).join("lib");
        // Debian's rust-web packages may leave the folder behind empty.
        library.read_dir().is_ok_and(|mut files| files.next().is_some())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn prefers_components() {
        let sysroot = tempfile::tempdir().unwrap();
        let install = |target: &str| {
            let library = sysroot.path().join("lib/rustlib").join(target).join("lib");
            fs::create_dir_all(&library).unwrap();
            fs::write(library.join("libstd.rlib"), "").unwrap();
        };
        assert_eq!(installed_target(sysroot.path()), None);
        install("x86_64-unknown-linux-gnu");
        assert_eq!(installed_target(sysroot.path()), None);
        install("wasm32-wasip1");
        assert_eq!(installed_target(sysroot.path()), Some("wasm32-wasip1"));
        install("wasm32-wasip2");
        assert_eq!(installed_target(sysroot.path()), Some("wasm32-wasip2"));
    }
}
