//! Guests written by hand, for what no compiler would make: a core module in text form that follows the contract, or
//! breaks it in one place.

use std::fmt::Write as _;

use walker_harness::repository;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// Where texts begin that a guest brings along; what the host passes comes above them.
const TEXTS: usize = 1 << 16;
/// Allocates for the host, upwards and for ever.
const REALLOC: &str = "
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at)";
/// Where the answer of `describe` stands.
pub(crate) const DESCRIPTION: &str = "(i32.const 0)";
/// Returns `{}`.
pub(crate) const OK: &str = "(call $answer (i32.const 0) (i32.const 2048) (i32.const 2))";
/// Never ends.
pub(crate) const SPIN: &str = "(loop br 0) unreachable";

/// One walker, async unless told otherwise, and what each part of its module does.
#[derive(Clone)]
pub(crate) struct Guest {
    /// The walker's name, as bytes: it need not be text.
    pub(crate) name: Vec<u8>,
    /// What it may enter.
    pub(crate) enters: Vec<u8>,
    /// The object of settings.
    pub(crate) settings: String,
    /// Its only field, if it has one: the name, and its JSON Schema.
    pub(crate) field: Option<(&'static str, String)>,
    pub(crate) is_async: bool,
    /// Further parts of the module, and texts from [`text`].
    pub(crate) parts: String,
    /// The body of the start function.
    pub(crate) start: String,
    pub(crate) describe: String,
    pub(crate) run: String,
    pub(crate) realloc: String,
    /// The body of the function that runs after `run`, when its answer was read.
    pub(crate) post: String,
    /// How many pages of memory it begins with, beyond what its texts take.
    pub(crate) pages: usize,
    /// A world to follow instead of the contract's own, which it includes: WIT text.
    pub(crate) world: Option<&'static str>,
    /// Further imports.
    pub(crate) imports: String,
}

/// A guest that does nothing wrong.
pub(crate) fn guest(name: &str) -> Guest {
    Guest {
        name: name.into(),
        enters: b"Root".to_vec(),
        settings: "{}".into(),
        field: None,
        is_async: true,
        parts: String::new(),
        start: String::new(),
        describe: DESCRIPTION.into(),
        run: OK.into(),
        realloc: REALLOC.into(),
        post: String::new(),
        pages: 2,
        world: None,
        imports: String::new(),
    }
}

/// Bytes at a place in memory.
pub(crate) fn data(at: usize, bytes: &[u8]) -> String {
    let mut text = format!("(data (i32.const {at}) \"");
    for byte in bytes {
        write!(text, "\\{byte:02x}").unwrap();
    }
    text.push_str("\")");
    text
}

/// A call of `report`, `save` or another of the one-text imports; 0 when the host did it.
pub(crate) fn call(import: &str, at: usize, length: usize) -> String {
    format!("(call ${import} (i32.const {at}) (i32.const {length}))")
}

impl Guest {
    /// The module, with a note of the contract in it.
    pub(crate) fn core(&self) -> Vec<u8> {
        let text = self.text();
        let mut wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"));
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_path(repository().join("guest-sdk/wit")).unwrap();
        let world = match self.world {
            None => resolve.select_world(&[package], Some("module")).unwrap(),
            Some(text) => {
                let package = resolve.push_str("world.wit", text).unwrap();
                resolve.select_world(&[package], None).unwrap()
            }
        };
        wit_component::embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8).unwrap();
        wasm
    }

    /// The module as a component.
    pub(crate) fn component(&self) -> Vec<u8> {
        let encoder = ComponentEncoder::default().module(&self.core()).unwrap();
        let encoder = encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER);
        encoder.unwrap().encode().unwrap()
    }

    fn text(&self) -> String {
        let mut texts = Vec::new();
        let mut put = |bytes: &[u8]| {
            let at = TEXTS + texts.len();
            texts.extend_from_slice(bytes);
            [at as u32, bytes.len() as u32]
        };
        let (name, enters, settings) = (put(&self.name), put(&self.enters), put(self.settings.as_bytes()));
        let field =
            self.field.as_ref().map(|(name, schema)| (put(name.as_bytes()), put(schema.as_bytes()), put(b"null")));
        // The answer of describe: a list of one definition, its list of one node type, its list of one field.
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let flags = u32::from(self.is_async);
        let fields = [160, u32::from(field.is_some())];
        let definition = [&[8, 1][..], &name, &[0, 0, flags, 80, 1], &fields, &settings].concat();
        let field =
            field.map_or(Vec::new(), |(name, schema, default)| [&name[..], &schema, &[1], &default, &[0, 0]].concat());
        let datas =
            [data(0, &words(&definition)), data(80, &words(&enters)), data(160, &words(&field)), data(TEXTS, &texts)];
        let next = TEXTS + texts.len();
        let pages = next.div_ceil(1 << 16) + self.pages;
        let start =
            if self.start.is_empty() { String::new() } else { format!("(start $start) (func $start {})", self.start) };
        let Self { imports, parts, describe, run, realloc, post, .. } = self;
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
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  {imports}
  (memory (export "memory") {pages})
  (global $next (mut i32) (i32.const {next}))
  {datas}
  (data (i32.const 2048) "{{}}")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
  (func (export "walker:guest/guest@0.1.0#describe") (result i32) {describe})
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
  (func $custom (param i32 i32) (result i32)
    (call $import-custom (local.get 0) (local.get 1) (i32.const 544)) (i32.load8_u (i32.const 544)))
  (func $status (param i32) (result i32)
    (call $import-status (local.get 0) (i32.const 544)) (i32.load8_u (i32.const 544)))
  (func $read (param i32 i32) (result i32)
    (call $import-read (local.get 0) (local.get 1) (i32.const 544)) (i32.load8_u (i32.const 544)))
  (func $spawn (param i32 i32) (result i32)
    (call $import-spawn (local.get 0) (local.get 1) (i32.const 2048) (i32.const 2) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 544))
    (i32.load8_u (i32.const 544)))
  (func $print (param i32 i32)
    (i32.store (i32.const 576) (local.get 0))
    (i32.store (i32.const 580) (local.get 1))
    (drop (call $fd-write (i32.const 1) (i32.const 576) (i32.const 1) (i32.const 584))))
  {parts}
  {start}
  (func (export "walker:guest/guest@0.1.0#run")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (param $fields i32) (param $fields-len i32) (param i32 i32 i32)
    (result i32)
    {run})
  (func (export "cabi_post_walker:guest/guest@0.1.0#run") (param i32) {post})
)"#,
            datas = datas.join("\n  "),
        )
    }
}
