//! Uploads that are valid, and too much: each is refused for what it has too much of, soon and in plain words.

use std::time::{Duration, Instant};

use walker_model::{Limits, UploadCost};
use walker_sandbox::{AdmitError, Bounds, JailLimits};

use crate::Test;
use crate::admission::{OK, rejected};
use crate::guest::{contracted, core, text};
use crate::world::{RUNTIME, admit, admit_within, file, jail, run};

pub(crate) const TESTS: &[Test] = &[
    ("refuses_too_much_of_anything", refuses_too_much_of_anything),
    ("takes_what_the_operator_allows", takes_what_the_operator_allows),
    ("survives_instances_of_instances", survives_instances_of_instances),
    ("keeps_images_of_dense_memories_only", keeps_images_of_dense_memories_only),
];

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn refuses_too_much_of_anything() {
    let check = |text: &str, expect: &str| {
        let module = wasm(text);
        let begun = Instant::now();
        rejected(module, expect);
        // A second on an idle machine.
        assert!(begun.elapsed() < Duration::from_secs(30), "{expect}: {:?}", begun.elapsed());
    };
    let module = |part: &str, count: usize| format!("(module {})", part.repeat(count));
    check(&module("(func)", 200_001), "has 200001 functions; its limit (module_functions) is 200000");
    check(&module("(type (func))", 100_001), "has 100001 types");
    check(&module(r#"(import "" "" (func))"#, 100_001), "has 100001 imports and exports");
    check(&module("(global i32 (i32.const 0))", 100_001), "has 100001 globals");
    check(&format!("(module (func (local {})))", "i32 ".repeat(20_001)), "has 20001 local variables");
    check(&format!("(module (func {}))", "nop ".repeat(1 << 20)), "bytes of code; this host takes at most 1048576");
    let targets = "0 ".repeat(50_001);
    check(&format!("(module (func (br_table {targets} (i32.const 0))))"), "targets in its jump tables");
    check(&format!("(component {})", "(core module)".repeat(301)), "has 301 core modules");
    let instances = "(core instance (instantiate 0))".repeat(1001);
    check(&format!("(component (core module) {instances})"), "has 1001 instances");
    check(&format!("{}{}", "(component ".repeat(18), ")".repeat(18)), "components in components");
}

fn takes_what_the_operator_allows() {
    let module = core(&"(func)".repeat(100), OK);
    let admit = |globals, module_functions| {
        let limits = JailLimits { bounds: Bounds { globals, ..Bounds::default() }, ..JailLimits::default() };
        admit_within(limits, UploadCost { module_functions, ..UploadCost::DEFAULT }, &module)
    };
    let cost = admit(1000, 1000).unwrap().cost;
    assert_eq!(cost.module_bytes, module.len() as u64);
    assert!((100..200).contains(&cost.module_functions), "{cost:?}");
    for (globals, functions, expect) in
        [(0, 1000, "this host takes at most 0"), (1000, 100, "its limit (module_functions) is 100")]
    {
        let Err(AdmitError::Rejected(message)) = admit(globals, functions) else { panic!("taken") };
        assert!(message.contains(expect), "{message}");
    }
    // More than the host gives anybody.
    let jail = jail(JailLimits::default(), UploadCost { module_functions: 100, ..UploadCost::DEFAULT });
    let Err(AdmitError::Rejected(message)) = RUNTIME.block_on(jail.admit(&file(&module), &UploadCost::CEILING)) else {
        panic!("taken")
    };
    assert!(message.contains("its limit (module_functions) is 100"), "{message}");
}

/// Few instances of few components, each of which has several of the next: two to the twelfth in all.
fn survives_instances_of_instances() {
    let mut text = "(component (core module) (core instance (instantiate 0)))".to_owned();
    for _ in 0..12 {
        text = format!("(component {text} (instance (instantiate 0)) (instance (instantiate 0)))");
    }
    let Err(AdmitError::Rejected(message)) = admit_within(JailLimits::default(), UploadCost::DEFAULT, &wasm(&text))
    else {
        panic!("taken")
    };
    assert!(message.contains("consists of 4096 core instances; this host takes at most 256"), "{message}");
}

/// Two bytes far apart are no reason to keep all the zeros between them; memories that are full of data are mapped as ever.
fn keeps_images_of_dense_memories_only() {
    const MIB: u64 = 1 << 20;
    let kept = |datas: &str, last: usize| {
        // 16 MiB, of which the guest sees that its last byte is there.
        let seen = format!("(if (i32.ne (i32.load8_u (i32.const {last})) (i32.const 120)) (then unreachable))");
        let body = format!("{seen} (call $ok (i32.const 1024) (i32.const 2))");
        let text = text("{}", datas, &body).replacen(
            r#"(memory (export "memory") 4)"#,
            r#"(memory (export "memory") 256)"#,
            1,
        );
        let module = contracted(&text);
        let outcome = run(module.clone(), Limits::default());
        assert!(outcome.failure().is_none(), "{:?}", outcome.failure());
        admit(module).unwrap().artifact.size()
    };
    let least = kept(r#"(data (i32.const 65536) "x")"#, 65_536);
    let last = 16 * MIB as usize - 1;
    let sparse = kept(&format!(r#"(data (i32.const {last}) "x")"#), last);
    assert!(sparse < least + MIB, "{sparse} bytes are kept of a sparse memory, {least} of a small one");
    // Three MiB, the second of them empty: what is copied at each start holds two, what is mapped holds three.
    let full = "x".repeat(MIB as usize);
    let at = 3 * MIB as usize;
    let dense = kept(&format!(r#"(data (i32.const {MIB}) "{full}") (data (i32.const {at}) "{full}")"#), at);
    assert!(dense >= least + 3 * MIB, "{dense} bytes are kept of a dense memory, {least} of a small one");
}
