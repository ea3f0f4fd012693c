//! The modules that `walker build` made from `walkers/`.

use std::path::{Path, PathBuf};

/// The code of an example module, `seed` or `faults`.
pub fn module(name: &str) -> Vec<u8> {
    let path = repository().join(format!("walkers/target/walkers/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; `make walkers` builds the example walkers", path.display());
    })
}

/// The repository's root.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}
