//! How a run ended badly: from what wasmtime says to a stable code, a sentence and a stack.
//!
//! Knows nothing of files and lines; those are resolved in the jail when somebody reads them.

use std::io;

use rustix::io::Errno;
use walker_model::{Code, Failure, Frame, Limits};
use wasmtime::component::ResourceTableError;
use wasmtime::error::OutOfMemory;
use wasmtime::{FrameInfo, PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::HostFault;
use crate::abort::Abort;
use crate::artifact::Layout;
use crate::limiter::Refused;
use crate::state::State;

/// The longest message that is kept of what a guest says.
const MAX_MESSAGE_BYTES: usize = 8 << 10;
/// The longest function name that is kept.
const MAX_NAME_BYTES: usize = 512;

/// Why a run ended badly, or the host fault that ended it. Guest code runs while it is set up, too: what is not known as
/// the host's doing is the guest's, wherever it happened.
///
/// # Errors
/// When the guest is not to blame.
pub(crate) fn explain(error: &wasmtime::Error, state: &State, layout: &Layout) -> Result<Failure, HostFault> {
    let limits = &state.limits;
    let (code, message) = if let Some(abort) = error.downcast_ref::<Abort>() {
        aborted(abort, limits)?
    } else if let Some(full) = error.downcast_ref::<PoolConcurrencyLimitError>() {
        return Err(HostFault::Failed(format!("every slot for runs is taken: {full}")));
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        trapped(*trap, state)
    } else if let Some(limit) = limit_of_wasmtime(error, limits) {
        limit
    } else if let Some(refused) = state.limiter.refused() {
        (too_large(refused), refused_message(refused, limits))
    } else if is_of_the_system(error) {
        return Err(HostFault::Failed(format!("the system refused the run something: {error:#}")));
    } else {
        (Code::GuestTrap, readable(&error.root_cause().to_string()))
    };
    Ok(Failure { code, message, frames: frames(error, layout) })
}

/// Whether the operating system would not give what a run needs, such as memory for its stack. No host function passes
/// such an error on: a guest cannot bring it about.
fn is_of_the_system(error: &wasmtime::Error) -> bool {
    error.is::<Errno>() || error.is::<io::Error>() || error.is::<OutOfMemory>()
}

/// The limits that wasmtime itself holds a guest to, and tells of in words only.
fn limit_of_wasmtime(error: &wasmtime::Error, limits: &Limits) -> Option<(Code, String)> {
    let cause = error.root_cause().to_string();
    let is_full = matches!(error.downcast_ref(), Some(ResourceTableError::Full));
    if cause.contains("hostcalls has been exhausted") {
        let Limits { host_call_bytes: limit, .. } = limits;
        let message = format!("passed more than {limit} bytes to the host in one call; {}", remedy("host_call_bytes"));
        Some((Code::LimitOutput, message))
    } else if is_full || cause.contains("store handle limit exceeded") {
        let message = format!("held more than its {} handles; {}", limits.handles, remedy("handles"));
        Some((Code::LimitCalls, message))
    } else {
        None
    }
}

/// What to do about a limit. Its name is the one that settings and quotas know.
fn remedy(limit: &str) -> String {
    format!("use less, or have limit {limit} raised")
}

/// Something that was produced beyond its limit.
pub(crate) fn too_much(limit: u64, what: &str, name: &str) -> String {
    format!("produced more than its {limit} {what}; {}", remedy(name))
}

/// The end of a run that used up its fuel.
pub(crate) fn out_of_fuel(limits: &Limits) -> Failure {
    Failure::new(Code::LimitFuel, format!("used up its {} units of fuel; {}", limits.fuel, remedy("fuel")))
}

/// The end of a run whose calls nested too deeply.
pub(crate) fn out_of_stack(limits: &Limits) -> Failure {
    let limit = limits.stack_bytes;
    let message =
        format!("its calls nested too deeply and used up its {limit} bytes of stack; {}", remedy("stack_bytes"));
    Failure::new(Code::LimitStack, message)
}

/// The end of a run that may not even begin.
pub(crate) fn too_many_instances(count: u64, limits: &Limits) -> Failure {
    let limit = limits.core_instances;
    let message =
        format!("its module consists of {count} core instances, and may of {limit}; {}", remedy("core_instances"));
    Failure::new(Code::LimitInstances, message)
}

fn out_of_time(limits: &Limits) -> (Code, String) {
    (Code::LimitTime, format!("ran longer than its {} ms; {}", limits.time_ms, remedy("time_ms")))
}

fn aborted(abort: &Abort, limits: &Limits) -> Result<(Code, String), HostFault> {
    Ok(match abort {
        Abort::Stopped => (Code::Cancelled, "it was cancelled".into()),
        Abort::TimedOut => out_of_time(limits),
        Abort::Output(message) => (Code::LimitOutput, message.clone()),
        Abort::Calls => {
            let message =
                format!("asked the host more often than its {} times; {}", limits.host_calls, remedy("host_calls"));
            (Code::LimitCalls, message)
        }
        Abort::Fuel => (Code::LimitFuel, out_of_fuel(limits).message),
        Abort::Memory => {
            let refused = Refused::SharedMemory;
            (too_large(refused), refused_message(refused, limits))
        }
        Abort::Exit(exit) => (Code::GuestExit, format!("called exit with {exit} instead of returning")),
        Abort::Describing(_) => (Code::GuestTrap, abort.to_string()),
        Abort::Fault(fault) => return Err(HostFault::Failed(fault.clone())),
        Abort::Fenced => return Err(HostFault::Fenced),
    })
}

fn trapped(trap: Trap, state: &State) -> (Code, String) {
    let limits = &state.limits;
    match trap {
        Trap::OutOfFuel => return (Code::LimitFuel, out_of_fuel(limits).message),
        Trap::StackOverflow => {
            return (Code::LimitStack, out_of_stack(limits).message);
        }
        // The epoch callback ends runs with errors of its own; this is for a deadline that nobody set.
        Trap::Interrupt => return out_of_time(limits),
        _ => {}
    }
    let panicked = state.said.panic.as_ref().map(|panic| {
        let at = format!("panicked at {}:{}", panic.file, panic.line);
        if panic.message.is_empty() { at } else { format!("{at}: {}", panic.message) }
    });
    match (state.limiter.refused(), panicked) {
        (Some(refused), None) => (too_large(refused), refused_message(refused, limits)),
        (Some(refused), Some(panicked)) => {
            (too_large(refused), format!("{} ({panicked})", refused_message(refused, limits)))
        }
        (None, Some(panicked)) => (Code::GuestPanic, panicked),
        (None, None) => (Code::GuestTrap, format!("trapped: {}", describe(trap))),
    }
}

fn too_large(refused: Refused) -> Code {
    match refused {
        Refused::Memory | Refused::Table => Code::LimitMemory,
        Refused::SharedMemory => Code::QuotaMemory,
    }
}

fn refused_message(refused: Refused, limits: &Limits) -> String {
    match refused {
        Refused::Memory => {
            format!("needed more than its {} bytes of memory; {}", limits.memory_bytes, remedy("memory_bytes"))
        }
        Refused::Table => {
            format!("needed more than its {} table elements; {}", limits.table_elements, remedy("table_elements"))
        }
        Refused::SharedMemory => {
            "needed memory while the tenant's other runs held all that this host has for them; run it \
                                  again, fewer at once, or have the host's runs_memory_bytes raised"
                .into()
        }
    }
}

fn describe(trap: Trap) -> String {
    match trap {
        Trap::UnreachableCodeReached => "it reached code that it holds unreachable (an abort, perhaps)".into(),
        Trap::MemoryOutOfBounds => "it read or wrote outside its memory".into(),
        Trap::IntegerDivisionByZero => "it divided by zero".into(),
        Trap::IntegerOverflow => "an integer operation overflowed".into(),
        Trap::BadSignature => "it called a function by the wrong type".into(),
        other => other.to_string(),
    }
}

fn frames(error: &wasmtime::Error, layout: &Layout) -> Vec<Frame> {
    let frames = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default();
    frames.iter().map(|info| frame(info, layout)).collect()
}

fn frame(info: &FrameInfo, layout: &Layout) -> Frame {
    // Inside a component, wasmtime counts from the start of the component's binary.
    let place = info.module_offset().and_then(|offset| {
        let offset = offset as u64;
        let module = layout.iter().position(|range| range.contains(&offset))?;
        Some((u32::try_from(module).ok()?, offset - layout[module].start))
    });
    Frame {
        function: info.func_name().map(demangle),
        module: place.map_or(0, |(module, _)| module),
        function_index: info.func_index(),
        offset: place.map(|(_, offset)| offset),
    }
}

/// A function's name as its author wrote it. Names come from the guest: they are cut first.
pub(crate) fn demangle(name: &str) -> String {
    // The alternate form leaves out the hash at the end.
    readable_to(&format!("{:#}", rustc_demangle::demangle(cut(name, MAX_NAME_BYTES))), MAX_NAME_BYTES)
}

/// What a guest says, as far as it can be kept: at most so long, and without NUL, which databases do not take.
pub(crate) fn readable(text: &str) -> String {
    readable_to(text, MAX_MESSAGE_BYTES)
}

fn readable_to(text: &str, limit: usize) -> String {
    let kept = cut(text, limit);
    let mut readable = kept.replace('\0', "\u{FFFD}");
    if kept.len() < text.len() {
        readable.push('…');
    }
    readable
}

/// The first `limit` bytes of a text, less what would be half a character.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_guests_say_readable() {
        assert_eq!(readable("a\0b"), "a\u{FFFD}b");
        assert_eq!(readable(&"ä".repeat(MAX_MESSAGE_BYTES)).len(), MAX_MESSAGE_BYTES + '…'.len_utf8());
        assert_eq!(demangle("_ZN5hello5world17h0123456789abcdefE"), "hello::world");
        assert_eq!(demangle("_RNvCs1234_7mycrate3foo"), "mycrate::foo");
    }
}
