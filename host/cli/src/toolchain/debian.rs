//! Debian's `rustc-web`, `cargo-web`, `rust-web-src` and `wasi-libc`, installed or unpacked into a private folder.
//!
//! Knows nothing of rustup but that its linker is good for WebAssembly, too. The standard library for the target is in
//! none of the packages: cargo builds it from source each time a project is built for the first time.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// What wasi-libc is made for.
pub(super) const TARGET: &str = "wasm32-wasip1";

pub(super) const BUILD_ARGUMENTS: &[&str] = &["-Z", "build-std=std,panic_abort"];

/// A heap from the start, large enough for small walkers: growing the memory in each run takes system calls, which
/// were a third of a small walker's time, and made threads wait for each other.
const INITIAL_HEAP: &str = "-Clink-arg=--initial-heap=262144";

/// What the SDK needs.
const OLDEST_MINOR: u32 = 95;

/// Everything found.
#[derive(Debug)]
pub(crate) struct Toolchain {
    /// `/`, or where the packages are unpacked.
    root: PathBuf,
    linker: PathBuf,
    pub(super) version: String,
}

/// The first folder that has all of it. `sysroot` is rustup's, if there is one.
///
/// # Errors
/// When all is there but one part is too old or missing: then that is what to say.
pub(super) fn find(sysroot: Option<&Path>) -> Result<Option<Toolchain>> {
    for root in roots() {
        let complete =
            ["usr/bin/rustc", "usr/bin/cargo", "usr/lib/rustlib/src/rust/library", "usr/lib/wasm32-wasi/libc.a"];
        if !complete.iter().all(|part| root.join(part).exists()) {
            continue;
        }
        let said = with_libraries(Command::new(root.join("usr/bin/rustc")), &root).arg("--version").output()?;
        let version = String::from_utf8_lossy(&said.stdout).split(' ').nth(1).unwrap_or_default().to_owned();
        if minor(&version).is_none_or(|minor| minor < OLDEST_MINOR) {
            bail!(
                "{} is version {version}, too old to build walkers; run `rustup target add wasm32-wasip2`, or install a newer rustc-web",
                root.join("usr/bin/rustc").display()
            );
        }
        let Some(linker) = linker(sysroot, &root) else {
            bail!("no linker for WebAssembly was found; on Debian run `apt-get install lld`");
        };
        return Ok(Some(Toolchain { root, linker, version }));
    }
    Ok(None)
}

impl Toolchain {
    pub(super) fn cargo(&self) -> Command {
        let libc = self.root.join("usr/lib/wasm32-wasi");
        let flags = [
            format!("-Clinker={}", self.linker.display()),
            // It is ours, and so is the libc.
            "-Clink-self-contained=no".to_owned(),
            format!("-Lnative={}", libc.display()),
            // Runs the constructors before any export; a command's `main` would end the instance.
            format!("-Clink-arg={}", libc.join("crt1-reactor.o").display()),
            INITIAL_HEAP.to_owned(),
        ];
        let bin = self.root.join("usr/bin");
        let mut cargo = with_libraries(Command::new(bin.join("cargo")), &self.root);
        // Before rustup's proxies: build scripts that ask for `rustc` must get the same one.
        let path: Vec<PathBuf> =
            [bin.clone()].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())).collect();
        cargo.env("PATH", env::join_paths(path).unwrap_or_else(|_| OsString::from("/usr/bin:/bin")));
        cargo.env("RUSTC", bin.join("rustc"));
        // The standard library is built from source, which only a nightly compiler would offer by itself.
        cargo.env("RUSTC_BOOTSTRAP", "1");
        // Unlike RUSTFLAGS, this holds paths with spaces. Nothing else of the caller's compiler may leak in.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        for other in ["RUSTFLAGS", "RUSTUP_TOOLCHAIN", "CARGO", "RUSTDOC", "CARGO_BUILD_TARGET"] {
            cargo.env_remove(other);
        }
        cargo
    }
}

/// Where to look, in order.
fn roots() -> Vec<PathBuf> {
    let named = env::var_os("WALKER_WASM_TOOLCHAIN").map(PathBuf::from);
    // The set-up script unpacks into the source tree that this program was built in.
    let tree = env::current_exe().ok().and_then(|exe| Some(exe.ancestors().nth(3)?.join(".tools/wasm")));
    named.into_iter().chain(tree).chain([PathBuf::from("/")]).collect()
}

/// Unpacked programs must find their libraries beside them.
fn with_libraries(mut command: Command, root: &Path) -> Command {
    if root != Path::new("/") {
        let near = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib"];
        let given = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let all = near.iter().map(|folder| root.join(folder)).filter(|folder| folder.is_dir());
        let all: Vec<PathBuf> =
            all.chain(env::split_paths(&given).filter(|path| !path.as_os_str().is_empty())).collect();
        if let Ok(all) = env::join_paths(all) {
            command.env("LD_LIBRARY_PATH", all);
        }
    }
    command
}

/// rustup's own, or one of LLVM's.
fn linker(sysroot: Option<&Path>, root: &Path) -> Option<PathBuf> {
    let rustup = sysroot.map(|sysroot| sysroot.join("lib/rustlib")).and_then(|folder| {
        folder.read_dir().ok()?.flatten().map(|host| host.path().join("bin/rust-lld")).find(|lld| lld.is_file())
    });
    rustup.or_else(|| {
        let on_path = env::var_os("PATH").unwrap_or_default();
        let folders = [root.join("usr/bin"), root.join("usr/lib/llvm-14/bin")];
        folders.into_iter().chain(env::split_paths(&on_path)).map(|bin| bin.join("wasm-ld")).find(|lld| lld.exists())
    })
}

fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("1.")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(minor("1.96.0"), Some(96));
        assert_eq!(minor("1.63.0"), Some(63));
        assert_eq!(minor(""), None);
    }
}
