//! What must be true of a module before it may run: runs in the jailed child.
//!
//! Knows nothing of the process around it.

use walker_model::{Definition, UploadCost};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::artifact::Shape;
use crate::componentize::{self, Rejected};
use crate::host::contract::ModulePre;
use crate::{Bounds, describe, instances, sandbox};

/// What every walker module exports.
const GUEST: &str = "walker:guest/guest@0.1.0";
/// What a module may import: the interfaces of the contract and of WASI 0.2 that this host provides.
const PROVIDED: &[&str] = &[
    "walker:guest/types@0.1.0",
    "walker:guest/run@0.1.0",
    "walker:guest/walkers@0.1.0",
    "walker:guest/lifecycle@0.1.0",
    "wasi:cli/environment@0.2",
    "wasi:cli/exit@0.2",
    "wasi:cli/stdin@0.2",
    "wasi:cli/stdout@0.2",
    "wasi:cli/stderr@0.2",
    "wasi:cli/terminal-input@0.2",
    "wasi:cli/terminal-output@0.2",
    "wasi:cli/terminal-stdin@0.2",
    "wasi:cli/terminal-stdout@0.2",
    "wasi:cli/terminal-stderr@0.2",
    "wasi:clocks/wall-clock@0.2",
    "wasi:clocks/monotonic-clock@0.2",
    "wasi:filesystem/preopens@0.2",
    "wasi:filesystem/types@0.2",
    "wasi:io/error@0.2",
    "wasi:io/poll@0.2",
    "wasi:io/streams@0.2",
    "wasi:random/random@0.2",
    "wasi:random/insecure@0.2",
    "wasi:random/insecure-seed@0.2",
    "wasi:sockets/network@0.2",
    "wasi:sockets/instance-network@0.2",
    "wasi:sockets/ip-name-lookup@0.2",
    "wasi:sockets/tcp@0.2",
    "wasi:sockets/tcp-create-socket@0.2",
    "wasi:sockets/udp@0.2",
    "wasi:sockets/udp-create-socket@0.2",
];

/// An admitted module as the child hands it over.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// What becomes an [`Artifact`](crate::Artifact) on the host's side, with the shape.
    pub(crate) native: Vec<u8>,
    pub(crate) shape: Shape,
    pub(crate) definitions: Vec<Definition>,
    /// But for what compiling took.
    pub(crate) cost: UploadCost,
}

/// Checks, compiles and asks a module.
///
/// # Errors
/// When it may not run here, in words for its author.
pub(crate) async fn admit(
    engine: &Engine,
    bounds: &Bounds,
    most: &UploadCost,
    most_instances: u64,
    wasm: &[u8],
) -> Result<Compiled, Rejected> {
    let (binary, cost) = componentize::component(wasm, bounds, most)?;
    let layout = componentize::layout(&binary)?;
    let core_instances = instances::count(&binary)?;
    if core_instances > most_instances {
        return Err(Rejected::new(format!(
            "the module consists of {core_instances} core instances; this host takes at most {most_instances}"
        )));
    }

    // Compile, under the limits of the process around.
    let component = Component::from_binary(engine, &binary)
        .map_err(|error| Rejected::new(format!("the module cannot be compiled: {error:#}")))?;
    check_imports(engine, &component)?;
    check_exports(engine, &component)?;
    let linker = sandbox::linker(engine).map_err(|error| Rejected::new(error.to_string()))?;
    let pre = linker.instantiate_pre(&component).and_then(ModulePre::new).map_err(|error| {
        Rejected::new(format!("the module was built against another version of the contract: {error:#}"))
    })?;

    // Ask it what it defines, before anyone relies on it.
    let definitions = describe::definitions(engine, &pre, &layout).await?;
    let native = component
        .serialize()
        .map_err(|error| Rejected::new(format!("the compiled module cannot be kept: {error:#}")))?;
    Ok(Compiled { native, shape: Shape { layout, core_instances }, definitions, cost })
}

fn check_imports(engine: &Engine, component: &Component) -> Result<(), Rejected> {
    let kind = component.component_type();
    let unknown: Vec<&str> = kind.imports(engine).map(|(name, _)| name).filter(|name| !is_provided(name)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Rejected::new(format!(
        "the module imports {}, which this host does not provide; walkers may import walker:guest and WASI 0.2 (cli, \
         clocks, io, random, and filesystem and sockets without any files or networks)",
        unknown.join(", ")
    )))
}

/// Any patch version of WASI 0.2 will do: they only ever add.
fn is_provided(name: &str) -> bool {
    PROVIDED.iter().any(|provided| match name.strip_prefix(provided) {
        Some("") => true,
        Some(patch) => provided.starts_with("wasi:") && patch.starts_with('.'),
        None => false,
    })
}

fn check_exports(engine: &Engine, component: &Component) -> Result<(), Rejected> {
    let kind = component.component_type();
    match kind.get_export(engine, GUEST) {
        Some(export) if matches!(export.ty, ComponentItem::ComponentInstance(_)) => Ok(()),
        _ => Err(Rejected::new(format!(
            "the module does not export {GUEST}, so it defines no walkers for this host; build it with the walker SDK, \
             and with a version of it that this host knows"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_it_provides() {
        let check = |name, expect| assert_eq!(is_provided(name), expect, "{name}");
        check("wasi:io/poll@0.2.0", true);
        check("wasi:io/poll@0.2.12", true);
        check("wasi:io/poll@0.3.0", false);
        check("wasi:io/poll@0.20.0", false);
        check("wasi:io/poll", false);
        check("wasi:http/types@0.2.0", false);
        check("walker:guest/run@0.1.0", true);
        check("walker:guest/run@0.1.0.1", false);
        check("walker:guest/run@0.2.0", false);
    }
}
