//! Stopping a run from outside: by a stop or by its deadline, spinning, sleeping or waiting for an effect.

use std::time::{Duration, Instant};

use walker_model::{Code, Limits, Outcome};
use walker_sandbox::Stop;

use crate::Test;
use crate::guest::core;
use crate::world::{RUNTIME, SANDBOX, World, job, load, try_run};

pub(crate) const TESTS: &[Test] = &[
    ("a_stop_ends_it", a_stop_ends_it),
    ("its_deadline_ends_it", its_deadline_ends_it),
    ("what_a_loop_burnt_is_known_when_its_time_is_up", what_a_loop_burnt_is_known_when_its_time_is_up),
    ("stopped_before_it_began", stopped_before_it_began),
    ("spinners_of_one_thread_take_turns", spinners_of_one_thread_take_turns),
];

/// Three ways to last forever; each says first that it began.
const FOREVER: [(&str, &str); 3] = [
    ("spinning", "(call $print (i32.const 2048) (i32.const 2)) (loop br 0) (i32.const 0)"),
    ("sleeping", "(call $print (i32.const 2048) (i32.const 2)) (call $sleep (i64.const 99000000000)) (i32.const 0)"),
    ("waiting", "(drop (call $read (i32.const 256) (i32.const 4))) (i32.const 0)"),
];
const LINE: &str = r#"(data (i32.const 2048) "!\n")"#;

fn pending() -> std::sync::Arc<World> {
    World::new(|_| Box::pin(std::future::pending()))
}

fn check_kept(outcome: &Outcome, code: Code, how: &str) {
    let failure = outcome.failure().unwrap_or_else(|| panic!("{how} completed"));
    assert_eq!(failure.code, code, "{how}");
    assert!(outcome.usage.fuel > 0, "{how}: fuel is still read");
    assert!(!failure.frames.is_empty(), "{how}: so is the stack");
}

fn a_stop_ends_it() {
    for (how, body) in FOREVER {
        let module = load(core(LINE, body));
        let world = pending();
        let stop = Stop::default();
        let limits = Limits { fuel: u64::MAX, ..Limits::default() };
        let running = RUNTIME.spawn({
            let (world, stop) = (world.clone(), stop.clone());
            async move { SANDBOX.run(&module, job(limits), world, stop).await }
        });
        while world.printed().is_empty() && world.asked.lock().unwrap().is_empty() && !running.is_finished() {
            std::thread::yield_now();
        }
        let asked = Instant::now();
        stop.stop();
        let outcome = RUNTIME.block_on(running).unwrap().unwrap();
        check_kept(&outcome, Code::Cancelled, how);
        // Twenty milliseconds are promised on a quiet machine; this one may be anything but.
        assert!(asked.elapsed() < Duration::from_secs(5), "{how}: {:?}", asked.elapsed());
    }
}

fn its_deadline_ends_it() {
    for (how, body) in FOREVER {
        let limits = Limits { fuel: u64::MAX, time_ms: 50, ..Limits::default() };
        let outcome = try_run(core(LINE, body), job(limits), pending(), Stop::default()).unwrap();
        check_kept(&outcome, Code::LimitTime, how);
        assert_eq!(
            outcome.failure().unwrap().message,
            "ran longer than its 50 ms; use less, or have limit time_ms raised"
        );
        assert!((50.0..5_000.0).contains(&outcome.usage.duration_ms), "{how}: {:?}", outcome.usage);
    }
}

fn what_a_loop_burnt_is_known_when_its_time_is_up() {
    let limits = Limits { fuel: u64::MAX, time_ms: 500, ..Limits::default() };
    let outcome = try_run(core(LINE, FOREVER[0].1), job(limits), pending(), Stop::default()).unwrap();
    assert_eq!(outcome.failure().unwrap().code, Code::LimitTime);
    // A hundredth of what a core burns in that time.
    assert!(outcome.usage.fuel > 10_000_000, "{:?}", outcome.usage);
}

fn stopped_before_it_began() {
    let stop = Stop::default();
    stop.stop();
    let outcome = try_run(core("", "unreachable"), job(Limits::default()), World::saving(), stop).unwrap();
    assert_eq!(outcome.failure().unwrap().code, Code::Cancelled);
}

fn spinners_of_one_thread_take_turns() {
    let (spinner, quick) =
        (load(core(LINE, FOREVER[0].1)), load(core(LINE, "(call $ok (i32.const 2048) (i32.const 0))")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let stop = Stop::default();
        let limits = Limits { fuel: u64::MAX, ..Limits::default() };
        let spinning = tokio::spawn({
            let stop = stop.clone();
            async move { SANDBOX.run(&spinner, job(limits), World::saving(), stop).await }
        });
        tokio::task::yield_now().await;
        // Ends only if the spinner lets it have the thread.
        let outcome = SANDBOX.run(&quick, job(limits), World::saving(), Stop::default()).await.unwrap();
        assert_eq!(outcome.failure().unwrap().code, Code::GuestError);
        stop.stop();
        assert_eq!(spinning.await.unwrap().unwrap().failure().unwrap().code, Code::Cancelled);
    });
}
