//! How much checking may cost: steps that are counted while it goes on, and an end to it where none are left.
//!
//! Knows nothing of schemas. Whoever checks takes steps in proportion to what it does.

use std::cell::Cell;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What a check may use of its thread's stack: half of what threads have. A type that holds itself recurses with its value, up
/// to 127 deep, and takes some kilobytes each time.
const MAX_STACK: usize = 1 << 20;

thread_local! {
    static METER: Meter = const { Meter { left: Cell::new(u64::MAX), top: Cell::new(0) } };
}

struct Meter {
    left: Cell<u64>,
    /// Where the stack stood when counting began; 0 while nothing is counted.
    top: Cell<usize>,
}

/// There was no end in sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfSteps;

/// Does `work` for as long as it takes no more than `steps`, of which it leaves what it did not take.
///
/// It is left in the middle, as by a panic that nobody hears of: the library that checks knows no other end.
pub(super) fn within<T>(steps: &mut u64, work: impl FnOnce() -> T) -> Result<T, OutOfSteps> {
    METER.with(|meter| {
        meter.left.set(*steps);
        meter.top.set(stack());
    });
    // Of what the work held nothing is seen again, but what it only looked at.
    let done = catch_unwind(AssertUnwindSafe(work));
    METER.with(|meter| {
        *steps = meter.left.replace(u64::MAX);
        meter.top.set(0);
    });
    done.or_else(|cause| if cause.is::<OutOfSteps>() { Err(OutOfSteps) } else { resume_unwind(cause) })
}

/// Takes so many steps.
pub(super) fn take(steps: u64) {
    METER.with(|meter| {
        let top = meter.top.get();
        let left = meter.left.get().checked_sub(steps);
        meter.left.set(left.unwrap_or(0));
        if left.is_none() || (top != 0 && top.abs_diff(stack()) > MAX_STACK) {
            resume_unwind(Box::new(OutOfSteps));
        }
    });
}

/// About where the stack of this thread stands.
#[inline(never)]
fn stack() -> usize {
    let mark = 0_u8;
    std::ptr::from_ref(black_box(&mark)).addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_with_its_steps() {
        let mut steps = 10;
        assert_eq!(within(&mut steps, || (0..3).for_each(|_| take(3))), Ok(()));
        assert_eq!(steps, 1);
        let taken = Cell::new(0);
        let endless = within(&mut steps, || {
            while taken.get() < 1_000 {
                taken.set(taken.get() + 1);
                take(1);
            }
        });
        assert_eq!((endless, taken.get(), steps), (Err(OutOfSteps), 2, 0));
        assert_eq!(within(&mut steps, || ()), Ok(()), "and the next begins anew");
        take(u64::MAX);
    }

    #[test]
    fn work_ends_before_the_stack_does() {
        fn deeper(depth: u64) -> u64 {
            take(1);
            if depth == u64::MAX { 0 } else { black_box([depth; 32])[0] + deeper(depth + 1) }
        }
        let mut steps = u64::MAX;
        assert_eq!(within(&mut steps, || deeper(0)), Err(OutOfSteps));
        assert!(u64::MAX - steps > 1_000, "it got somewhere");
    }

    #[test]
    fn other_panics_go_on() {
        let caught = catch_unwind(|| within(&mut 1, || resume_unwind(Box::new("mine"))));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"mine"));
    }
}
