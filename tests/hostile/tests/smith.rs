//! A thousand modules that a generator made up, valid and not: each has the answer that a validator predicts.

use arbitrary::Unstructured;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use wasm_smith::{Config, Module};
use wasmparser::{Validator, WasmFeatures};

use crate::guest::guest;
use crate::scene;
use crate::uploads::{leb128, with_module};

const COUNT: u64 = 1_000;
/// How many are under way at once.
const UPLOADERS: u64 = 4;

/// What is done to a generated module.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Uploaded as it is: valid, but no walker.
    Bare,
    /// Brought along by a walker's component: compiled.
    Compiled,
    /// Brought along and instantiated, so that its start function runs.
    Run,
    /// Some bytes are changed.
    Broken,
}

/// A generated module, the same for the same number.
fn module(number: u64, kind: Kind) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(number);
    loop {
        let mut bytes = vec![0; 4096];
        random.fill_bytes(&mut bytes);
        let config = Config {
            max_imports: if kind == Kind::Run { 0 } else { 10 },
            // With references, nearly all have types that need a collector, which this host has not.
            reference_types_enabled: matches!(kind, Kind::Bare | Kind::Broken) || number % 10 == 1,
            gc_enabled: false,
            exceptions_enabled: kind == Kind::Bare,
            memory64_enabled: kind == Kind::Bare,
            relaxed_simd_enabled: kind == Kind::Bare,
            threads_enabled: kind == Kind::Bare,
            wide_arithmetic_enabled: kind == Kind::Bare,
            compact_imports_enabled: false,
            max_memory32_bytes: 64 << 20,
            max_table_elements: 1_000,
            ..Config::default()
        };
        let Ok(module) = Module::new(config, &mut Unstructured::new(&bytes)) else { continue };
        let mut module = module.to_bytes();
        if kind == Kind::Broken {
            for _ in 0..random.random_range(1..8) {
                let at = random.random_range(8..module.len().max(9));
                if let Some(byte) = module.get_mut(at) {
                    *byte = random.random();
                }
            }
        }
        return module;
    }
}

/// A component with the module in it, instantiated after all else.
fn instantiated(component: &[u8], core: &[u8]) -> Vec<u8> {
    let mut all = with_module(component, core);
    // The new one is the last of the component's own core modules.
    let (mut at, mut modules) = (8, 0);
    while at < all.len() {
        let section = all[at];
        let (mut length, mut shift) = (0, 0);
        loop {
            at += 1;
            length |= usize::from(all[at] & 0x7f) << shift;
            shift += 7;
            if all[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1 + length;
        modules += usize::from(section == 1);
    }
    // One core instance: of that module, without arguments.
    let mut instance = vec![1, 0];
    leb128(&mut instance, modules - 1);
    instance.push(0);
    all.push(2);
    leb128(&mut all, instance.len());
    all.extend(instance);
    all
}

/// What this host's engine takes.
fn allowed() -> Validator {
    Validator::new_with_features(
        WasmFeatures::MUTABLE_GLOBAL
            | WasmFeatures::SATURATING_FLOAT_TO_INT
            | WasmFeatures::SIGN_EXTENSION
            | WasmFeatures::REFERENCE_TYPES
            | WasmFeatures::MULTI_VALUE
            | WasmFeatures::BULK_MEMORY
            | WasmFeatures::SIMD
            | WasmFeatures::FLOATS
            | WasmFeatures::TAIL_CALL
            | WasmFeatures::MULTI_MEMORY
            | WasmFeatures::EXTENDED_CONST
            | WasmFeatures::COMPONENT_MODEL,
    )
}

#[tokio::test]
async fn a_thousand_made_up_modules() {
    let host = scene::host_with("").await;
    let client = &host.client;
    let started = std::time::Instant::now();
    let uploads = (0..UPLOADERS).map(|uploader| async move {
        let name = format!("smith{uploader}");
        let polite = guest(&name).component();
        let mut taken = [0, 0];
        for number in (uploader..COUNT).step_by(UPLOADERS as usize) {
            let kind = [Kind::Bare, Kind::Compiled, Kind::Run, Kind::Broken][(number / UPLOADERS % 4) as usize];
            let core = module(number, kind);
            let upload = match kind {
                Kind::Bare => core,
                Kind::Compiled | Kind::Broken => with_module(&polite, &core),
                Kind::Run => instantiated(&polite, &core),
            };
            let is_valid = allowed().validate_all(&upload).is_ok();
            let answer = client.put_module(&name, upload).await;
            let status = answer.status.as_u16();
            let what = format!("{kind:?} module {number}, valid: {is_valid}: {}", answer.text);
            match (kind, is_valid) {
                // It may trap or loop in its start function, or want more memory than there is.
                (Kind::Run, true) if status == 422 => assert!(answer.text.contains("cannot describe"), "{what}"),
                (Kind::Run, true) => assert!([200, 201].contains(&status), "{what}"),
                (Kind::Compiled | Kind::Broken, true) => assert!([200, 201].contains(&status), "{what}"),
                (Kind::Bare, _) | (_, false) => assert_eq!(status, 422, "{what}"),
            }
            if status == 422 {
                answer.problem(422, "module.rejected");
            }
            taken[usize::from(status == 422)] += 1;
        }
        taken
    });
    let taken = join_all(uploads).await;
    let refused: u32 = taken.iter().map(|taken| taken[1]).sum();
    let all: u32 = taken.iter().flatten().sum();
    scene::say(&format!(
        "{} of {all} made-up modules were taken, {refused} refused, in {:?}",
        all - refused,
        started.elapsed()
    ));
    assert!(refused > 250 && all - refused > 250, "both kinds are there: {taken:?}");
    scene::still_serves(client).await;
    host.stop().await;
}
