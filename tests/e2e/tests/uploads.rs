//! Uploads that are large, hostile or both: what they cost the host, and everybody else.

use std::time::{Duration, Instant};

use serde_json::json;
use walker_harness::{Client, Host, Options, module};

use crate::scene;

/// What an upload may cost the host, in KiB.
const MAX_GROWTH_KIB: u64 = 64 << 10;

/// A custom section of so many bytes, which any module may end with.
fn padding(bytes: usize) -> Vec<u8> {
    let mut section = vec![0];
    let mut length = bytes + 2;
    while length >= 0x80 {
        section.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    section.push(length as u8);
    section.extend([1, b'p']);
    section.resize(section.len() + bytes, 7);
    section
}

/// Asks for a small answer again and again while `what` goes on; the longest that one took.
async fn meanwhile<T>(client: &Client, what: impl Future<Output = T>) -> (T, Duration) {
    let mut slowest = Duration::ZERO;
    let asking = async {
        loop {
            let asked = Instant::now();
            client.get("/healthz").await.expect(200);
            slowest = slowest.max(asked.elapsed());
        }
    };
    let done = tokio::select! {
        done = what => done,
        () = asking => unreachable!("it asks forever"),
    };
    (done, slowest)
}

#[tokio::test]
async fn a_host_says_what_its_jail_is_made_of() {
    let host = scene::host().await;
    let said = |text: &str| host.log().iter().any(|line| line.contains(text));
    // In the background, so that it delays no start.
    let begun = Instant::now();
    while !said("modules are read in a jail") {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:#?}", host.log());
        host.client.get("/healthz").await.expect(200);
    }
    assert!(said("seccomp") && said("landlock"), "standing or missing: {:#?}", host.log());
    host.stop().await;
}

#[tokio::test]
async fn modules_take_turns_in_a_small_cache() {
    let database_url = Some(scene::database().await);
    // Less than either takes.
    let host =
        Host::start(Options { database_url, config: "module_cache_bytes = 1\n".into(), ..Options::default() }).await;
    publish_both_and_run_them(&host, 3).await;
    assert_eq!(compilations(&host), 0, "loaded from the disk, not compiled");
    host.stop().await;
}

#[tokio::test]
async fn modules_run_that_the_disk_has_no_room_for() {
    // In memory, as they were admitted; and with no room there, either: compiled again and again.
    for (config, expect) in [("", 0..=0), ("module_cache_bytes = 1\n", 1..=usize::MAX)] {
        let database_url = Some(scene::database().await);
        let config = format!("module_disk_bytes = 1\n{config}");
        let host = Host::start(Options { database_url, config, ..Options::default() }).await;
        publish_both_and_run_them(&host, 2).await;
        let count = compilations(&host);
        assert!(expect.contains(&count), "{count} compiled again, expected {expect:?}");
        host.stop().await;
    }
}

async fn publish_both_and_run_them(host: &Host, times: usize) {
    for name in ["seed", "faults"] {
        host.client.put_module(name, module(name)).await.expect(201);
    }
    for _ in 0..times {
        for walker in ["sample", "echo_later"] {
            let view = host.client.run(walker, &json!({})).await;
            assert_eq!(view["schedule"]["status"], "completed", "{view}");
        }
    }
}

fn compilations(host: &Host) -> usize {
    host.log().iter().filter(|line| line.contains("compiling a module")).count()
}

#[tokio::test]
async fn a_hostile_module_costs_the_host_nothing() {
    let config = "[limits]\ncompile_ms = \"3s\"\ncompile_memory_bytes = 800_000_000\n".to_owned();
    let options = Options { database_url: Some(scene::database().await), config, ..Options::default() };
    let host = Host::start(options).await;
    let client = &host.client;
    client.put_module("seed", module("seed")).await.expect(201);

    let mut cut = module("seed");
    cut.truncate(cut.len() - 10);
    cut.extend(padding(60 << 20));
    // Code that takes longer to compile than is allowed, and is larger compiled than it was.
    let body = "(local.set 0 (i32.load (local.get 0)))".repeat(300);
    let functions = format!("(func (param i32) (result i32) {body} (local.get 0))").repeat(10_000);
    let slow = wat::parse_str(format!("(component (core module (memory 1) {functions}))")).unwrap();
    let cases: [(&str, Vec<u8>, u16, &str); 4] = [
        ("zeros", vec![0; 60 << 20], 422, "not WebAssembly"),
        ("cut", cut, 422, "not valid"),
        ("slow", slow, 422, "compiling took more than"),
        ("padded", [module("faults"), padding(60 << 20)].concat(), 201, ""),
    ];
    for (name, code, status, said) in cases {
        host.peak_kib();
        let before = host.peak_kib();
        let (begun, size) = (Instant::now(), code.len());
        let (answer, slowest) = meanwhile(client, client.put_module(name, code)).await;
        let took = begun.elapsed();
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
        assert!(answer.text.contains(said), "{name}: {}", answer.text);
        let grown = host.peak_kib().saturating_sub(before);
        let seen = format!("{name}: {size} bytes, {took:?}; grown by {grown} KiB, slowest answer {slowest:?}");
        assert!(grown <= MAX_GROWTH_KIB, "the host itself grew: {seen}");
    }
    // What was stored a piece at a time is read a piece at a time, and is what it was.
    let view = client.run("echo_later", &json!({})).await;
    assert_eq!(view["schedule"]["status"], "completed", "{view}");
    host.stop().await;
}
