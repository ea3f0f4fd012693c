//! Guests written by hand: a core module in text form around the one function that a test is about.

use bytes::Bytes;
use wit_component::StringEncoding;
use wit_parser::Resolve;

/// A core module for the contract: a walker called `test` whose `run` does `body`, and whatever else `parts` adds.
///
/// `body` may call `$ok` or `$err` with a text to return it, `$report`, `$save`, `$spawn` and `$print`.
pub(crate) fn core(parts: &str, body: &str) -> Bytes {
    described("{}", parts, body)
}

/// The same with settings of its own.
pub(crate) fn described(settings: &str, parts: &str, body: &str) -> Bytes {
    contracted(&text(settings, parts, body))
}

/// The same with further imports; `world` is a package with a world that has them beside the contract.
pub(crate) fn importing(world: &str, imports: &str, parts: &str, body: &str) -> Bytes {
    // Imports come first in a module.
    in_world(Some(world), &text("{}", parts, body).replacen("(module", &format!("(module {imports}"), 1))
}

/// Assembles a text and notes in it that it follows the contract.
pub(crate) fn contracted(text: &str) -> Bytes {
    in_world(None, text)
}

fn in_world(world: Option<&str>, text: &str) -> Bytes {
    let mut wasm = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut resolve = Resolve::default();
    let (contract, _) = resolve.push_path("../../guest-sdk/wit").unwrap();
    let world = match world {
        None => resolve.select_world(&[contract], Some("module")).unwrap(),
        Some(text) => {
            let package = resolve.push_str("world.wit", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            resolve.select_world(&[package], None).unwrap()
        }
    };
    wit_component::embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8).unwrap();
    wasm.into()
}

/// The text of a core module for the contract.
pub(crate) fn text(settings: &str, parts: &str, body: &str) -> String {
    let settings_len = settings.len();
    let settings = settings.replace('"', "\\\"");
    // Memory: 0–255 the answer of describe, 256–511 texts, 512 the return area, 1024 the settings, from 4096 on what
    // the host passes. A definition is name, doc, two flags, enters, fields, settings.
    format!(
        r#"(module
  (import "walker:guest/run@0.1.0" "report" (func $import-report (param i32 i32 i32)))
  (import "walker:guest/run@0.1.0" "save" (func $import-save (param i32 i32 i32)))
  (import "walker:guest/run@0.1.0" "set-http-status" (func $import-status (param i32 i32)))
  (import "walker:guest/run@0.1.0" "set-custom" (func $import-custom (param i32 i32 i32)))
  (import "walker:guest/walkers@0.1.0" "read" (func $import-read (param i32 i32 i32)))
  (import "walker:guest/walkers@0.1.0" "spawn" (func $import-spawn (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "walker:guest/lifecycle@0.1.0" "panicked" (func $panicked (param i32 i32 i32 i32 i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd-write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 4)
  (global $next (mut i32) (i32.const 4096))
  (data (i32.const 0) "\08\00\00\00\01\00\00\00\00\01\00\00\04\00\00\00\00\01\00\00\00\00\00\00\01\00\00\00\50\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00\00\04\00\00")
  (data (i32.const 80) "\08\01\00\00\04\00\00\00")
  (data (i32.const 256) "test    Root")
  (data (i32.const 1024) "{settings}")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "walker:guest/guest@0.1.0#describe") (result i32)
    (i32.store (i32.const 48) (i32.const {settings_len}))
    (i32.const 0))
  (func $ok (param i32 i32) (result i32) (call $answer (i32.const 0) (local.get 0) (local.get 1)))
  (func $err (param i32 i32) (result i32) (call $answer (i32.const 1) (local.get 0) (local.get 1)))
  (func $answer (param i32 i32 i32) (result i32)
    (i32.store (i32.const 512) (local.get 0))
    (i32.store (i32.const 516) (local.get 1))
    (i32.store (i32.const 520) (local.get 2))
    (i32.const 512))
  ;; Each answers 0 when the host did it, 1 when it refused.
  (func $report (param i32 i32) (result i32)
    (call $import-report (local.get 0) (local.get 1) (i32.const 544)) (i32.load8_u (i32.const 544)))
  (func $save (param i32 i32) (result i32)
    (call $import-save (local.get 0) (local.get 1) (i32.const 544)) (i32.load8_u (i32.const 544)))
  (func $status (param i32) (result i32)
    (call $import-status (local.get 0) (i32.const 544)) (i32.load8_u (i32.const 544)))
  (func $custom (param i32 i32) (result i32)
    (call $import-custom (local.get 0) (local.get 1) (i32.const 544)) (i32.load8_u (i32.const 544)))
  (func $read (param i32 i32) (result i32)
    (call $import-read (local.get 0) (local.get 1) (i32.const 544)) (i32.load8_u (i32.const 544)))
  ;; A walker called test, with these fields.
  (func $spawn (param i32 i32) (result i32)
    (call $import-spawn (i32.const 256) (i32.const 4) (local.get 0) (local.get 1) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 544))
    (i32.load8_u (i32.const 544)))
  (func $print (param i32 i32)
    (i32.store (i32.const 576) (local.get 0))
    (i32.store (i32.const 580) (local.get 1))
    (drop (call $fd-write (i32.const 1) (i32.const 576) (i32.const 1) (i32.const 584))))
  ;; Sleeps for a time in nanoseconds.
  (func $sleep (param i64)
    (memory.fill (i32.const 640) (i32.const 0) (i32.const 48))
    (i32.store (i32.const 656) (i32.const 1))
    (i64.store (i32.const 664) (local.get 0))
    (drop (call $poll (i32.const 640) (i32.const 704) (i32.const 1) (i32.const 760))))
  {parts}
  (func (export "walker:guest/guest@0.1.0#run")
    (param $walker i32) (param $walker-len i32) (param $id i32) (param $id-len i32) (param $node i32)
    (param $node-len i32) (param $root i32) (param $root-len i32) (param $attempt i32) (param $fields i32)
    (param $fields-len i32) (param $has-custom i32) (param $custom i32) (param $custom-len i32) (result i32)
    {body})
)"#
    )
}
