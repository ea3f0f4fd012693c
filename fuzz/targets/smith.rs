//! Valid core modules with the contract's exports: all the way through the compiler.
//!
//! What it finds is kept as an input of `module`: with `WALKER_FUZZ_MODULE` set, the module is written to that file.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Unstructured;
use libfuzzer_sys::Corpus;
use wasm_smith::{Config, Module};
use wit_component::StringEncoding;
use wit_parser::Resolve;

static EXPORTS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let run = "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)";
    let module = format!(
        r#"(module
          (memory (export "memory") 1)
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
          (func (export "walker:guest/guest@0.1.0#describe") (result i32) unreachable)
          (func (export "walker:guest/guest@0.1.0#run") {run} (result i32) unreachable))"#
    );
    wat::parse_str(module).expect("it is written above")
});

/// What a module without any sections of its own gets, less its header.
static CONTRACT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut resolve = Resolve::default();
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-sdk/wit");
    let (package, _) = resolve.push_path(wit).expect("the contract can be read");
    let world = resolve.select_world(&[package], Some("module")).expect("the contract has a world for modules");
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    wit_component::embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8)
        .expect("it can be embedded");
    wasm.split_off(8)
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| -> Corpus {
    let config = Config {
        exports: Some(EXPORTS.clone()),
        max_imports: 0,
        max_memories: 2,
        max_memory32_bytes: 4 << 20,
        gc_enabled: false,
        exceptions_enabled: false,
        memory64_enabled: false,
        relaxed_simd_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        custom_page_sizes_enabled: false,
        custom_descriptors_enabled: false,
        shared_everything_threads_enabled: false,
        ..Config::default()
    };
    let Ok(module) = Module::new(config, &mut Unstructured::new(bytes)) else { return Corpus::Reject };
    let mut wasm = module.to_bytes();
    wasm.extend_from_slice(&CONTRACT);
    if let Some(path) = std::env::var_os("WALKER_FUZZ_MODULE") {
        std::fs::write(path, &wasm).expect("the module can be written");
    }
    walker_sandbox::fuzzing::upload(&wasm);
    Corpus::Keep
});
