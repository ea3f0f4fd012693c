//! What the host holds in memory for a run is taken from what all runs share, and given back.

use std::sync::atomic::Ordering::Relaxed;

use walker_model::{Code, Json, Limits};
use walker_sandbox::{Job, Reply, Request, Stop};

use crate::Test;
use crate::guest::core;
use crate::world::{RUNTIME, SANDBOX, World, job, load};

pub(crate) const TESTS: &[Test] = &[("what_the_host_holds_is_counted", what_the_host_holds_is_counted)];

const KIB: u64 = 1 << 10;

fn what_the_host_holds_is_counted() {
    // Of 200,000 digits at 32768, which are JSON.
    let parts = r#"(data (i32.const 2048) "{}")"#;
    let body = |does: &str| {
        format!(
            "(memory.fill (i32.const 32768) (i32.const 49) (i32.const 200000))
             {does} (call $ok (i32.const 2048) (i32.const 2))"
        )
    };
    // Where the run's own memory has `room` beside it, and the fields that it is given have so many bytes.
    let check = |does: &str, given: usize, rooms: &[(u64, Option<Code>)]| {
        let module = load(core(parts, &body(does)));
        let ended = |memory: u64| {
            let world = World::with_memory(memory, |request| {
                let spawned = matches!(request, Request::Spawn(_));
                Box::pin(async move { Ok(if spawned { Reply::Spawned("w:a:1".into()) } else { Reply::Saved }) })
            });
            let job = Job { fields: Json::of(&"x".repeat(given)), ..job(Limits::DEFAULT) };
            let outcome = RUNTIME.block_on(SANDBOX.run(&module, job, world.clone(), Stop::default())).unwrap();
            assert_eq!(world.left.load(Relaxed), memory, "{does}: all of it is given back");
            outcome
        };
        let own = ended(u64::MAX).usage.memory_peak_bytes;
        for (room, expect) in rooms {
            let outcome = ended(own + room);
            let failure = outcome.failure();
            assert_eq!(failure.map(|failure| failure.code), *expect, "{does} beside {room} bytes: {failure:?}");
        }
    };
    let report = |bytes: u64| format!("(drop (call $report (i32.const 32768) (i32.const {bytes})))");
    let save = |bytes: u64| format!("(drop (call $save (i32.const 32768) (i32.const {bytes})))");
    let refused = Some(Code::QuotaMemory);
    // A small run takes nothing beside its own memory.
    check(&format!("{} {}", report(5_000), save(5_000)), 5_000, &[(0, None)]);
    check(&report(100_000).repeat(5), 0, &[(600 * KIB, None), (300 * KIB, refused)]);
    // As given, once more on its way, and kept.
    check(&save(100_000), 0, &[(300 * KIB, None), (100 * KIB, refused)]);
    check(&save(100_000).repeat(10), 0, &[(300 * KIB, None)]);
    check(&format!("{} {}", report(100_000), save(10)), 0, &[(300 * KIB, None), (100 * KIB, refused)]);
    check("(drop (call $spawn (i32.const 32768) (i32.const 200000)))", 0, &[(256 * KIB, None), (64 * KIB, refused)]);
    check("", 200_000, &[(256 * KIB, None), (64 * KIB, refused)]);
}
