//! What may run here, and in which words the rest is refused.

use std::time::{Duration, Instant};

use bytes::Bytes;
use walker_sandbox::{AdmitError, ArtifactCache};

use crate::Test;
use crate::guest::{contracted, core, described, text};
use crate::world::{SANDBOX, admit};

pub(crate) const TESTS: &[Test] = &[
    ("admits_and_describes", admits_and_describes),
    ("says_what_an_upload_seems_to_be", says_what_an_upload_seems_to_be),
    ("names_refused_proposals", names_refused_proposals),
    ("names_unknown_imports", names_unknown_imports),
    ("checks_definitions", checks_definitions),
    ("says_no_more_than_can_be_read", says_no_more_than_can_be_read),
    ("ends_a_description_that_does_not_end", ends_a_description_that_does_not_end),
    ("loads_what_it_cached", loads_what_it_cached),
];

pub(crate) const OK: &str = "(call $ok (i32.const 256) (i32.const 0))";

pub(crate) fn rejected(wasm: impl Into<Bytes>, expect: &str) {
    match admit(wasm.into()) {
        Err(AdmitError::Rejected(message)) => assert!(message.contains(expect), "{message}\nlacks {expect:?}"),
        other => panic!("{expect}: {other:?}"),
    }
}

fn admits_and_describes() {
    let admitted = admit(described(r#"{"timeout_ms":5}"#, "", OK)).unwrap();
    let [definition] = admitted.definitions.as_slice() else { panic!("{:?}", admitted.definitions) };
    assert_eq!(definition.name, "test");
    assert!(definition.is_async && !definition.is_public);
    assert_eq!(definition.enters, ["Root"]);
    assert_eq!(definition.settings.limits.time_ms, Some(5));
    assert_eq!(admitted.fingerprint, SANDBOX.fingerprint());
}

fn says_what_an_upload_seems_to_be() {
    rejected("", "empty");
    rejected("PK\x03\x04\x14\0", "a zip archive");
    rejected("\x7fELF\x02\x01", "a Linux program");
    rejected("fn main() {}", "it seems to be text");
    rejected("(module)", "text form");
    rejected(vec![0xff, 0xfe, 0, 1], "some other binary file");
    rejected("\0asm", "cut short");
    rejected("\0asm\x07\0\0\0", "version 7");
    rejected(wat::parse_str("(module)").unwrap(), "not built with the walker SDK");
    rejected(wat::parse_str("(component)").unwrap(), "does not export walker:guest/guest@0.1.0");
    let core = core("", OK);
    rejected(core.slice(..core.len() / 2), "not valid WebAssembly");
}

fn names_refused_proposals() {
    let check = |part: &str, proposal: &str| {
        let wasm = wat::parse_str(format!("(module {part})")).unwrap();
        rejected(wasm, &format!("uses the {proposal} proposal, which is not allowed here"));
    };
    check("(memory 1 1 shared)", "threads");
    check("(memory i64 1)", "memory64");
    check("(func (result v128) (i32x4.relaxed_trunc_f32x4_s (v128.const i32x4 0 0 0 0)))", "relaxed SIMD");
    check("(func $f) (elem declare func $f) (func (call_ref 0 (ref.func $f)))", "function references");
    check("(tag $t) (func (throw $t))", "exception handling");
    check("(type (struct (field i32)))", "GC");
    check("(type (array (mut i8)))", "GC");
    check("(func (param i31ref) (drop (i31.get_s (local.get 0))))", "GC");
    check("(func (param (ref null any)))", "GC");
    check("(type $open (sub (func))) (type (sub $open (func)))", "GC");
    check("(func try catch_all end)", "legacy exception handling");
    check("(func (block $b (result exnref) (try_table (catch_all_ref $b)) unreachable) drop)", "exception handling");
    check("(func atomic.fence)", "threads");
    check("(memory 1) (func (drop (memory.atomic.notify (i32.const 0) (i32.const 0))))", "threads");
    check("(table i64 1 funcref)", "memory64");
    check("(type (shared (func)))", "shared-everything threads");
    check("(global (shared mut i32) (i32.const 0))", "shared-everything threads");
    check("(type $f (func)) (type $c (cont $f)) (func (param (ref $c)) (resume $c (local.get 0)))", "stack switching");
    check("(memory 1 (pagesize 1))", "custom page sizes");
    check(
        "(func (result i64 i64) (i64.add128 (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)))",
        "wide arithmetic",
    );
    let component = |text: &str, expect: &str| rejected(wat::parse_str(text).unwrap(), expect);
    component(r#"(component (import "f" (func async)))"#, "uses the component model async proposal");
    component("(component (type (stream u8)))", "uses the component model async proposal");
    component("(component (core module (memory i64 1)))", "uses the memory64 proposal");
    component("(component (core module (memory 1 1 shared)))", "uses the threads proposal");
}

fn names_unknown_imports() {
    let component =
        r#"(component (import "acme:db/sql@1.0.0" (instance)) (import "wasi:http/types@0.2.0" (instance)))"#;
    rejected(wat::parse_str(component).unwrap(), "imports acme:db/sql@1.0.0, wasi:http/types@0.2.0, which");
    let wasm = text("{}", r#"(import "env" "magic" (func))"#, OK);
    // Imports come first in a module.
    let import = r#"(import "env" "magic" (func))"#;
    let wasm = wasm.replace(import, "").replacen("(module", &format!("(module {import}"), 1);
    rejected(contracted(&wasm), "env");
}

fn checks_definitions() {
    rejected(described(r#"{"colour":"red"}"#, "", OK), "unknown field `colour`");
    rejected(described("[", "", OK), "the settings of walker test");
    let check = |from: &str, to: &str, expect: &str| {
        let text = text("{}", "", OK);
        assert!(text.contains(from));
        rejected(contracted(&text.replace(from, to)), expect);
    };
    check(r#""test    Root""#, r#""te-t    Root""#, "cannot name a walker");
    check(r#""test    Root""#, r#""test    Ro-t""#, "cannot name a node type");
    let describe = "(i32.store (i32.const 48)";
    check(describe, &format!("(drop (call $report (i32.const 0) (i32.const 0))) {describe}"), "it called run.report");
    check(describe, &format!("unreachable {describe}"), "cannot describe its walkers");
    check(describe, &format!("(loop br 0) {describe}"), "used up its");
    // A doc of sixteen random letters.
    let random = format!(
        "(drop (call $random (i32.const 2048) (i32.const 16)))
         (v128.store (i32.const 2048) (v128.or (v128.const i64x2 0x4040404040404040 0x4040404040404040)
            (v128.and (v128.const i64x2 0x0f0f0f0f0f0f0f0f 0x0f0f0f0f0f0f0f0f) (v128.load (i32.const 2048)))))
         (i32.store (i32.const 16) (i32.const 2048))
         (i32.store (i32.const 20) (i32.const 16))
         {describe}"
    );
    check(describe, &random, "differently each time");
}

/// A megabyte where a name belongs, or as much as WebAssembly takes.
fn says_no_more_than_can_be_read() {
    let check = |wasm: Bytes, expect: &str| match admit(wasm) {
        Err(AdmitError::Rejected(message)) => {
            assert!(message.contains(expect), "{}", &message[..message.len().min(1000)]);
            assert!(message.len() < 9_000, "{expect}: {} bytes", message.len());
        }
        other => panic!("{expect}: {other:?}"),
    };
    let long = "x".repeat(90_000);
    // What describe answers: the name of the walker, and of what it enters.
    let named = |place: u32| {
        let describe = "(i32.store (i32.const 48)";
        let grown = format!(
            "(memory.fill (i32.const 65536) (i32.const 120) (i32.const 1048576))
             (i32.store (i32.const {place}) (i32.const 65536))
             (i32.store (i32.add (i32.const {place}) (i32.const 4)) (i32.const 1048576)) {describe}"
        );
        let text =
            text("{}", "", OK).replacen(r#"(memory (export "memory") 4)"#, r#"(memory (export "memory") 20)"#, 1);
        contracted(&text.replacen(describe, &grown, 1))
    };
    check(named(8), "cannot name a walker");
    check(named(80), "cannot name a node type");
    check(
        wat::parse_str(format!(r#"(component (import "acme:{long}/sql@1.0.0" (instance)))"#)).unwrap().into(),
        "imports acme:xxx",
    );
    let import = format!(r#"(module (import "env" "{long}" (func))"#);
    check(contracted(&text("{}", "", OK).replacen("(module", &import, 1)), "the module does not fit the contract");
}

fn ends_a_description_that_does_not_end() {
    let endless = "(loop br 0)";
    let check = |from: &str, to: &str, expect: &str| {
        let text = text("{}", "", OK);
        assert!(text.contains(from));
        let begun = Instant::now();
        rejected(contracted(&text.replacen(from, to, 1)), expect);
        // Far above what it takes: it must end at all.
        assert!(begun.elapsed() < Duration::from_secs(60), "{from}: {:?}", begun.elapsed());
    };
    let describe = "(i32.store (i32.const 48)";
    check(describe, &format!("{endless} {describe}"), "cannot describe its walkers: used up its");
    let run = r#"(func (export "walker:guest/guest@0.1.0#run")"#;
    check(run, &format!("(func $begin {endless}) (start $begin) {run}"), "cannot describe its walkers: used up its");
    check(run, &format!("(func $begin unreachable) (start $begin) {run}"), "cannot describe its walkers: trapped");
    // Only what the host passes in is allocated, and describe is passed nothing: a library's own start is what is left.
    let post = format!(r#"(func (export "cabi_post_walker:guest/guest@0.1.0#describe") (param i32) {endless}) {run}"#);
    check(run, &post, "cannot describe its walkers: used up its");
    let greedy = "(if (i32.eq (memory.grow (i32.const 10000)) (i32.const -1)) (then unreachable))";
    check(describe, &format!("{greedy} {describe}"), "cannot describe its walkers: needed more than its");
}

fn loads_what_it_cached() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ArtifactCache::open(folder.path(), [3; 32], SANDBOX.fingerprint(), 1 << 30).unwrap();
    let admitted = admit(core("", OK)).unwrap();
    cache.put(&[1; 32], &admitted.artifact).unwrap();
    let artifact = cache.get(&[1; 32]).unwrap();
    let module = SANDBOX.load(&artifact).unwrap();
    assert_eq!(module.size(), admitted.artifact.size());
}
