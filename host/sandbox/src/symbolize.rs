//! Where in the author's source a frame is: from the DWARF that the module carries, in the jailed child.
//!
//! Knows nothing of runs; all it gets is the upload and the frames.

use std::borrow::Cow;
use std::collections::HashMap;

use addr2line::gimli::{self, EndianSlice, LittleEndian};
use serde::{Deserialize, Serialize};
use walker_model::{Frame, UploadCost};
use wasmparser::{Parser, Payload};

use crate::Bounds;
use crate::componentize::{self, Rejected};
use crate::failure::{demangle, readable};

/// A place in a source file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLine {
    /// The function, demangled; `None` where its name is not known.
    pub function: Option<String>,
    /// The file, as the compiler saw it.
    pub file: String,
    /// The line, counted from 1; 0 where there is none.
    pub line: u32,
    /// The functions that this one was inlined into, innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inlined_into: Vec<SourceLine>,
}

/// How many inlined functions are told for one frame.
const MAX_INLINED: usize = 32;

/// The source line of each frame, where the module's debug information knows it.
///
/// # Errors
/// When the upload is no module.
pub(crate) fn resolve(
    wasm: &[u8],
    bounds: &Bounds,
    most: &UploadCost,
    frames: &[Frame],
) -> Result<Vec<Option<SourceLine>>, Rejected> {
    let (component, _) = componentize::component(wasm, bounds, most)?;
    let layout = componentize::layout(&component)?;
    let mut modules = HashMap::new();
    let lines = frames.iter().map(|frame| {
        let range = layout.get(frame.module as usize)?;
        let core = component.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)?;
        let module = modules.entry(frame.module).or_insert_with(|| Debug::read(core)).as_ref()?;
        module.line(frame.offset?)
    });
    Ok(lines.collect())
}

/// The same for one core module and places in it.
pub(crate) fn lines(core: &[u8], offsets: &[u64]) -> Vec<Option<SourceLine>> {
    let module = Debug::read(core);
    offsets.iter().map(|offset| module.as_ref()?.line(*offset)).collect()
}

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// The debug information of one core module.
struct Debug<'a> {
    code_start: u64,
    context: addr2line::Context<Slice<'a>>,
}

impl<'a> Debug<'a> {
    fn read(core: &'a [u8]) -> Option<Self> {
        let mut code_start = None;
        let mut sections: HashMap<&str, &[u8]> = HashMap::new();
        for payload in Parser::new(0).parse_all(core) {
            match payload.ok()? {
                Payload::CodeSectionStart { range, .. } => code_start = Some(range.start as u64),
                Payload::CustomSection(section) if section.name().starts_with(".debug_") => {
                    sections.insert(section.name(), section.data());
                }
                _ => {}
            }
        }
        let section = |id: gimli::SectionId| {
            Ok::<_, gimli::Error>(Slice::new(sections.get(id.name()).copied().unwrap_or_default(), LittleEndian))
        };
        let dwarf = gimli::Dwarf::load(section).ok()?;
        Some(Self { code_start: code_start?, context: addr2line::Context::from_dwarf(dwarf).ok()? })
    }

    /// DWARF counts from the start of the code section's contents.
    fn line(&self, offset: u64) -> Option<SourceLine> {
        let address = offset.checked_sub(self.code_start)?;
        let mut frames = self.context.find_frames(address).skip_all_loads().ok()?;
        let mut lines = Vec::new();
        while let (true, Ok(Some(frame))) = (lines.len() <= MAX_INLINED, frames.next()) {
            let Some(location) = frame.location else { continue };
            lines.push(SourceLine {
                function: frame
                    .function
                    .and_then(|name| name.raw_name().ok().map(|name: Cow<'_, str>| demangle(&name))),
                file: readable(location.file.unwrap_or("<unknown>")),
                line: location.line.unwrap_or(0),
                inlined_into: Vec::new(),
            });
        }
        let mut lines = lines.into_iter();
        let innermost = lines.next()?;
        Some(SourceLine { inlined_into: lines.collect(), ..innermost })
    }
}
