//! Limits and quotas: each one hit, told by its exact status, code and message; raised, lowered and shown.

use reqwest::Method;
use serde_json::{Value, json};
use walker_harness::{Answer, Client, Host, Options, module};

use crate::scene;

pub(crate) async fn patch(host: &Host, tenant: &str, quotas: Value) -> Answer {
    let operator = host.operator();
    let request = operator.request(Method::PATCH, &format!("/tenants/{tenant}")).json(&json!({"quotas": quotas}));
    operator.send(request).await
}

/// A walker that fails with exactly this, whether it is waited for or not.
#[track_caller]
fn failed(view: &Value, status: u16, code: &str, message: &str) {
    assert_eq!(view["schedule"]["status"], "failed", "{view}");
    assert_eq!(view["schedule"]["http_status"], status, "{view}");
    assert_eq!(view["run"]["failure"]["code"], code, "{view}");
    assert_eq!(view["schedule"]["error"], message, "{view}");
}

/// What a run used is below its limits, but for output, of which the rest was cut.
#[track_caller]
fn below_limits(view: &Value) {
    let (usage, limits) = (view["run"]["usage"].as_object().unwrap(), view["run"]["limits"].as_object().unwrap());
    for (name, used) in usage {
        if !name.starts_with("log_bytes") && name != "time_ms" {
            assert!(used.as_u64() <= limits[name].as_u64(), "{name}: {view}");
        }
    }
}

#[tokio::test]
async fn each_limit_is_told_by_name_and_number() {
    let host = scene::host().await;
    let client = &host.client;
    let use_less = |what: &str, name: &str| format!("{what}; use less, or have limit {name} raised");
    let before = client.run("sample", &json!({})).await;
    below_limits(&before);
    assert_eq!(before["run"]["usage"]["log_bytes"], 5, "{before}");

    for (quota, walker, fields, status, code, message) in [
        (json!({"fuel": 1_000_000}), "spins", json!({}), 500, "limit.fuel", "used up its 1000000 units of fuel"),
        (json!({"time_ms": 200}), "sleeps", json!({}), 504, "limit.time", "ran longer than its 200 ms"),
        (
            json!({"memory_bytes": 8 << 20}),
            "eats_memory",
            json!({}),
            507,
            "limit.memory",
            "needed more than its 8388608 bytes of memory",
        ),
        (json!({"reports": 5}), "floods_reports", json!({}), 507, "limit.output", "produced more than its 5 reports"),
        (
            json!({"report_bytes": 5000}),
            "floods_reports",
            json!({}),
            507,
            "limit.output",
            "produced more than its 5000 bytes of reports",
        ),
        (
            json!({"host_calls": 9}),
            "floods_reports",
            json!({}),
            500,
            "limit.calls",
            "asked the host more often than its 9 times",
        ),
        (
            json!({"host_call_bytes": 2000}),
            "floods_reports",
            json!({"bytes": 5000}),
            507,
            "limit.output",
            "passed more than 2000 bytes to the host in one call",
        ),
    ] {
        let (name, _) = quota.as_object().unwrap().iter().next().unwrap();
        patch(&host, "default", quota.clone()).await.expect(200);
        let view = client.run(walker, &fields).await;
        let told = view["schedule"]["error"].as_str().unwrap_or_default().split(" (panicked").next().unwrap();
        assert_eq!(told, use_less(message, name), "{view}");
        failed(&view, status, code, view["schedule"]["error"].as_str().unwrap());
        below_limits(&view);
        // What was given back counts at once, too.
        patch(&host, "default", json!({name.as_str(): null})).await.expect(200);
    }
    assert_eq!(client.run("sample", &json!({})).await["run"]["limits"], before["run"]["limits"]);

    // As deep as it goes anyway, and a little less; as many instances as its module consists of, and one less.
    let deep = json!({"depth": 8_000});
    for (name, walker, fields, code, message) in [
        ("stack_bytes", "overflows_stack", &deep, "limit.stack", "its calls nested too deeply and used up its "),
        ("core_instances", "sample", &json!({}), "limit.instances", "its module consists of "),
    ] {
        let free = client.run(walker, fields).await;
        assert_eq!(free["schedule"]["status"], "completed", "{free}");
        let used = free["run"]["usage"][name].as_u64().unwrap();
        assert!(used > 0, "{free}");
        for (allowed, ends) in [(used, "completed"), (used - 1, "failed")] {
            patch(&host, "default", json!({name: allowed})).await.expect(200);
            let view = client.run(walker, fields).await;
            assert_eq!((&view["schedule"]["status"], &view["run"]["limits"][name]), (&json!(ends), &json!(allowed)));
            if ends == "failed" {
                let told = view["schedule"]["error"].as_str().unwrap();
                assert!(told.starts_with(message) && told.contains(&allowed.to_string()), "{told}");
                failed(&view, 500, code, told);
            }
        }
        patch(&host, "default", json!({name: null})).await.expect(200);
    }

    // What is too large is refused where it is given.
    patch(&host, "default", json!({"fields_bytes": 30, "custom_bytes": 10})).await.expect(200);
    let long = json!({"value": "x".repeat(40)});
    let problem = client.post("/walker/echo", &long).await.problem(422, "fields.invalid");
    assert!(problem["detail"].as_str().unwrap().contains("at most 30"), "{problem}");
    let request = client.request(Method::POST, "/walker/echo").header("Walker-Custom", "\"0123456789\"");
    let problem = client.send(request).await.problem(422, "custom.too_large");
    assert_eq!(problem["detail"], "the custom value takes 12 bytes; its limit custom_bytes is 10");
    patch(&host, "default", json!({"fields_bytes": null})).await.expect(200);
    let problem =
        client.post("/walker/sets_status", &json!({"custom": "123456789"})).await.problem(507, "limit.output");
    let expect = use_less("produced more than its 10 bytes of custom value", "custom_bytes");
    assert_eq!(problem["detail"], expect);
    host.stop().await;
}

#[tokio::test]
async fn output_that_comes_too_fast_is_left_out_and_the_run_goes_on() {
    let host = scene::host().await;
    patch(&host, "default", json!({"log_bytes_per_second": 1000})).await.expect(200);
    let view = host.client.run("floods_log", &json!({"lines": 500, "bytes": 0})).await;
    assert_eq!(view["schedule"]["status"], "completed", "{view}");
    assert_eq!(view["run"]["usage"]["log_bytes"], 500, "{view}");
    let page = host.client.get(&format!("/walkers/{}/logs", view["id"].as_str().unwrap())).await.expect(200);
    let lines = page["logs"].as_array().unwrap();
    let markers: Vec<_> = lines.iter().filter(|line| line["stream"] == "host").collect();
    // Empty lines cost 64 bytes each: 15 go at once. A slow machine may let a few more through later.
    assert!(!markers.is_empty() && lines.len() < 400, "{page}");
    for marker in markers {
        let text = marker["text"].as_str().unwrap();
        assert!(text.starts_with("output cut: ") && text.contains("limit log_bytes_per_second, 1000,"), "{text}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_walkers_own_timeout_ends_it() {
    let host = scene::host().await;
    let view = host.client.run("dawdles", &json!({})).await;
    failed(&view, 504, "limit.time", "ran longer than its 300 ms; use less, or have limit time_ms raised");
    assert_eq!(view["run"]["limits"]["time_ms"], 300, "{view}");
    assert!(view["run"]["usage"]["time_ms"].as_u64() >= Some(300), "{view}");
    assert_eq!(
        (&view["context"]["stage"], &view["schedule"]["reports"]),
        (&json!("saved"), &json!(["before"])),
        "{view}"
    );
    host.stop().await;
}

#[tokio::test]
async fn spawning_ends_by_number_by_depth_and_by_the_tenants_walkers() {
    let host = scene::host().await;
    let client = &host.client;
    // A definition's own limits.
    let view = client.run("modest", &json!({})).await;
    let message = "a run may spawn 3 walkers; spawn fewer, or have limit spawns raised";
    assert_eq!(view["schedule"]["reports"], json!([{"spawned": 3, "code": "limit.spawns", "message": message}]));
    let limits = json!({
        "fuel": 1_000_000_000, "time_ms": 5_000, "memory_peak_bytes": 16 << 20, "table_elements": 10_000, "reports": 2,
        "report_bytes": 3 << 10, "fields_bytes": 4 << 10, "custom_bytes": 1 << 10, "log_bytes": 1 << 10,
        "log_bytes_per_second": 2 << 10, "host_calls": 50, "host_call_bytes": 64 << 10, "handles": 60, "spawns": 3,
        "spawn_depth": 4, "call_depth": 5, "stack_bytes": 512 << 10, "core_instances": 40,
    });
    assert_eq!(view["run"]["limits"], limits, "each is lowered: {view}");
    below_limits(&view);
    assert_eq!(view["run"]["usage"]["spawns"], 3, "{view}");

    // A cycle ends at its depth.
    patch(&host, "default", json!({"spawn_depth": 4})).await.expect(200);
    client.start("spawns_itself", &json!({})).await;
    let cycle = loop {
        let listed = client.get("/walkers?name=spawns_itself&status=completed").await.expect(200);
        let walkers = listed["walkers"].as_array().unwrap().clone();
        if walkers.len() >= 5 {
            break walkers;
        }
    };
    assert_eq!(cycle.len(), 5);
    for (depth, view) in cycle.iter().rev().enumerate() {
        assert_eq!(view["run"]["usage"]["spawn_depth"], depth, "{view}");
        let refused = &view["schedule"]["reports"][0]["refused"];
        assert_eq!(refused["code"], if depth == 4 { json!("limit.spawn_depth") } else { Value::Null }, "{view}");
    }
    let left = client.get("/walkers?name=spawns_itself&status=pending").await.expect(200);
    assert_eq!(left["walkers"], json!([]), "nothing is left of it");
    host.stop().await;
}

#[tokio::test]
async fn a_tenant_has_so_many_live_walkers() {
    let host = scene::host().await;
    let operator = host.operator();
    operator.post("/tenants", &json!({"name": "acme"})).await.expect(201);
    let key = json!({"name": "all", "scopes": ["deploy", "read", "invoke"]});
    let key = operator.post("/tenants/acme/keys", &key).await.expect(201);
    let other = host.client.with_token(key["key"].as_str());
    other.put_module("faults", module("faults")).await.expect(201);

    patch(&host, "default", json!({"live_walkers": 3})).await.expect(200);
    let client = &host.client;
    let later = async |client: &Client| client.post("/walker/echo_later?delay=1h", &json!({})).await;
    let running = client.start("sleeps", &json!({"ms": 3_000})).await;
    for _ in 0..2 {
        later(client).await.expect(200);
    }
    let refused = later(client).await;
    let problem = refused.problem(429, "quota.walkers");
    assert_eq!(refused.headers["retry-after"], "1");
    assert!(problem["detail"].as_str().unwrap().contains("may have 3 walkers"), "{problem}");
    client.post("/walker/echo", &json!({})).await.problem(429, "quota.walkers");
    later(&other).await.expect(200);

    // One place comes free when one ends; a guest that spawns hears the same as others.
    client.ended(&running).await;
    let starts = json!({"how": "Spawn", "walker": "echo_later"});
    loop {
        let answer = client.post("/walker/starts", &starts).await;
        if answer.status == 429 {
            continue;
        }
        assert_eq!(answer.expect(200)["reports"][0]["code"], "quota.walkers", "{}", answer.text);
        break;
    }
    // On another host, which counts what is stored.
    let second = Host::start(host.options().clone()).await;
    let there = second.client.with_token(client.token());
    // What the first one told of itself may be two seconds old, and hold what has ended since.
    while later(&there).await.status == 429 {}
    later(&there).await.problem(429, "quota.walkers");
    // Raised on one host, it counts there at once and on the other within 5 s.
    patch(&host, "default", json!({"live_walkers": 4})).await.expect(200);
    let began = std::time::Instant::now();
    while later(&there).await.status == 429 {}
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    second.stop().await;
    host.stop().await;
}

#[tokio::test]
async fn quotas_go_up_to_the_ceiling_and_concern_one_tenant() {
    let config = "[limits]\nfuel = 10_000_000\nreports = 100\n[ceiling]\nfuel = 1_000_000_000\n".to_owned();
    let host = scene::host_with(Options { config, ..Options::default() }).await;
    let operator = host.operator();
    let acme = operator.post("/tenants", &json!({"name": "acme"})).await.expect(201);
    assert_eq!((&acme["quotas"], &acme["limits"]["fuel"]), (&json!({}), &json!(10_000_000)));

    let set = patch(&host, "default", json!({"fuel": 1_000_000_000, "live_walkers": 9})).await.expect(200);
    assert_eq!(set["quotas"], json!({"fuel": 1_000_000_000, "live_walkers": 9}));
    assert_eq!((&set["limits"]["fuel"], &set["limits"]["reports"]), (&json!(1_000_000_000), &json!(100)));
    assert_eq!(operator.get("/tenants/default").await.expect(200), set);
    assert_eq!(operator.get("/tenants/acme").await.expect(200), acme, "another tenant's are as they were");
    let view = host.client.run("spins", &json!({})).await;
    failed(&view, 500, "limit.fuel", "used up its 1000000000 units of fuel; use less, or have limit fuel raised");

    let bad = json!({"fuel": 1_000_000_001, "feul": 1, "reports": -1, "log_bytes": "1", "nope": null});
    let problem = patch(&host, "default", bad).await.problem(422, "fields.invalid");
    let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/quotas/feul", "/quotas/fuel", "/quotas/log_bytes", "/quotas/nope", "/quotas/reports"]);
    assert_eq!(problem["errors"][1]["detail"], "is above the operator's ceiling of 1000000000");
    assert_eq!(operator.get("/tenants/default").await.expect(200), set, "all or nothing");
    patch(&host, "default", json!(7)).await.problem(422, "fields.invalid");
    patch(&host, "nobody", json!({"fuel": 1})).await.problem(404, "tenant.not_found");
    let request = host.client.request(Method::PATCH, "/tenants/default").json(&json!({"quotas": {"fuel": 1}}));
    host.client.send(request).await.problem(403, "token.wrong_kind");

    let merged = patch(&host, "default", json!({"fuel": null, "reports": 5})).await.expect(200);
    assert_eq!(merged["quotas"], json!({"live_walkers": 9, "reports": 5}));
    assert_eq!(merged["limits"]["fuel"], 10_000_000);
    host.stop().await;
}

#[tokio::test]
async fn all_runs_together_have_so_much_memory_and_no_tenant_all_of_it() {
    let config = "runs_memory_bytes = '48MiB'\n".to_owned();
    let host = scene::host_with(Options { config, ..Options::default() }).await;
    let client = &host.client;
    // Alone, a tenant gets two thirds.
    let view = client.run("eats_memory", &json!({"bytes": 34 << 20})).await;
    let message = "needed memory while the tenant's other runs held all that this host has for them; run it again, fewer at \
                   once, or have the host's runs_memory_bytes raised";
    failed(&view, 503, "quota.memory", message);
    assert_eq!(view["run"]["failure"]["retryable"], true, "{view}");
    below_limits(&view);
    // What it held is there again.
    for _ in 0..3 {
        let view = client.run("eats_memory", &json!({"bytes": 20 << 20})).await;
        assert_ne!(view["run"]["failure"]["code"], "quota.memory", "{view}");
    }
    let echo = client.run("echo_later", &json!({"value": 1})).await;
    assert_eq!(echo["schedule"]["status"], "completed", "{echo}");
    host.stop().await;
}

#[tokio::test]
async fn a_tenants_uploads_cost_no_more_than_it_may_have() {
    let config =
        "[limits]\nmodule_functions = 100\n[ceiling]\nmodule_functions = 50000\nmodule_bytes = \"8MiB\"".into();
    let host = Host::start(Options { config, ..Options::default() }).await;
    let (client, code) = (&host.client, module("seed"));
    // As for all, then raised for this one, up to the ceiling.
    let problem = client.put_module("seed", code.clone()).await.problem(422, "module.rejected");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(" functions; its limit (module_functions) is 100"), "{problem}");
    patch(&host, "default", json!({"module_functions": 50_001})).await.problem(422, "fields.invalid");
    let tenant = patch(&host, "default", json!({"module_functions": 50_000})).await.expect(200);
    assert_eq!(
        (&tenant["limits"]["module_functions"], &tenant["limits"]["module_bytes"]),
        (&json!(50_000), &json!(8 << 20))
    );
    for (quota, status, code_of, mention) in [
        (json!({"module_bytes": code.len() - 1}), 413, "body.too_large", "bytes"),
        (json!({"module_types": 3}), 422, "module.rejected", "its limit (module_types) is 3"),
        (
            json!({"compile_memory_bytes": 32 << 20}),
            422,
            "module.rejected",
            "32 MiB of memory, its limit (compile_memory_bytes)",
        ),
        (json!({"compile_ms": 0}), 422, "module.rejected", "0 seconds of processor time, its limit (compile_ms)"),
    ] {
        patch(&host, "default", quota.clone()).await.expect(200);
        let problem = client.put_module("seed", code.clone()).await.problem(status, code_of);
        assert!(problem["detail"].as_str().unwrap().contains(mention), "{problem}");
        let name = quota.as_object().unwrap().keys().next().unwrap();
        patch(&host, "default", json!({name: null})).await.expect(200);
    }
    let published = client.put_module("seed", code.clone()).await.expect(201);
    let cost = &published["module"]["versions"][0]["cost"];
    assert_eq!(cost["module_bytes"], code.len(), "{cost}");
    for (name, least) in
        [("module_functions", 100), ("module_types", 4), ("compile_memory_bytes", 8 << 20), ("compile_ms", 1)]
    {
        assert!(
            (least..tenant["limits"][name].as_u64().unwrap()).contains(&cost[name].as_u64().unwrap()),
            "{name}: {cost}"
        );
    }
    // What is published runs on, however little may come after it.
    patch(&host, "default", json!({"module_bytes": 0, "compile_ms": 0})).await.expect(200);
    let sample = host.client.run("sample", &json!({})).await;
    assert_eq!(sample["schedule"]["status"], "completed", "{sample}");
    host.stop().await;
}
