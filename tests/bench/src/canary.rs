//! Whether anything of a run is left for the next, over very many runs of several modules in few slots.
//!
//! The guests are those of the sandbox's own test, which also shows that they find what is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use walker_model::{Ended, Limits, UploadCost};
use walker_sandbox::{Config, Effects, Jail, JailLimits, Module, PagemapScan, Sandbox, Stop};
use wit_component::StringEncoding;
use wit_parser::Resolve;

use crate::report::{Table, count};
use crate::sandbox::{Memory, file, job};
use crate::{Plan, host};

/// Pages, table elements and the letter that 4 KiB of data are made of, of each module.
const GUESTS: [(u32, u32, Option<u8>); 4] =
    [(1, 10, None), (1, 1_000, Some(b'b')), (2, 10, Some(b'c')), (4, 2_000, None)];

/// Looks with and without pagemap scan, half of the runs each.
pub(crate) fn measure(plan: Plan, threads: usize, runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
    let title = "Slots used again by other modules, every run looking for what another left";
    let mut table = Table::new(title, &["runs", "slots", "runs/s", "leaks"]);
    let mut leaks = 0;
    for (name, pagemap_scan) in [("pagemap scan", PagemapScan::Auto), ("no pagemap scan", PagemapScan::Off)] {
        let config = Config { slots: threads as u32 + 2, pagemap_scan, ..Config::default() };
        let sandbox = Sandbox::new(config.clone())?;
        let slots = sandbox.slots().context("there is no pool, so that nothing is used again")?;
        let jail = Jail::new(host::binary()?, config, JailLimits::default(), UploadCost::DEFAULT, std::env::temp_dir());
        let mut modules = Vec::new();
        for (pages, elements, letter) in GUESTS {
            let wasm = guest(pages, elements, letter)?;
            modules.push(sandbox.load(&runtime.block_on(jail.admit(&file(&wasm)?, &UploadCost::DEFAULT))?.artifact)?);
        }
        let (began, runs) = (Instant::now(), plan.reuses / 2);
        let found = look(&sandbox, &modules.into(), runs, threads, runtime)?;
        let rate = runs as f64 / began.elapsed().as_secs_f64();
        table.row(name, &[count(runs as f64), slots.to_string(), count(rate), found.to_string()]);
        leaks += found;
    }
    table.print();
    println!("  {} leaks between runs: {leaks} (goal: 0)", if leaks == 0 { "reached" } else { "MISSED " });
    ensure!(leaks == 0, "something of a run was left for another");
    Ok(())
}

/// How many of so many runs found something.
fn look(
    sandbox: &Sandbox,
    modules: &Arc<[Module]>,
    runs: usize,
    threads: usize,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<usize> {
    let next = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..threads)
        .map(|_| {
            let (sandbox, modules, next) = (sandbox.clone(), modules.clone(), next.clone());
            runtime.spawn(async move {
                let effects: Arc<dyn Effects> = Arc::new(Memory);
                let mut found = 0;
                loop {
                    let at = next.fetch_add(1, Relaxed);
                    if at >= runs {
                        return anyhow::Ok(found);
                    }
                    let module = &modules[(at + at / 7) % modules.len()];
                    let fields = format!("\"{}\"", char::from(b'a' + (at % 26) as u8));
                    let job = job("test", &fields, Limits::default())?;
                    let outcome = sandbox.run(module, job, effects.clone(), Stop::default()).await?;
                    if let Ended::Failed(failure) = outcome.ended {
                        println!("  run {at} found something: {}", failure.message);
                        found += 1;
                    }
                }
            })
        })
        .collect();
    tasks.into_iter().map(|task| runtime.block_on(task).map_err(|_| anyhow!("a measuring task died"))?).sum()
}

fn guest(pages: u32, elements: u32, letter: Option<u8>) -> anyhow::Result<Vec<u8>> {
    let word = u64::from_le_bytes([letter.unwrap_or(0); 8]);
    let data = letter.map_or(String::new(), |letter| char::from(letter).to_string().repeat(4096));
    let text = include_str!("../../../host/sandbox/tests/sandbox/canary.wat")
        .replace("PAGES", &pages.to_string())
        .replace("ELEMENTS", &elements.to_string())
        .replace("\"DATA\"", &format!("{data:?}"))
        .replace("WORD", &word.to_string());
    let mut wasm = wat::parse_str(&text)?;
    let mut resolve = Resolve::default();
    let contract = walker_harness::repository().join("guest-sdk/wit");
    let (package, _) = resolve.push_path(contract)?;
    let world = resolve.select_world(&[package], Some("module"))?;
    wit_component::embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8)?;
    Ok(wasm)
}
