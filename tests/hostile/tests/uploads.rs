//! Uploads that are no module, half a module, or far too much of one.

use std::io::Write as _;

use futures::{StreamExt, stream};
use walker_harness::module;
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, Function, FunctionSection, Instruction, MemorySection, MemoryType,
    Module, TypeSection, ValType,
};

use crate::guest::guest;
use crate::scene;

#[tokio::test]
async fn half_a_module_is_none() {
    let host = scene::host_with("").await;
    let client = &host.client;
    for (form, whole) in [("a core module", module("seed")), ("a component", guest("whole").component())] {
        let cut = (0..64).map(|part| whole[..whole.len() * part / 64].to_vec());
        let answers =
            stream::iter(cut).map(|code| client.put_module("half", code)).buffered(4).collect::<Vec<_>>().await;
        for (part, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.status, 422, "{part}/64 of {form}: {}", answer.text);
            answer.problem(422, "module.rejected");
        }
    }
    client.get("/modules/half").await.problem(404, "module.not_found");
    scene::still_serves(client).await;
    host.stop().await;
}

/// A module with these functions, which take nothing and return nothing.
fn functions(bodies: impl IntoIterator<Item = Function>) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    for body in bodies {
        functions.function(0);
        code.function(&body);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    module.finish()
}

fn function(locals: &[(u32, ValType)], instructions: &[Instruction<'_>]) -> Function {
    let mut function = Function::new(locals.iter().copied());
    for instruction in instructions {
        function.instruction(instruction);
    }
    function.instruction(&Instruction::End);
    function
}

/// The walker's component, with a further core module in it that must be compiled like any other.
pub(crate) fn with_module(component: &[u8], core: &[u8]) -> Vec<u8> {
    let mut all = component.to_vec();
    all.push(1);
    leb128(&mut all, core.len());
    all.extend_from_slice(core);
    all
}

pub(crate) fn leb128(to: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        to.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

#[tokio::test]
async fn monsters_are_taken_or_refused_within_their_bounds() {
    let host = scene::host_with("").await;
    let client = &host.client;
    let nothing = function(&[], &[]);
    let table = |targets: usize| {
        [
            Instruction::Block(BlockType::Empty),
            Instruction::I32Const(0),
            Instruction::BrTable(vec![0; targets].into(), 0),
            Instruction::End,
        ]
    };
    let deep: Vec<_> = std::iter::repeat_n(Instruction::Block(BlockType::Empty), 100_000)
        .chain(std::iter::repeat_n(Instruction::End, 100_000))
        .collect();
    let giant = |pages: u64, bytes: usize| {
        let mut memory = MemorySection::new();
        memory.memory(MemoryType {
            minimum: pages,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut data = DataSection::new();
        data.active(0, &ConstExpr::i32_const(0), std::iter::repeat_n(7, bytes));
        let mut module = Module::new();
        module.section(&memory).section(&data);
        module.finish()
    };
    let locals = |count| function(&[(count, ValType::I32)], &[]);
    let jumps = |count| function(&[], &table(count));
    let monsters: [(&str, Vec<u8>, u16, &str); 11] = [
        ("a million functions", functions(std::iter::repeat_n(nothing, 1_000_000)), 422, "functions"),
        ("100,000 locals", functions([locals(100_000)]), 422, "100000 local variables"),
        ("four billion locals", functions([locals(u32::MAX)]), 422, "local variables"),
        ("one local too many", functions([locals(20_001)]), 422, "20001 local variables"),
        ("as many as allowed, in 100 functions", functions(std::iter::repeat_n(locals(20_000), 100)), 201, ""),
        ("a br_table of a million", functions([jumps(1_000_000)]), 422, "1000001 targets"),
        ("a br_table of two million", functions([jumps(2_000_000)]), 422, "bytes of code"),
        ("the largest br_table", functions([jumps(49_999)]), 201, ""),
        ("blocks 100,000 deep", functions([function(&[], &deep)]), 201, ""),
        ("30 MB of data", giant(500, 30 << 20), 201, ""),
        ("more data than memory", giant(1, 1 << 20), 201, ""),
    ];
    let polite = guest("polite").component();
    for (what, core, status, said) in monsters {
        // By itself it was not built for the contract, which is said only of what is valid.
        let answer = client.put_module("monster", core.clone()).await;
        assert_eq!(answer.status, 422, "{what}: {}", answer.text);
        answer.problem(422, "module.rejected");
        scene::still_serves(client).await;
        let answer = client.put_module("monster", with_module(&polite, &core)).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        if status == 422 {
            let problem = answer.problem(422, "module.rejected");
            assert!(problem["detail"].as_str().unwrap().contains(said), "{what}: {problem}");
        }
        scene::still_serves(client).await;
    }
    let too_large = vec![0; (64 << 20) + 1];
    client.put_module("monster", too_large).await.problem(413, "body.too_large");
    scene::still_serves(client).await;
    host.stop().await;
}

#[tokio::test]
async fn other_files_are_named_for_what_they_are() {
    let host = scene::host_with("").await;
    let client = &host.client;
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    let mut zip = Vec::new();
    zip.write_all(b"PK\x03\x04\x14\0\0\0\x08\0").unwrap();
    zip.extend_from_slice(&module("seed")[..1000]);
    let walker = std::fs::read(walker_harness::binary()).unwrap();
    for (what, code, said) in [
        ("zip", zip, "zip archive"),
        ("gzip", gzip.clone(), "gzip archive"),
        ("ELF", walker[..60 << 20].to_vec(), "Linux program"),
        ("text", b"fn main() {}".repeat(1000), "text"),
        ("HTML", b"<!doctype html><title>404</title>".to_vec(), "text"),
        ("wat", b"(module)".to_vec(), "assemble"),
        ("nothing", Vec::new(), "empty"),
        ("zeros", vec![0; 1 << 20], "some other binary"),
        ("only a header", b"\0asm\x01\0\0\0".to_vec(), "SDK"),
        ("a header and zeros", [b"\0asm\x01\0\0\0".to_vec(), vec![0; 1 << 20]].concat(), "not valid"),
        ("a version from the future", b"\0asm\xff\0\0\0".to_vec(), "version"),
    ] {
        scene::refuses(client, what, code, said).await;
    }
    // A few bytes could stand for any number of others: nothing is unpacked, not even what would be a module.
    for (path, method) in [("/modules/packed", "PUT"), ("/walker/sample", "POST"), ("/user/login", "POST")] {
        for encoding in ["gzip", "br", "zstd", "deflate", "gzip, gzip", "x"] {
            let request = client.request(method.parse().unwrap(), path).header("content-encoding", encoding);
            let answer = client.send(request.body(gzip.clone())).await;
            let problem = answer.problem(415, "body.encoded");
            assert!(problem["detail"].as_str().unwrap().contains("Content-Encoding"), "{problem}");
        }
    }
    scene::still_serves(client).await;
    host.stop().await;
}
