//! Nothing of a run is left for the next: each looks through all it can reach, and leaves traces everywhere.

use std::sync::Arc;

use walker_model::{Ended, Json, Limits, Outcome};
use walker_sandbox::{Config, Module, PagemapScan, Sandbox, Stop};
use wasmtime::{Engine, Instance, Memory, Store};

use crate::Test;
use crate::guest::contracted;
use crate::world::{RUNTIME, World, admit, job};

pub(crate) const TESTS: &[Test] = &[
    ("the_canary_finds_what_is_left", the_canary_finds_what_is_left),
    ("every_slot_starts_clean", every_slot_starts_clean),
    ("every_slot_starts_clean_without_pagemap_scan", every_slot_starts_clean_without_pagemap_scan),
];

/// How often slots are used again in each of the two tests; a million times in the bench.
const REUSES: usize = 10_000;
/// Few, so that each is used again by other modules all the time.
const SLOTS: u32 = 6;
const TASKS: usize = 4;

/// The guest with so many pages and table elements to begin with, and 4 KiB of data that are this letter.
fn canary(pages: u32, elements: u32, letter: Option<u8>) -> String {
    let word = u64::from_le_bytes([letter.unwrap_or(0); 8]);
    let data = letter.map_or(String::new(), |letter| char::from(letter).to_string().repeat(4096));
    include_str!("canary.wat")
        .replace("PAGES", &pages.to_string())
        .replace("ELEMENTS", &elements.to_string())
        .replace("\"DATA\"", &format!("{data:?}"))
        .replace("WORD", &word.to_string())
}

/// The guests of four tenants.
fn canaries() -> [String; 4] {
    [
        canary(1, 10, None),
        canary(1, 1_000, Some(b'b')),
        canary(2, 10, Some(b'c')),
        // Beyond what stays resident between runs.
        canary(4, 2_000, None),
    ]
}

/// One thing at a time is put where a clean slot has none, and then a whole run: two in one store, without any reset.
fn the_canary_finds_what_is_left() {
    let check = |spoil: fn(&mut Store<()>, &Instance), expect: &str| {
        let engine = Engine::default();
        let wasm = wat::parse_str(canary(1, 10, Some(b'd'))).unwrap();
        let module = wasmtime::Module::new(&engine, wasm).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        spoil(&mut store, &instance);
        assert_eq!(call(&mut store, &instance), expect);
        assert_eq!(call(&mut store, &instance), "size", "a second run in the same store");
    };
    check(|_, _| {}, "null");
    check(|store, instance| memory(store, instance).data_mut(store)[8192 + 4095] = 0, "data");
    check(|store, instance| memory(store, instance).data_mut(store)[1120] = 1, "memory");
    check(|store, instance| memory(store, instance).data_mut(store)[8191] = 1, "memory");
    check(|store, instance| memory(store, instance).data_mut(store)[65_535] = 1, "memory");
    check(
        |store, instance| {
            let function = instance.get_func(&mut *store, "cabi_realloc");
            let table = instance.get_table(&mut *store, "table").unwrap();
            table.set(store, 9, function.into()).unwrap();
        },
        "table",
    );
    check(
        |store, instance| {
            let mark = instance.get_global(&mut *store, "mark").unwrap();
            mark.set(store, 1_i64.into()).unwrap();
        },
        "global",
    );
}

fn memory(store: &mut Store<()>, instance: &Instance) -> Memory {
    instance.get_memory(store, "memory").unwrap()
}

/// One call of `run`, as the component's lifting does it; what it answers or complains of.
fn call(store: &mut Store<()>, instance: &Instance) -> String {
    memory(store, instance).write(&mut *store, 4096, b"\"x\"").unwrap();
    let realloc = instance.get_typed_func::<(i32, i32, i32, i32), i32>(&mut *store, "cabi_realloc").unwrap();
    let fields = realloc.call(&mut *store, (0, 0, 1, 3)).unwrap();
    let run = instance.get_func(&mut *store, "walker:guest/guest@0.1.0#run").unwrap();
    let mut arguments = vec![wasmtime::Val::I32(0); 14];
    arguments[9] = fields.into();
    let mut results = [wasmtime::Val::I32(0)];
    run.call(&mut *store, &arguments, &mut results).unwrap();
    let data = memory(store, instance).data(&store).to_vec();
    let word = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().unwrap()) as usize;
    let at = results[0].unwrap_i32() as usize;
    String::from_utf8(data[word(at + 4)..][..word(at + 8)].to_vec()).unwrap().trim().to_owned()
}

fn every_slot_starts_clean() {
    reuse(Config { slots: SLOTS, ..Config::default() });
}

fn every_slot_starts_clean_without_pagemap_scan() {
    let config = Config { slots: SLOTS, pagemap_scan: PagemapScan::Off, ..Config::default() };
    assert!(config.keep_resident_bytes > 0, "pages that stay are reset by hand");
    reuse(config);
}

fn reuse(config: Config) {
    let sandbox = Sandbox::new(config).unwrap();
    assert_eq!(sandbox.slots(), Some(SLOTS));
    let load = |text: String| sandbox.load(&admit(contracted(&text)).unwrap().artifact).unwrap();
    let modules: Arc<[Module]> = canaries().map(load).into();
    let tasks = (0..TASKS).map(|task| {
        let (sandbox, modules) = (sandbox.clone(), modules.clone());
        RUNTIME.spawn(async move {
            for run in 0..REUSES / TASKS {
                // Another module in this slot than before, each time in another order.
                let module = &modules[(run * (task + 1) + run / 4) % modules.len()];
                let mut job = job(Limits::default());
                job.fields = Json::of(&char::from(b'a' + (run % 26) as u8).to_string());
                let outcome = sandbox.run(module, job, World::saving(), Stop::default()).await.unwrap();
                check_clean(&outcome);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        RUNTIME.block_on(task).unwrap();
    }
}

fn check_clean(outcome: &Outcome) {
    assert_eq!(outcome.ended, Ended::Completed, "a place that another run left its canary in");
}
