//! Modules: what may be published, which version runs, what stays when one is gone, and what is never made twice.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use walker_harness::{Client, Host, Options, module};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};

use crate::scene::{self, keys};

/// Other bytes that mean the same: a custom section, which both forms of WebAssembly may end with.
pub(crate) fn marked(mut code: Vec<u8>, mark: u8) -> Vec<u8> {
    code.extend([0, 3, 1, b'm', mark]);
    code
}

fn is_component(code: &[u8]) -> bool {
    code[4..8] == [0x0d, 0, 1, 0]
}

/// A core module as a component, made before it is sent.
fn encoded(code: &[u8]) -> Vec<u8> {
    let encoder = wit_component::ComponentEncoder::default().module(code).unwrap();
    let adapter = (WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER);
    encoder.adapter(adapter.0, adapter.1).unwrap().encode().unwrap()
}

/// The version of a module that a new invocation of `sample` runs.
async fn sample_version(client: &Client) -> Value {
    let view = client.run("sample", &json!({})).await;
    assert_eq!(view["schedule"]["status"], "completed", "{view}");
    view["run"]["module"]["version"].clone()
}

#[tokio::test]
async fn versions_come_and_go_at_once() {
    let options = Options { database_url: Some(scene::database().await), ..Options::default() };
    let host = Host::start(options.clone()).await;
    let other = Host::start(options).await;
    let client = &host.client;
    let seed = module("seed");
    let first = client.put_module("seed", seed.clone()).await.expect(201);
    assert_eq!(keys(&first), ["module", "status"]);
    let published = &first["module"];
    let mut members = keys(published);
    members.sort_unstable();
    assert_eq!(members, ["name", "version", "versions", "walkers"]);
    assert_eq!((&published["name"], &published["version"]), (&json!("seed"), &json!(1)));
    let walkers = published["walkers"].as_array().unwrap();
    let mut names: Vec<&str> = walkers.iter().map(|walker| walker["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    let expect =
        ["analyze_data", "check_processing", "process_large_dataset", "safe_process", "sample", "view_sample_result"];
    assert_eq!(names, expect);
    let sample = walkers.iter().find(|walker| walker["name"] == "sample").unwrap();
    assert_eq!(
        (&sample["async"], &sample["public"], &sample["enters"], &sample["doc"]),
        (&json!(true), &json!(false), &json!(["Root"]), &json!("Adds one and says so."))
    );
    let field = &sample["fields"][0];
    assert_eq!((&field["name"], &field["default"], &field["required"]), (&json!("value"), &json!(0), &json!(false)));
    assert_eq!((&field["schema"]["type"], &field["doc"]), (&json!("integer"), &json!("1 once it has run.")));

    let again = client.put_module("seed", seed.clone()).await.expect(200);
    assert_eq!(again["module"], *published, "the same bytes change nothing");
    assert_eq!(sample_version(client).await, 1);
    assert_eq!(sample_version(&other.client).await, 1);

    let second = client.put_module("seed", marked(seed.clone(), 2)).await.expect(201);
    assert_eq!(second["module"]["version"], 2);
    let versions = second["module"]["versions"].as_array().unwrap();
    assert_eq!(versions.iter().map(|version| &version["version"]).collect::<Vec<_>>(), [2, 1]);
    assert_ne!(versions[0]["sha256"], versions[1]["sha256"]);
    assert_eq!(sample_version(client).await, 2);
    for version in [1, 2, 1] {
        let answer = client.post("/modules/seed/activate", &json!({"version": version})).await.expect(200);
        assert_eq!(answer["module"]["version"], version);
        assert_eq!(client.get("/modules/seed").await.expect(200)["module"], answer["module"]);
        assert_eq!(sample_version(client).await, version);
        // The other host hears of it, long before it would look by itself.
        let changed = Instant::now();
        while sample_version(&other.client).await != version {
            assert!(changed.elapsed() < Duration::from_secs(10), "it heard of nothing");
        }
    }
    let listed = client.get("/modules").await.expect(200);
    assert_eq!(listed["modules"].as_array().unwrap().len(), 1);
    assert_eq!((&listed["modules"][0]["name"], &listed["cursor"]), (&json!("seed"), &Value::Null));
    other.stop().await;
    host.stop().await;
}

#[tokio::test]
async fn core_modules_and_components_are_both_taken() {
    let host = Host::start(Options { database_url: Some(scene::database().await), ..Options::default() }).await;
    let client = &host.client;
    let built = module("seed");
    // What `walker build` makes depends on the toolchain that it found.
    let forms = if is_component(&built) { vec![built] } else { vec![encoded(&built), built] };
    for (at, form) in forms.into_iter().enumerate() {
        client.put_module("seed", form).await.expect(201);
        assert_eq!(sample_version(client).await, at + 1);
        let view = client.run("process_large_dataset", &json!({})).await;
        assert_eq!(view["context"]["progress"], 100.0, "{view}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_deleted_module_leaves_its_results_behind() {
    let host = scene::host().await;
    let client = &host.client;
    let done = client.run("sample", &json!({})).await;
    let running = client.start("waits_for_save", &json!({"ms": 1000})).await;
    let delayed = client.post("/walker/echo_later?delay=1s", &json!({"value": 1})).await.expect(200);
    for name in ["seed", "faults"] {
        let answer = client.delete(&format!("/modules/{name}")).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
        client.get(&format!("/modules/{name}")).await.problem(404, "module.not_found");
        client.delete(&format!("/modules/{name}")).await.problem(404, "module.not_found");
    }
    for walker in ["sample", "echo", "waits_for_save"] {
        client.post(&format!("/walker/{walker}"), &json!({})).await.problem(404, "walker.not_found");
    }
    assert_eq!(client.get("/modules").await.expect(200)["modules"], json!([]));
    let id = done["id"].as_str().unwrap();
    assert_eq!(client.get(&format!("/walkers/{id}")).await.expect(200)["walker"], done);
    assert_eq!(client.printed(id).await, ["test"]);
    // What was accepted before still ends well.
    for id in [running.as_str(), delayed["walker_id"].as_str().unwrap()] {
        let view = client.ended(id).await;
        assert_eq!(view["schedule"]["status"], "completed", "{view}");
    }
    client.put_module("seed", module("seed")).await.expect(201);
    client.run("sample", &json!({})).await;
    host.stop().await;
}

#[tokio::test]
async fn what_cannot_run_is_refused_in_plain_words() {
    let host = scene::host().await;
    let client = &host.client;
    let seed = module("seed");
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let cases: [(&str, Vec<u8>, &str); 11] = [
        ("nothing", vec![], "empty"),
        ("text", b"fn main() {}".to_vec(), "text"),
        ("wat", b"(module)".to_vec(), "assemble"),
        ("zip", b"PK\x03\x04\x14\x00\x00\x00".to_vec(), "zip archive"),
        ("elf", std::fs::read(walker_harness::binary()).unwrap()[..4096].to_vec(), "Linux program"),
        ("truncated", seed[..seed.len() / 2].to_vec(), "not valid"),
        ("header", seed[..6].to_vec(), "cut short"),
        ("no_sdk", wat("(module (func (export \"run\")))"), "SDK"),
        ("threads", wat("(module (memory 1 1 shared))"), "threads"),
        ("memory64", wat("(module (memory i64 1))"), "memory64"),
        ("component", wat("(component)"), "does not export"),
    ];
    for (name, code, said) in cases {
        let problem = client.put_module(name, code).await.problem(422, "module.rejected");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{name}: {problem}");
        client.get(&format!("/modules/{name}")).await.problem(404, "module.not_found");
    }
    // Somebody else's names.
    let problem = client.put_module("copy", seed.clone()).await.problem(409, "walker.name_taken");
    assert!(problem["detail"].as_str().unwrap().contains("seed"), "{problem}");
    // A module that is there stays as it was.
    client.put_module("seed", b"junk".to_vec()).await.problem(422, "module.rejected");
    assert_eq!(sample_version(client).await, 1);
    host.stop().await;
}

/// The compiled modules that a host keeps.
fn kept(host: &Host) -> Vec<PathBuf> {
    let compiled = host.data_dir().join("compiled");
    let engine = std::fs::read_dir(&compiled).unwrap().next().unwrap().unwrap().path();
    std::fs::read_dir(engine).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn has_said(host: &Host, text: &str) -> bool {
    host.log().iter().any(|line| line.contains(text))
}

#[tokio::test]
async fn what_a_newer_host_took_in_or_changed_is_passed_over() {
    let newer = scene::host().await;
    let database_url = newer.options().database_url.clone();
    let connected = tokio_postgres::connect(database_url.as_ref().unwrap(), tokio_postgres::NoTls).await;
    let (client, connection) = connected.unwrap();
    tokio::spawn(connection);
    let add = "update module_versions set definitions = (
        select json_agg(jsonb_set(definition, '{settings}', definition->'settings' || '{\"colour\": {\"red\": 1}}'))
        from jsonb_array_elements(definitions::jsonb) definition)";
    assert!(client.execute(add, &[]).await.unwrap() > 0);
    let migrate = "insert into refinery_schema_history (version, name, applied_on, checksum)
        select version + 1, 'later', applied_on, '1' from refinery_schema_history order by version desc limit 1";
    assert_eq!(client.execute(migrate, &[]).await.unwrap(), 1);
    // This one has read none of them yet.
    let host = Host::start(Options { database_url, ..Options::default() }).await;
    assert!(has_said(&host, "a newer host has brought the schema to version"));
    let client = Client::new(&host.url, newer.client.token());
    let view = client.run("sample", &json!({})).await;
    assert_eq!(view["schedule"]["status"], "completed", "{view}");
    client.get("/modules").await.expect(200);
    host.stop().await;
    newer.stop().await;
}

#[tokio::test]
async fn nothing_is_compiled_twice_but_what_was_tampered_with() {
    const REFUSED: &str = "is not what this host wrote";
    let mut host = scene::host_with(Options { expected_log: vec![REFUSED], ..Options::default() }).await;
    host.client.run("sample", &json!({})).await;
    host.end().await;
    let files = kept(&host);
    assert_eq!(files.len(), 2);
    // What is written anew is another file; its time of modification is when it was last used.
    let look =
        || files.iter().map(|path| path.metadata().unwrap()).map(|about| (about.ino(), about.modified().unwrap()));
    let written: Vec<_> = look().collect();

    let mut host = host.restart().await;
    host.client.run("sample", &json!({})).await;
    host.client.post("/walker/echo", &json!({})).await.expect(200);
    assert!(!has_said(&host, "compiling a module") && !has_said(&host, REFUSED));
    for ((file, used), (written, long_ago)) in look().zip(written) {
        assert!(file == written && used > long_ago);
    }

    host.end().await;
    for path in &files {
        let mut bytes = std::fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let mut host = host.restart().await;
    host.client.run("sample", &json!({})).await;
    host.client.post("/walker/echo", &json!({})).await.expect(200);
    assert!(has_said(&host, "compiling a module") && has_said(&host, REFUSED));
    host.end().await;

    let host = host.restart().await;
    host.client.run("sample", &json!({})).await;
    assert!(!has_said(&host, "compiling a module") && !has_said(&host, REFUSED), "they were made anew and kept");
    host.stop().await;
}
