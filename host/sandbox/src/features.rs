//! Which WebAssembly proposals a module may use: one set, for the validator and for the engine.
//!
//! Knows nothing of why a module was sent.

use wasmparser::WasmFeatures;

/// What a module may use. Everything else is refused at upload, by name.
///
/// Threads, GC, exceptions, function references, memory64, stack switching and relaxed SIMD are off: walkers do not
/// need them, and each is code in the compiler or nondeterminism that nobody has to reach.
pub(crate) const ALLOWED: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL);

/// A proposal that is off, as its users call it.
pub(crate) struct Proposal {
    /// Its name in the WebAssembly proposals list.
    pub(crate) name: &'static str,
    /// What turns it on in the validator.
    pub(crate) features: WasmFeatures,
}

/// The proposals that are off. Ordered: a proposal that builds on another comes after it, so that the first
/// which makes a module valid is the one it uses.
pub(crate) const REFUSED: &[Proposal] = &[
    Proposal { name: "threads", features: WasmFeatures::THREADS },
    Proposal { name: "memory64", features: WasmFeatures::MEMORY64 },
    Proposal { name: "relaxed SIMD", features: WasmFeatures::RELAXED_SIMD },
    Proposal { name: "function references", features: WasmFeatures::FUNCTION_REFERENCES.union(WasmFeatures::GC_TYPES) },
    Proposal { name: "exception handling", features: WasmFeatures::EXCEPTIONS.union(WasmFeatures::GC_TYPES) },
    Proposal {
        name: "legacy exception handling",
        features: WasmFeatures::LEGACY_EXCEPTIONS.union(WasmFeatures::GC_TYPES),
    },
    Proposal {
        name: "GC",
        features: WasmFeatures::GC.union(WasmFeatures::GC_TYPES).union(WasmFeatures::FUNCTION_REFERENCES),
    },
    Proposal {
        name: "stack switching",
        features: WasmFeatures::STACK_SWITCHING
            .union(WasmFeatures::FUNCTION_REFERENCES)
            .union(WasmFeatures::EXCEPTIONS)
            .union(WasmFeatures::GC_TYPES)
            .union(WasmFeatures::GC),
    },
    Proposal {
        name: "shared-everything threads",
        features: WasmFeatures::SHARED_EVERYTHING_THREADS.union(WasmFeatures::THREADS),
    },
    Proposal { name: "custom page sizes", features: WasmFeatures::CUSTOM_PAGE_SIZES },
    Proposal { name: "wide arithmetic", features: WasmFeatures::WIDE_ARITHMETIC },
    Proposal { name: "component model async", features: WasmFeatures::CM_ASYNC },
];

/// The proposals that a module needs beyond those allowed, when turning some on makes it valid.
pub(crate) fn missing(wasm: &[u8]) -> Option<&'static str> {
    let valid = |features| wasmparser::Validator::new_with_features(features).validate_all(wasm).is_ok();
    // First of all, whether any of them helps: an upload that is simply broken is not read a dozen times.
    let all = REFUSED.iter().fold(ALLOWED, |all, proposal| all.union(proposal.features));
    if !valid(all) {
        return None;
    }
    REFUSED.iter().find(|proposal| valid(ALLOWED.union(proposal.features))).map(|proposal| proposal.name)
}
