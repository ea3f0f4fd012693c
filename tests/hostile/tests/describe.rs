//! Descriptions that lie, grow, loop or differ: none gets in.

use crate::guest::{DESCRIPTION, Guest, call, data, guest};
use crate::scene;

#[tokio::test]
async fn a_description_is_not_believed() {
    let host = scene::host_with("").await;
    let client = &host.client;
    // Four letters of sixteen each: with one, two answers were the same in one run of sixteen.
    let random = format!(
        "(drop (call $random (i32.const 65536) (i32.const 4)))
         (i32.store (i32.const 65536)
             (i32.add (i32.and (i32.load (i32.const 65536)) (i32.const 0x0f0f0f0f)) (i32.const 0x41414141)))
         {DESCRIPTION}"
    );
    let huge = |bytes: usize| vec![b'n'; bytes];
    let polite = guest("attack");
    let describe = |text: &str| Guest { describe: format!("{text} {DESCRIPTION}"), ..polite.clone() };
    // The answer's first word is where the list stands, the second how long it is.
    let list = |at: u32, length: u32| {
        describe(&format!("(i32.store (i32.const 0) (i32.const {at})) (i32.store (i32.const 4) (i32.const {length}))"))
    };
    for (what, guest, said) in [
        ("another answer each time", Guest { describe: random, ..polite.clone() }, "differently each time"),
        ("a report", describe(&format!("(drop {})", call("report", 2048, 2))), "run.report"),
        ("a save", describe(&format!("(drop {})", call("save", 2048, 2))), "run.save"),
        ("a look at a walker", describe(&format!("(drop {})", call("read", 2048, 2))), "walkers.read"),
        ("a spawn", describe(&format!("(drop {})", call("spawn", 2048, 2))), "walkers.spawn"),
        ("a trap", describe("unreachable"), "cannot describe"),
        (
            "all memory",
            describe("(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable"),
            "memory",
        ),
        ("a list outside memory", list(0x7fff_0000, 1), "cannot describe"),
        ("a list out of line", list(9, 1), "cannot describe"),
        ("a list without end", list(8, u32::MAX), "cannot describe"),
        ("a long list of the same", list(8, 100_000), ""),
        ("no walkers", list(8, 0), "no walkers"),
        ("a huge name", Guest { name: huge(1 << 20), ..polite.clone() }, "cannot name a walker"),
        ("a name one too long", Guest { name: huge(65), ..polite.clone() }, "cannot name a walker"),
        ("no name", Guest { name: Vec::new(), ..polite.clone() }, "cannot name a walker"),
        ("a name that is not text", Guest { name: vec![0xff, 0xfe], ..polite.clone() }, "utf-8"),
        ("a name with NUL", Guest { name: b"a\0b".to_vec(), ..polite.clone() }, "cannot name a walker"),
        ("a name in other letters", Guest { name: "прогулка".into(), ..polite.clone() }, "cannot name a walker"),
        ("a huge type of node", Guest { enters: huge(1 << 20), ..polite.clone() }, "cannot name a node type"),
        ("a type that is not text", Guest { enters: vec![0xc0, 0x80], ..polite.clone() }, "utf-8"),
        ("settings that are not JSON", Guest { settings: "{".into(), ..polite.clone() }, "settings"),
        ("settings nobody knows", Guest { settings: r#"{"root":true}"#.into(), ..polite.clone() }, "settings"),
        ("deep settings", Guest { settings: "[".repeat(100_000), ..polite.clone() }, "settings"),
        ("a schema that is no JSON", Guest { field: Some(("value", "{".into())), ..polite.clone() }, "schema"),
        ("a schema that is no schema", Guest { field: Some(("value", "[]".into())), ..polite.clone() }, "schema"),
        (
            "a deep schema",
            Guest {
                field: Some(("value", format!("{}true{}", r#"{"not":"#.repeat(5000), "}".repeat(5000)))),
                ..polite.clone()
            },
            "deep",
        ),
        (
            "a field that cannot be named",
            Guest { field: Some(("a b", "true".into())), ..polite.clone() },
            "cannot name a field",
        ),
    ] {
        scene::refuses(client, what, guest.core(), said).await;
    }
    // Even a name as long as all that may cross.
    scene::refuses(client, "an enormous name", Guest { name: huge(16 << 20), ..polite.clone() }.core(), "").await;
    // Whatever a message holds, it is told as text.
    let shouts = Guest {
        parts: data(4096, b"\x1b[2J\0<script>"),
        describe:
            "(call $panicked (i32.const 4096) (i32.const 13) (i32.const 2048) (i32.const 2) (i32.const 1)) unreachable"
                .into(),
        ..polite.clone()
    };
    scene::refuses(client, "a panic", shouts.core(), "cannot describe").await;
    host.stop().await;
}
