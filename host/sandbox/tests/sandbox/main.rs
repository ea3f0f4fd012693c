//! The sandbox as its callers see it: modules admitted by a real jailed child, and run.
//!
//! Has no harness of its own language: the jail starts this program again, as its child.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod admission;
mod budgets;
mod debug_bombs;
mod endings;
mod guest;
mod held;
mod jail;
mod leaks;
mod oversized;
mod past_holes;
mod stopping;
mod wasi;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A test's name and body.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("jail") {
        return walker_sandbox::jail_main(arguments);
    }
    let groups: [(&str, &[Test]); 11] = [
        ("admission", admission::TESTS),
        ("budgets", budgets::TESTS),
        ("debug_bombs", debug_bombs::TESTS),
        ("endings", endings::TESTS),
        ("held", held::TESTS),
        ("jail", jail::TESTS),
        ("leaks", leaks::TESTS),
        ("oversized", oversized::TESTS),
        ("past_holes", past_holes::TESTS),
        ("stopping", stopping::TESTS),
        ("wasi", wasi::TESTS),
    ];
    let trials = groups.into_iter().flat_map(|(group, tests)| {
        tests.iter().map(move |&(name, test)| {
            Trial::test(format!("{group}::{name}"), move || {
                test();
                Ok(())
            })
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
