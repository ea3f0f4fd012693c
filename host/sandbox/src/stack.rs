//! Tells how much of its stack a run used, and gives back what is beyond what the next one is likely to need.
//!
//! The pool hands stacks on as they are, so that walkers which recurse would leave a megabyte in each of hundreds. Letting the engine
//! wipe every stack costs a system call a run, and half of the runs a second on four threads. Here only those pay that went deep.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;

use rustix::mm::{Advice, madvise};
use wasmtime::CallHook;

/// What stays, below the frame of whoever called the guest: an SDK walker's run with its host calls uses less.
/// What is used of it is not known: it may be from the run before.
pub(crate) const KEPT_BYTES: usize = 64 << 10;
/// How much of the first page beyond that is looked at. Frames of a recursion are smaller.
const LOOK_BYTES: usize = 1 << 10;
const PAGE_BYTES: usize = 4 << 10;

thread_local! {
    /// Where the thread's own stack lies; a fiber's may begin right where it ends.
    static OWN_STACK: Range<usize> = own_stack();
}

/// Follows one run in and out of its guest.
pub(crate) struct DeepStack {
    /// The most that a guest may use.
    guest_bytes: usize,
    calls: u32,
}

impl DeepStack {
    pub(crate) fn new(guest_bytes: u64) -> Self {
        Self { guest_bytes: usize::try_from(guest_bytes).unwrap_or(0), calls: 0 }
    }

    /// Hears of each way in and out. On the last way out, how much was used, the host's own calls for the guest included,
    /// and at least what is always kept.
    pub(crate) fn hear(&mut self, hook: CallHook) -> Option<u64> {
        match hook {
            CallHook::CallingWasm => self.calls += 1,
            CallHook::ReturningFromWasm => {
                self.calls = self.calls.saturating_sub(1);
                // Further in, the guest that called the host is still on the stack.
                if self.calls == 0 && !is_on_threads_stack(frame()) {
                    return Some((KEPT_BYTES + give_back(self.guest_bytes)) as u64);
                }
            }
            CallHook::CallingHost | CallHook::ReturningFromHost => {}
        }
        None
    }
}

/// Whether that frame lies on the stack of its thread, of which nobody knows here how much is in use.
fn is_on_threads_stack(frame: usize) -> bool {
    OWN_STACK.with(|own| own.contains(&frame))
}

/// All of the address space if it cannot be told.
#[allow(unsafe_code, reason = "only the C library tells where a thread's stack lies")]
fn own_stack() -> Range<usize> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: a valid place for what is asked.
    if unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) } != 0 {
        return 0..usize::MAX;
    }
    let (mut start, mut bytes) = (ptr::null_mut(), 0);
    // SAFETY: the call above has set the attributes, which are read and given back once.
    let told = unsafe {
        let told = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut bytes);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        told
    };
    if told == 0 { start.addr()..start.addr().saturating_add(bytes) } else { 0..usize::MAX }
}

/// About where the caller's frame is.
#[inline(never)]
fn frame() -> usize {
    let here = 0_u8;
    (&raw const here).addr()
}

/// Gives back what `guest_bytes` below the caller's frame hold, but for the part that is always kept. Answers how many
/// bytes beyond that were used, by whole pages.
#[allow(unsafe_code, reason = "nobody else gives back a part of a stack")]
fn give_back(guest_bytes: usize) -> usize {
    let Some(deep) = deep(frame(), guest_bytes) else { return 0 };
    // SAFETY: a fiber has `guest_bytes` and a megabyte for the host below the frame that first calls a guest, so that all of `deep` is
    // a part of this stack. No frame is there: this one's callees end far above (`KEPT_BYTES`). The engine maps it readable.
    let is_used = |from: usize, bytes: usize| unsafe {
        let words = ptr::with_exposed_provenance::<u64>(from);
        (0..bytes / size_of::<u64>()).any(|at| words.add(at).read_volatile() != 0)
    };
    let mut used = 0;
    if is_used(deep.end - LOOK_BYTES, LOOK_BYTES) {
        let pages = deep.clone().step_by(PAGE_BYTES).rev();
        used = pages.take_while(|page| is_used(*page, PAGE_BYTES)).count() * PAGE_BYTES;
        let start = ptr::with_exposed_provenance_mut(deep.start);
        // SAFETY: as above; what lies there is nobody's, and reads as zeros afterwards.
        let given_back = unsafe { madvise(start, deep.len(), Advice::LinuxDontNeed) };
        if let Err(error) = given_back {
            tracing::debug!("a deep stack stays in memory: {error}");
        }
    }
    used
}

/// The pages that a guest may have used and that are not kept.
fn deep(frame: usize, guest_bytes: usize) -> Option<Range<usize>> {
    let end = frame.checked_sub(KEPT_BYTES)? & !(PAGE_BYTES - 1);
    let start = frame.checked_sub(guest_bytes)?.next_multiple_of(PAGE_BYTES);
    (start + PAGE_BYTES <= end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pages_between_what_is_kept_and_what_a_guest_may_use() {
        let frame = 0x7000_0000_1234;
        let kept = 0x7000_0000_1234 - KEPT_BYTES;
        let deep = deep(frame, 1 << 20).unwrap();
        assert!(deep.end <= kept && deep.end + PAGE_BYTES > kept);
        assert!(deep.start >= frame - (1 << 20) && deep.start < frame - (1 << 20) + PAGE_BYTES);
        assert_eq!((deep.start % PAGE_BYTES, deep.end % PAGE_BYTES), (0, 0));
        for small in [0, KEPT_BYTES, KEPT_BYTES + PAGE_BYTES] {
            assert_eq!(super::deep(frame, small), None, "{small}");
        }
        assert_eq!(super::deep(1, 1 << 20), None);
    }

    /// Uses so much stack, and leaves it full.
    #[inline(never)]
    fn dig(bytes: usize) -> u64 {
        let page = std::hint::black_box([7_u8; PAGE_BYTES]);
        let below = if bytes > PAGE_BYTES { dig(bytes - PAGE_BYTES) } else { 0 };
        below + u64::from(std::hint::black_box(page)[0])
    }

    /// How many of the pages there hold anything.
    #[allow(unsafe_code, reason = "looks below its own frame")]
    fn used(pages: Range<usize>) -> usize {
        let is_used = |page: usize| {
            let words = ptr::with_exposed_provenance::<u64>(page);
            // SAFETY: pages of this thread's stack; the test gave it enough.
            (0..PAGE_BYTES / 8).any(|at| unsafe { words.add(at).read_volatile() } != 0)
        };
        pages.step_by(PAGE_BYTES).filter(|page| is_used(*page)).count()
    }

    #[test]
    fn what_was_used_deep_down_is_given_back() {
        const GUEST_BYTES: usize = 1 << 20;
        let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(|| {
            let deep = deep(frame(), GUEST_BYTES).unwrap();
            // Not the first pages: calls from here on may reach them.
            let deep = deep.start..deep.end - 4 * PAGE_BYTES;
            dig(GUEST_BYTES);
            let before = used(deep.clone());
            let told = give_back(GUEST_BYTES) / PAGE_BYTES;
            (before, told, used(deep.clone()), deep.len() / PAGE_BYTES)
        });
        let (before, told, after, pages) = thread.unwrap().join().unwrap();
        assert!(before > pages * 9 / 10, "{before} of {pages}");
        assert!(told >= before && told <= pages + 4, "{told} told of {before}");
        // Its first page begins where another frame did.
        assert!(after <= 1, "{after} of {pages} are left");
    }

    /// The system lays a pool of fibers right beside the stack of a thread, if that is where there is room.
    #[test]
    fn a_fibers_stack_may_lie_right_beside_the_threads() {
        const STACK_BYTES: usize = 8 << 20;
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(|| {
            let own = OWN_STACK.with(Range::clone);
            let beside = [own.start - 1, own.end].map(is_on_threads_stack);
            (own, frame(), is_on_threads_stack(frame()), beside)
        });
        let (own, frame, its_own, beside) = thread.unwrap().join().unwrap();
        assert!(own.len().abs_diff(STACK_BYTES) <= STACK_BYTES / 8, "{} bytes", own.len());
        assert!(own.contains(&frame) && its_own);
        assert_eq!(beside, [false, false]);
        // This one's is another.
        assert!(!is_on_threads_stack(frame) && is_on_threads_stack(super::frame()));
    }
}
