//! How much a module may hold of everything that costs when it is compiled: counted before anything else is done.
//!
//! Knows nothing of what is valid; a count is what the upload claims.

use serde::{Deserialize, Serialize};
use walker_model::UploadCost;
use wasmparser::{Operator, Parser, Payload};

use crate::componentize::Rejected;

/// The most that a module, with everything nested in it, may hold.
///
/// Each default leaves the largest guests known, CPython and SpiderMonkey as components, several times their need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// Imports and exports together.
    pub names: u64,
    /// Globals.
    pub globals: u64,
    /// Segments of data and of table elements together.
    pub segments: u64,
    /// Core modules. Python components have up to 200 shared libraries.
    pub core_modules: u64,
    /// Instances, of core modules and of components.
    pub instances: u64,
    /// How deep components may stand in components.
    pub nesting: u64,
    /// Bytes of one function's body: compiling takes more than twice the time for twice the size.
    pub function_bytes: u64,
    /// Local variables of one function. Programs that nobody optimised have some thousand.
    pub locals: u64,
    /// Targets of all jump tables (`br_table`) of one function. Interpreters have some hundred in each.
    pub jump_targets: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            names: 100_000,
            globals: 100_000,
            segments: 100_000,
            core_modules: 300,
            instances: 1_000,
            nesting: 16,
            function_bytes: 1 << 20,
            locals: 20_000,
            jump_targets: 50_000,
        }
    }
}

/// What has been counted so far.
#[derive(Default)]
struct Counted {
    functions: u64,
    types: u64,
    names: u64,
    globals: u64,
    segments: u64,
    core_modules: u64,
    instances: u64,
    nesting: u64,
}

impl Bounds {
    /// Counts what an upload holds: what counts as its cost is told, of which it may have at most so much.
    ///
    /// What cannot be parsed is passed over: the validator, which comes next, says it better.
    ///
    /// # Errors
    /// When there is too much of something, in words for the author.
    pub(crate) fn check(&self, most: &UploadCost, wasm: &[u8]) -> Result<UploadCost, Rejected> {
        let mut counted = Counted::default();
        for payload in Parser::new(0).parse_all(wasm) {
            let Ok(payload) = payload else { break };
            counted.add(&payload);
            if let Payload::CodeSectionEntry(body) = &payload {
                self.check_function(body)?;
            }
            counted.check(self, most)?;
        }
        Ok(UploadCost {
            module_bytes: wasm.len() as u64,
            module_functions: counted.functions,
            module_types: counted.types,
            compile_memory_bytes: 0,
            compile_ms: 0,
        })
    }

    fn check_function(&self, body: &wasmparser::FunctionBody<'_>) -> Result<(), Rejected> {
        let range = body.range();
        let whose = || format!("the function at byte {:#x}", range.start);
        within(range.len() as u64, self.function_bytes, whose, "bytes of code")?;
        let Ok(locals) = body.get_locals_reader() else { return Ok(()) };
        let locals = locals.into_iter().map_while(Result::ok).map(|(count, _)| u64::from(count)).sum();
        within(locals, self.locals, whose, "local variables")?;
        let Ok(operators) = body.get_operators_reader() else { return Ok(()) };
        // Each target takes a byte, so that few functions are long enough to be worth reading.
        if (range.len() as u64) < self.jump_targets {
            return Ok(());
        }
        let targets = operators.into_iter().map_while(Result::ok).map(|operator| match operator {
            // And the one for every other number.
            Operator::BrTable { targets } => u64::from(targets.len()) + 1,
            _ => 0,
        });
        within(targets.sum(), self.jump_targets, whose, "targets in its jump tables")
    }
}

impl Counted {
    fn add(&mut self, payload: &Payload<'_>) {
        match payload {
            Payload::TypeSection(section) => self.types += u64::from(section.count()),
            Payload::CoreTypeSection(section) => self.types += u64::from(section.count()),
            Payload::ComponentTypeSection(section) => self.types += u64::from(section.count()),
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            Payload::ComponentCanonicalSection(section) => self.functions += u64::from(section.count()),
            Payload::ImportSection(section) => self.names += u64::from(section.count()),
            Payload::ExportSection(section) => self.names += u64::from(section.count()),
            Payload::ComponentImportSection(section) => self.names += u64::from(section.count()),
            Payload::ComponentExportSection(section) => self.names += u64::from(section.count()),
            Payload::ComponentAliasSection(section) => self.names += u64::from(section.count()),
            Payload::GlobalSection(section) => self.globals += u64::from(section.count()),
            Payload::DataSection(section) => self.segments += u64::from(section.count()),
            Payload::ElementSection(section) => self.segments += u64::from(section.count()),
            Payload::ModuleSection { .. } => {
                self.core_modules += 1;
                self.nesting += 1;
            }
            Payload::InstanceSection(section) => self.instances += u64::from(section.count()),
            Payload::ComponentInstanceSection(section) => self.instances += u64::from(section.count()),
            Payload::ComponentSection { .. } => self.nesting += 1,
            Payload::End(_) => self.nesting = self.nesting.saturating_sub(1),
            _ => {}
        }
    }

    fn check(&self, bounds: &Bounds, most: &UploadCost) -> Result<(), Rejected> {
        let check = |count, most, what| within(count, most, || "the module".into(), what);
        let afford = |count, most, what| {
            let refusal = || format!("the module has {count} {what}; its limit (module_{what}) is {most}");
            if count <= most { Ok(()) } else { Err(Rejected::new(refusal())) }
        };
        afford(self.functions, most.module_functions, "functions")?;
        afford(self.types, most.module_types, "types")?;
        check(self.names, bounds.names, "imports and exports")?;
        check(self.globals, bounds.globals, "globals")?;
        check(self.segments, bounds.segments, "segments of data and table elements")?;
        check(self.core_modules, bounds.core_modules, "core modules")?;
        check(self.instances, bounds.instances, "instances")?;
        check(self.nesting, bounds.nesting, "components in components")
    }
}

fn within(count: u64, most: u64, whose: impl FnOnce() -> String, what: &str) -> Result<(), Rejected> {
    if count <= most {
        return Ok(());
    }
    Err(Rejected::new(format!("{} has {count} {what}; this host takes at most {most}", whose())))
}
