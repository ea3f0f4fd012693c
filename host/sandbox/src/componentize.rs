//! What an upload is, and how a core module becomes a component.
//!
//! Knows nothing of compiling. Everything refused is said in words for the module's author.

use walker_model::UploadCost;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Encoding, Parser, Payload, Validator};
use wit_component::ComponentEncoder;

use crate::artifact::Layout;
use crate::failure::readable;
use crate::{Bounds, features};

/// The section in which the SDK's toolchain leaves the contract that a core module was built against.
const CONTRACT_SECTION: &str = "component-type";

/// Why an upload is refused, in words for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Rejected(pub(crate) String);

impl Rejected {
    /// Names in a message are the module's own, and may be as long as the module: it is cut.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(readable(&message.into()))
    }
}

/// A component's binary, made from whatever was uploaded, and what counts of its cost before it is compiled. The same bytes always give the same component, so that
/// places in it can be found again later.
///
/// # Errors
/// When the upload is not WebAssembly, not valid, uses what is not allowed, or was not built for the contract.
pub(crate) fn component(wasm: &[u8], bounds: &Bounds, most: &UploadCost) -> Result<(Vec<u8>, UploadCost), Rejected> {
    let kind = kind(wasm)?;
    let cost = bounds.check(most, wasm)?;
    let component = match kind {
        Encoding::Component => {
            validate(wasm)?;
            wasm.to_vec()
        }
        Encoding::Module => {
            validate(wasm)?;
            let component = encode(wasm)?;
            validate(&component)?;
            component
        }
    };
    Ok((component, cost))
}

/// Where the core modules of a component stand, in order of appearance, nested components included.
///
/// # Errors
/// When the component cannot be parsed.
pub(crate) fn layout(component: &[u8]) -> Result<Layout, Rejected> {
    let mut layout = Layout::new();
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(|error| Rejected::new(format!("the component cannot be read: {error}")))?;
        if let Payload::ModuleSection { unchecked_range, .. } = payload {
            layout.push(unchecked_range.start as u64..unchecked_range.end as u64);
        }
    }
    Ok(layout)
}

fn kind(wasm: &[u8]) -> Result<Encoding, Rejected> {
    let expected = "expected a WebAssembly module or component (a .wasm file, as `walker build` makes it)";
    if wasm.is_empty() {
        return Err(Rejected::new(format!("the upload is empty; {expected}")));
    }
    let Some(rest) = wasm.strip_prefix(b"\0asm") else {
        return Err(Rejected::new(format!(
            "the upload is not WebAssembly: it seems to be {}; {expected}",
            seems(wasm)
        )));
    };
    match rest.first_chunk::<4>() {
        Some([1, 0, 0, 0]) => Ok(Encoding::Module),
        Some([_, 0, 1, 0]) => Ok(Encoding::Component),
        Some([version @ .., _, _]) => {
            let version = u16::from_le_bytes(*version);
            Err(Rejected::new(format!(
                "the upload is WebAssembly of version {version}, which is not known; {expected}"
            )))
        }
        None => Err(Rejected::new(format!("the upload is cut short; {expected}"))),
    }
}

fn seems(bytes: &[u8]) -> &'static str {
    const KNOWN: &[(&[u8], &str)] = &[
        (b"\x7fELF", "a Linux program or library (built for this machine instead of WebAssembly)"),
        (b"MZ", "a Windows program"),
        (b"\xcf\xfa\xed\xfe", "a macOS program"),
        (b"!<arch>", "a static library"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"BC\xc0\xde", "LLVM bitcode"),
    ];
    if let Some((_, what)) = KNOWN.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return what;
    }
    let head = &bytes[..bytes.len().min(512)];
    // A character may be cut at the end of the head.
    let text = std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true);
    let printable = head.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace());
    if !text || !printable {
        return "some other binary file";
    }
    if head.trim_ascii_start().starts_with(b"(module") || head.trim_ascii_start().starts_with(b"(component") {
        "WebAssembly in its text form (assemble it first)"
    } else {
        "text"
    }
}

fn validate(wasm: &[u8]) -> Result<(), Rejected> {
    let Err(error) = Validator::new_with_features(features::ALLOWED).validate_all(wasm) else {
        return Ok(());
    };
    Err(Rejected::new(match features::missing(wasm) {
        Some(proposal) => format!(
            "the module uses the {proposal} proposal, which is not allowed here ({error}); build it without that feature"
        ),
        None => format!("the module is not valid WebAssembly: {error}"),
    }))
}

fn encode(module: &[u8]) -> Result<Vec<u8>, Rejected> {
    if !has_contract(module) {
        return Err(Rejected::new(
            "the module was not built with the walker SDK: it does not say which contract it follows (its component-type \
             section is missing); make it with `walker build`, or strip less (`strip = \"none\"`)",
        ));
    }
    ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        })
        // Validated right after, under our own features rather than all.
        .and_then(|encoder| encoder.validate(false).encode())
        .map_err(|error| Rejected::new(format!("the module does not fit the contract it was built against: {error:#}")))
}

fn has_contract(module: &[u8]) -> bool {
    Parser::new(0).parse_all(module).any(|payload| {
        matches!(payload, Ok(Payload::CustomSection(section)) if section.name().starts_with(CONTRACT_SECTION))
    })
}
