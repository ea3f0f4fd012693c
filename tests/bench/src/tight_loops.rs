//! What metering costs code that does nothing but compute: fuel, fuel that yields, epochs, and both.
//!
//! Core modules on bare wasmtime: nothing of the sandbox is here. Times are processor times.

use anyhow::{anyhow, ensure};
use wasmtime::{Engine, Linker, Module, Store};

use crate::Plan;
use crate::bare_wasmtime::{Clock, Metering};
use crate::process;
use crate::report::{Table, ratio, time};
use crate::stats::median;

/// How often each loop goes round: some tenth of a second.
const ROUNDS: i64 = 100_000_000;

/// The loop's body and its name.
const LOOPS: [(&str, &str); 3] = [
    ("counts", ""),
    (
        "mixes bits",
        "(local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
         (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
         (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))",
    ),
    (
        "reads and writes memory",
        "(local.set $at (i32.and (i32.add (local.get $at) (i32.const 8)) (i32.const 65528)))
         (i64.store (local.get $at) (i64.add (i64.load (local.get $at)) (local.get $x)))
         (local.set $x (i64.add (local.get $x) (i64.load (i32.and (local.get $at) (i32.const 4088)))))",
    ),
];

const KINDS: [(&str, Metering); 5] = [
    ("nothing", Metering::None),
    ("fuel", Metering::Fuel),
    ("fuel that yields", Metering::YieldingFuel),
    ("epochs", Metering::Epochs),
    ("fuel and epochs", Metering::FuelAndEpochs),
];

/// Measures every loop under every kind of metering, in turns.
pub(crate) fn measure(plan: Plan, runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
    let columns: Vec<&str> = LOOPS.iter().flat_map(|(name, _)| [*name, "of nothing"]).collect();
    let mut table =
        Table::new(&format!("Tight loops, {} million rounds, by what bounds them", ROUNDS / 1_000_000), &columns);
    let mut times = vec![vec![Vec::new(); LOOPS.len()]; KINDS.len()];
    for _ in 0..plan.rounds {
        for (kind, (_, metering)) in KINDS.iter().enumerate() {
            for (at, (_, body)) in LOOPS.iter().enumerate() {
                let took = runtime.block_on(run(*metering, body))?;
                times[kind][at].push(took);
            }
        }
    }
    let medians: Vec<Vec<f64>> =
        times.iter().map(|loops| loops.iter().map(|times| median(times.iter().copied())).collect()).collect();
    for ((name, _), loops) in KINDS.iter().zip(&medians) {
        let cells: Vec<String> =
            loops.iter().zip(&medians[0]).flat_map(|(took, nothing)| [time(*took), ratio(took / nothing)]).collect();
        table.row(name, &cells);
    }
    table.print();
    Ok(())
}

async fn run(metering: Metering, body: &str) -> anyhow::Result<f64> {
    let text = format!(
        r#"(module (memory 1) (func (export "run") (param $left i64) (result i64)
            (local $x i64) (local $at i32)
            (local.set $x (i64.const 88172645463325252))
            (loop $again
                {body}
                (br_if $again (i64.ne (i64.const 0) (local.tee $left (i64.sub (local.get $left) (i64.const 1))))))
            (local.get $x)))"#
    );
    let mut settings = wasmtime::Config::new();
    metering.set(&mut settings);
    let engine = Engine::new(&settings).map_err(|error: wasmtime::Error| anyhow!("{error:?}"))?;
    let _clock = Clock::start(&engine)?;
    let wasm = wat::parse_str(&text)?;
    let ran = async {
        let module = Module::new(&engine, &wasm)?;
        let mut store = Store::new(&engine, ());
        metering.bound(&mut store, u64::MAX)?;
        let instance = Linker::new(&engine).instantiate_async(&mut store, &module).await?;
        let run = instance.get_typed_func::<i64, i64>(&mut store, "run")?;
        let began = process::thread_cpu();
        let result = run.call_async(&mut store, ROUNDS).await?;
        wasmtime::Result::Ok((result, began, process::thread_cpu()))
    };
    let (result, began, ended) = ran.await.map_err(|error: wasmtime::Error| anyhow!("{error:?}"))?;
    ensure!(result != 0, "the loop came to nothing");
    Ok(ended? - began?)
}
