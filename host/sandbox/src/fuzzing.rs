//! What fuzz targets do, and the tests that try their findings again.
//!
//! No part of the interface: not for hosts, and it changes as the targets do.
#![doc(hidden)]

use std::sync::LazyLock;

use tokio::runtime::Runtime;
use walker_model::UploadCost;
use wasmtime::Engine;

use crate::componentize::Rejected;
use crate::{Bounds, Config, admit, engine, symbolize};

/// A module with one function that does nothing: a type, a function of it, its code.
const SMALLEST: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x04\x01\x02\0\x0b";

static ENGINE: LazyLock<Engine> = LazyLock::new(|| engine::compiling(&Config::default()).expect("an engine for one"));
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime"));

/// Admits an upload as the jailed child would.
pub fn upload(wasm: &[u8]) {
    if let Err(Rejected(message)) =
        RUNTIME.block_on(admit::admit(&ENGINE, &Bounds::default(), &UploadCost::DEFAULT, 256, wasm))
    {
        assert!(!message.is_empty() && message.len() < 100_000, "in words: {} bytes", message.len());
    }
}

/// Resolves places in a module whose debug information is `bytes`, cut into sections by their lengths in its first bytes.
pub fn debug_information(bytes: &[u8]) {
    const SECTIONS: [&str; 8] = [
        ".debug_info",
        ".debug_abbrev",
        ".debug_line",
        ".debug_str",
        ".debug_ranges",
        ".debug_rnglists",
        ".debug_addr",
        ".debug_str_offsets",
    ];
    let Some((lengths, mut rest)) = bytes.split_first_chunk::<8>() else { return };
    let mut module = SMALLEST.to_vec();
    for (name, length) in SECTIONS.iter().zip(lengths) {
        // In steps of eight bytes, so that sections of two kilobytes can be had.
        let (section, after) = rest.split_at(rest.len().min(usize::from(*length) * 8));
        rest = after;
        push_custom_section(&mut module, name, section);
    }
    let offsets = [0, 21, 22, 23, 24, 100, u64::MAX];
    for line in symbolize::lines(&module, &offsets).into_iter().flatten() {
        // As readers get it, in an answer.
        serde_json::to_string(&line).expect("plain data");
    }
}

fn push_custom_section(module: &mut Vec<u8>, name: &str, contents: &[u8]) {
    let length = 1 + name.len() + contents.len();
    module.push(0);
    push_leb(module, length);
    push_leb(module, name.len());
    module.extend_from_slice(name.as_bytes());
    module.extend_from_slice(contents);
}

fn push_leb(to: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        to.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return;
        }
    }
}
