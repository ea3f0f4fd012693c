//! Debug information made to hurt its reader: costs a backtrace its lines, and nothing else.

use std::time::{Duration, Instant};

use bytes::Bytes;
use walker_model::{Code, Limits, UploadCost};
use walker_sandbox::{JailLimits, Stop};

use crate::Test;
use crate::guest::core;
use crate::world::{RUNTIME, SANDBOX, World, file, jail, job, load};

pub(crate) const TESTS: &[Test] = &[("costs_a_backtrace_its_lines_at_most", costs_a_backtrace_its_lines_at_most)];

const DW_TAG_LEXICAL_BLOCK: u8 = 0x0b;
const DW_TAG_COMPILE_UNIT: u8 = 0x11;
const DW_TAG_INLINED_SUBROUTINE: u8 = 0x1d;
const DW_TAG_SUBPROGRAM: u8 = 0x2e;
const CHILDREN: u8 = 1;
const DW_AT_STMT_LIST: u8 = 0x10;
const DW_AT_LOW_PC: u8 = 0x11;
const DW_AT_HIGH_PC: u8 = 0x12;
const DW_AT_ABSTRACT_ORIGIN: u8 = 0x31;
const DW_FORM_ADDR: u8 = 0x01;
const DW_FORM_DATA4: u8 = 0x06;
const DW_FORM_REF4: u8 = 0x13;
const DW_FORM_SEC_OFFSET: u8 = 0x17;

fn costs_a_backtrace_its_lines_at_most() {
    let plain = core("(func $deep unreachable)", "(call $deep) (i32.const 0)");
    let module = load(plain.clone());
    let outcome = SANDBOX.run(&module, job(Limits::default()), World::saving(), Stop::default());
    let failure = RUNTIME.block_on(outcome).unwrap().failure().unwrap().clone();
    assert_eq!(failure.code, Code::GuestTrap);
    assert_eq!(failure.frames[0].function.as_deref(), Some("deep"));

    let check = |what: &str, sections: &[(&str, Vec<u8>)]| {
        let module = with_sections(&plain, sections);
        let begun = Instant::now();
        let lines = RUNTIME
            .block_on(jail(JailLimits::default(), UploadCost::DEFAULT).symbolize(&file(&module), &failure.frames));
        let took = begun.elapsed();
        // 5 s of processor time and 10 s in all, and a machine that is busy with other tests.
        assert!(took < Duration::from_secs(30), "{what}: {took:?}, {lines:?}");
    };
    let noise: Vec<u8> = (0..1_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    check("noise", &[(".debug_info", noise.clone()), (".debug_abbrev", noise.clone()), (".debug_line", noise.clone())]);
    check("many rows", &[info(&[]), abbreviations(&[]), line_program(40 << 20)]);
    check("deep nesting", &[info(&[3; 20 << 20]), abbreviations(&[]), line_program(10)]);
    check("a long table of abbreviations", &[info(&[]), abbreviations(&noise.repeat(20)), line_program(10)]);
    let endless: Vec<u8> = (0..500_000).flat_map(|_| inlined(FIRST_CHILD)).collect();
    check("functions inlined into themselves", &[info(&endless), abbreviations(&[]), line_program(10)]);
    check("lengths beyond the end", &[(".debug_info", vec![0xff; 100]), (".debug_line", vec![0xff; 100])]);
}

fn with_sections(module: &Bytes, sections: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let leb = |mut number: usize| {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    let mut module = module.to_vec();
    for (name, contents) in sections {
        module.push(0);
        module.extend(leb(1 + name.len() + contents.len()));
        module.extend(leb(name.len()));
        module.extend(name.as_bytes());
        module.extend(contents);
    }
    module
}

/// Four kinds of entries, then whatever else.
fn abbreviations(more: &[u8]) -> (&'static str, Vec<u8>) {
    let range = [DW_AT_LOW_PC, DW_FORM_ADDR, DW_AT_HIGH_PC, DW_FORM_DATA4];
    let end = [0, 0];
    let origin = [DW_AT_ABSTRACT_ORIGIN, DW_FORM_REF4];
    let table = [
        &[1, DW_TAG_COMPILE_UNIT, CHILDREN][..],
        &range,
        &[DW_AT_STMT_LIST, DW_FORM_SEC_OFFSET],
        &end,
        &[2, DW_TAG_SUBPROGRAM, CHILDREN],
        &range,
        &origin,
        &end,
        &[3, DW_TAG_LEXICAL_BLOCK, CHILDREN],
        &end,
        &[4, DW_TAG_INLINED_SUBROUTINE, CHILDREN],
        &range,
        &origin,
        &end,
        more,
        &[0],
    ];
    (".debug_abbrev", table.concat())
}

/// Where, in its unit, the first entry below the unit's own begins.
const FIRST_CHILD: u32 = 11 + 1 + 4 + 4 + 4;
const EVERYWHERE: u32 = 0x1000_0000;

fn inlined(origin: u32) -> Vec<u8> {
    [&[4][..], &0_u32.to_le_bytes(), &EVERYWHERE.to_le_bytes(), &origin.to_le_bytes()].concat()
}

/// One unit with one function, both of them everywhere, and `entries` within.
fn info(entries: &[u8]) -> (&'static str, Vec<u8>) {
    let unit = [
        &4_u16.to_le_bytes()[..],
        &0_u32.to_le_bytes(),
        &[4],
        // The unit: from, length, line program.
        &[1],
        &0_u32.to_le_bytes(),
        &EVERYWHERE.to_le_bytes(),
        &0_u32.to_le_bytes(),
        // The function: from, length, and itself as what it comes from.
        &[2],
        &0_u32.to_le_bytes(),
        &EVERYWHERE.to_le_bytes(),
        &FIRST_CHILD.to_le_bytes(),
        entries,
    ]
    .concat();
    (".debug_info", [&(unit.len() as u32).to_le_bytes()[..], &unit].concat())
}

/// A program whose every byte makes a row.
fn line_program(rows: usize) -> (&'static str, Vec<u8>) {
    let opcodes = [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
    let after = [&[1, 1, 1, 0xfb, 14, 13][..], &opcodes, &[0], b"a.rs\0\0\0\0", &[0]].concat();
    let program = [&[0, 5, 2, 0, 0, 0, 0][..], &vec![0x21; rows], &[0, 1, 1]].concat();
    let header = [&4_u16.to_le_bytes()[..], &(after.len() as u32).to_le_bytes(), &after].concat();
    let length = (header.len() + program.len()) as u32;
    (".debug_line", [&length.to_le_bytes()[..], &header, &program].concat())
}
