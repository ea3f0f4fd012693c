//! Loops without end, wherever a module's code runs.

use crate::guest::{Guest, SPIN, call, data, guest};
use crate::scene::{self, Attack};

/// Half a second of one core, rather than ten.
const CONFIG: &str = "[limits]\nfuel = 1000000000";

#[tokio::test]
async fn a_loop_ends_wherever_it_runs() {
    let host = scene::host_with(CONFIG).await;
    let client = &host.client;
    // Where the module is only being asked what it defines, it never gets in.
    for (what, guest) in [
        ("start", Guest { start: SPIN.into(), ..guest("loops_forever") }),
        ("describe", Guest { describe: SPIN.into(), ..guest("loops_forever") }),
    ] {
        scene::refuses(client, what, guest.core(), "used up its").await;
    }
    // The host allocates for what a call answers: here the problem with a report that is not JSON.
    let asks = data(4096, b"no JSON");
    let in_callback = "(if (i32.eq (i32.load8_u (i32.const 600)) (i32.const 1)) (then (loop br 0)))";
    let armed = format!("(i32.store8 (i32.const 600) (i32.const 1)) (drop {}) unreachable", call("report", 4096, 7));
    let polite = guest("loops_forever");
    for (what, guest) in [
        ("run", Guest { run: SPIN.into(), ..polite.clone() }),
        ("cabi_realloc", Guest { realloc: SPIN.into(), ..polite.clone() }),
        ("cabi_post", Guest { post: SPIN.into(), ..polite.clone() }),
        (
            "a callback of a host call",
            Guest { parts: asks, realloc: format!("{in_callback} {}", polite.realloc), run: armed, ..polite.clone() },
        ),
    ] {
        let guest = Guest { realloc: guest.realloc.replace("(local $at i32)", ""), ..guest };
        let guest = Guest { realloc: format!("(local $at i32) {}", guest.realloc), ..guest };
        scene::ends(client, Attack { what, guest, ends: Some(("limit.fuel", 500)), said: "used up its" }).await;
    }
    host.stop().await;
}

#[tokio::test]
async fn a_loop_on_every_slot_delays_nobody_else() {
    let host = scene::host_with("slots = 16").await;
    let client = &host.client;
    let neighbour = scene::neighbour(&host).await;
    let spinner = Guest { run: SPIN.into(), settings: r#"{"timeout_ms":4000}"#.into(), ..guest("loops_forever") };
    client.put_module("attack", spinner.core()).await.expect(201);
    let mut spinning = Vec::new();
    for _ in 0..12 {
        spinning.push(client.start("loops_forever", &serde_json::json!({})).await);
    }
    // Not one of them has ended, and the neighbour's walkers have.
    scene::still_serves(&neighbour).await;
    scene::still_serves(client).await;
    for id in spinning {
        let view = client.ended(&id).await;
        assert_eq!(view["run"]["failure"]["code"], "limit.time", "{view}");
        assert_eq!(view["schedule"]["http_status"], 504, "{view}");
    }
    host.stop().await;
}
