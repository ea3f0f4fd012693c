//! Debug information that takes its reader all the time it may: whoever reads the failed walkers gets an answer soon, and whoever
//! reads another tenant's does not stand behind them.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use walker_harness::Client;
use wasm_encoder::{CustomSection, Section as _};

use crate::guest::{Guest, guest};
use crate::scene;

/// Places where the bomb can trap. Each is looked for anew, for five seconds of processor time.
const PLACES: usize = 8;

#[tokio::test]
async fn nobody_waits_for_lines_that_take_long() {
    let host = scene::host_with("").await;
    let (client, neighbour) = (&host.client, scene::neighbour(&host).await);
    client.put_module("attack", bomb()).await.expect(201);
    let ids = join_all((0..PLACES).map(|place| {
        let fields = json!({"pad": "x".repeat(place)});
        async move { client.start("bomb", &fields).await }
    }));
    let ids = ids.await;
    let begun = Instant::now();
    for view in join_all(ids.iter().map(|id| client.ended(id))).await {
        assert_eq!(view["run"]["failure"]["code"], "guest.trap", "{view}");
        let backtrace = backtrace(&view);
        assert!(backtrace[0].contains("deep") && !backtrace.concat().contains(" at "), "{backtrace:?}");
    }
    let took = begun.elapsed();
    scene::say(&format!("{PLACES} backtraces without lines after {took:?}"));
    // Two seconds on an idle machine; one after another they would take forty.
    assert!(took < Duration::from_secs(20), "{took:?}");

    let begun = Instant::now();
    let id = neighbour.start("traps", &json!({})).await;
    while !resolved(&neighbour, &id).await {
        assert!(begun.elapsed() < Duration::from_secs(120), "the neighbour gets no lines: {:#?}", host.log());
    }
    let given_up = host.log().iter().filter(|line| line.contains("a backtrace stays without lines")).count();
    scene::say(&format!("the neighbour's lines after {:?}, {given_up} others given up before", begun.elapsed()));
    assert!(given_up < PLACES, "the neighbour stood behind all of the attacker's");
    host.stop().await;
}

fn backtrace(view: &Value) -> Vec<&str> {
    view["run"]["failure"]["backtrace"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}

/// Whether the backtrace has lines by now.
async fn resolved(client: &Client, id: &str) -> bool {
    let view = client.ended(id).await;
    backtrace(&view).iter().any(|line| line.contains("src/failing.rs:"))
}

/// Traps in a place that its fields' length chooses.
fn bomb() -> Vec<u8> {
    let labels: String = (0..PLACES).map(|place| format!("{place} ")).collect();
    let choose = format!("(br_table {labels} (i32.rem_u (local.get 0) (i32.const {PLACES})))");
    let places = (0..PLACES).fold(choose, |within, _| format!("(block {within}) unreachable"));
    let guest = Guest {
        field: Some(("pad", "{}".into())),
        parts: format!("(func $deep (param i32) {places})"),
        run: "(call $deep (local.get $fields-len)) unreachable".into(),
        ..guest("bomb")
    };
    let mut module = guest.core();
    for (name, data) in [(".debug_info", info()), (".debug_abbrev", abbreviations())] {
        CustomSection { name: name.into(), data: data.into() }.append_to(&mut module);
    }
    module
}

/// A unit, a function, and an inlined one: each with where it begins, how long it is, and what it comes from.
fn abbreviations() -> Vec<u8> {
    const RANGE: [u8; 4] = [0x11, 0x01, 0x12, 0x06];
    const ORIGIN: [u8; 2] = [0x31, 0x13];
    const END: [u8; 2] = [0, 0];
    let entry = |code: u8, tag: u8, more: &[u8]| [&[code, tag, 1], &RANGE[..], more, &END].concat();
    [entry(1, 0x11, &[]), entry(2, 0x2e, &ORIGIN), entry(3, 0x1d, &ORIGIN), vec![0]].concat()
}

/// One unit with one function that comes from itself, and in it one that is inlined, in that another, and so on.
fn info() -> Vec<u8> {
    const DEPTH: usize = 2_000_000;
    let everywhere = [0_u32.to_le_bytes(), 0x1000_0000_u32.to_le_bytes()].concat();
    let header = [&4_u16.to_le_bytes()[..], &0_u32.to_le_bytes(), &[4]].concat();
    let unit = [&[1], &everywhere[..]].concat();
    // The length comes before the header.
    let origin = (4 + header.len() + unit.len()) as u32;
    let function = [&[2], &everywhere[..], &origin.to_le_bytes()].concat();
    let inlined = [&[3], &everywhere[..], &origin.to_le_bytes()].concat().repeat(DEPTH);
    let all = [header, unit, function, inlined].concat();
    [&(all.len() as u32).to_le_bytes()[..], &all].concat()
}
