//! The command line as a person and as a script use it: what it prints where, and how it ends.

use std::path::Path;

use serde_json::{Value, json};
use tokio::process::Command;
use walker_harness::{Host, Options, command, repository};

use crate::scene;

/// What a command did.
struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Done {
    /// Its data, from a command that must have ended well and without a word.
    #[track_caller]
    fn data(&self) -> &str {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        &self.stdout
    }

    /// The same as JSON.
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(self.data()).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// What it said, from a command that must have failed with this exit code and without data.
    #[track_caller]
    fn error(&self, code: i32) -> &str {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        &self.stderr
    }
}

async fn done(command: &mut Command) -> Done {
    let output = command.output().await.unwrap();
    Done {
        code: output.status.code().expect("it ends by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn walker(host: &Host, args: &[&str]) -> Done {
    done(host.command().args(args)).await
}

/// The file of an example module.
fn wasm(name: &str) -> String {
    repository().join(format!("walkers/target/walkers/{name}.wasm")).to_str().unwrap().to_owned()
}

#[tokio::test]
async fn publishes_invokes_and_reads_back() {
    let host = Host::start(Options { database_url: Some(scene::database().await), ..Options::default() }).await;
    let seed = wasm("seed");
    let pushed = walker(&host, &["push", &seed]).await;
    let lines: Vec<&str> = pushed.data().lines().collect();
    assert_eq!(lines[0], "seed version 1");
    assert!(lines.contains(&"  async sample(value: integer = 0)"), "{lines:#?}");
    assert!(lines.contains(&"  view_sample_result(walker_id: string)"), "{lines:#?}");
    assert_eq!(walker(&host, &["push", &seed]).await.data().lines().next(), Some("seed version 1 (unchanged)"));
    let pushed = walker(&host, &["push", &wasm("faults"), "--name", "other", "-o", "json"]).await.json();
    assert_eq!((&pushed["module"]["name"], &pushed["module"]["version"]), (&json!("other"), &json!(1)));

    let started = walker(&host, &["run", "sample"]).await;
    let id = started.data().strip_suffix('\n').unwrap();
    let view = host.client.ended(id).await;
    assert_eq!(view["context"], json!({"value": 1}));
    let shown = walker(&host, &["get", id]).await;
    for line in [&format!("id          {id}"), "status      completed", "context     {\"value\":1}"] {
        assert!(shown.data().lines().any(|shown| shown == line), "{line}: {}", shown.stdout);
    }
    assert_eq!(walker(&host, &["get", id, "-o", "json"]).await.json()["walker"], view);
    assert_eq!(walker(&host, &["logs", id]).await.data(), "test\n");
    let line = walker(&host, &["logs", id, "-o", "json"]).await.json();
    assert_eq!((&line["seq"], &line["text"]), (&json!(1), &json!("test")));

    let accepted = walker(&host, &["run", "sample", "-o", "json"]).await.json();
    assert_eq!(accepted["status"], 200);
    let waited = walker(&host, &["run", "sample", "{\"value\": 5}", "--wait", "-o", "json"]).await.json();
    assert_eq!(waited["walker"]["schedule"]["status"], "completed");
    assert!(walker(&host, &["run", "sample", "--wait"]).await.data().contains("status      completed"));
    assert_eq!(walker(&host, &["run", "echo", "{\"value\": [1.5]}"]).await.data(), "[1.5]\n");
    let root = scene::root(&host).await;
    walker(&host, &["run", "sample", "--node", &root]).await.data();

    // What it prints goes where it does not mix with data.
    let followed = walker(&host, &["run", "waits_for_save", "{\"ms\": 100}", "--follow", "-o", "json"]).await;
    assert_eq!(followed.code, 0, "{}", followed.stderr);
    let view: Value = serde_json::from_str(&followed.stdout).unwrap();
    assert_eq!(view["walker"]["context"]["step"], 2);
    let followed = walker(&host, &["run", "sample", "--follow"]).await;
    assert!(followed.stderr.contains("\ntest\n") && !followed.stdout.contains("test"), "{}", followed.stderr);
    host.stop().await;
}

#[tokio::test]
async fn lists_page_by_page_and_filtered() {
    let host = scene::host().await;
    let empty = json!({});
    let samples = futures::future::join_all((0..105).map(|_| host.client.start("sample", &empty))).await;
    for id in &samples {
        host.client.ended(id).await;
    }
    host.client.run("returns_error", &json!({"message": "no luck"})).await;
    let ids = async |args: &[&str]| -> Vec<String> {
        let listed = walker(&host, &[&["ls", "-o", "json"], args].concat()).await.json();
        listed.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    // More than one page of the host's.
    let mut all = ids(&["--limit", "1000"]).await;
    assert_eq!(all.len(), 106);
    assert!(all[0].starts_with("w:returns_error:"), "newest first");
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 106);
    assert_eq!(ids(&["--limit", "103"]).await.len(), 103);
    assert_eq!(ids(&[]).await.len(), 20);
    assert_eq!(ids(&["--name", "sample", "--limit", "200"]).await.len(), 105);
    assert_eq!(ids(&["--status", "failed"]).await.len(), 1);
    let table = walker(&host, &["ls", "--status", "failed"]).await;
    let lines: Vec<&str> = table.data().lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("ID ") && lines[1].ends_with("no luck"), "{lines:#?}");
    assert_eq!(walker(&host, &["ls", "--name", "nobody", "-o", "json"]).await.json(), json!([]));
    host.stop().await;
}

#[tokio::test]
async fn ends_with_a_code_and_a_sentence_that_say_what_was_wrong() {
    let host = scene::host().await;
    // The walker ended badly: 3, with its result where it has one.
    let failed = walker(&host, &["run", "returns_error", "{\"message\": \"no luck\"}", "--wait"]).await;
    assert_eq!((failed.code, failed.stderr.as_str()), (3, ""));
    for part in ["status      failed", "error       no luck", "code        guest.error"] {
        assert!(failed.stdout.contains(part), "{}", failed.stdout);
    }
    let id = failed.stdout.lines().next().unwrap().split_whitespace().nth(1).unwrap();
    assert_eq!(walker(&host, &["get", id]).await.data(), failed.stdout, "reading about a failure is not one");
    let nobody = "w:sample:550e8400-e29b-41d4-a716-446655440000";
    let reads = format!("{{\"walker_id\": \"{nobody}\"}}");
    assert!(walker(&host, &["run", "reads", &reads]).await.error(3).contains("there is no walker"));
    let trapped = walker(&host, &["run", "traps", "--wait"]).await;
    assert_eq!(trapped.code, 3);
    assert!(trapped.stdout.contains("walks_into_a_trap"), "{}", trapped.stdout);

    for (args, code, said) in [
        (vec!["run", "nobody"], 1, vec!["there is no walker called \"nobody\"", "walker.not_found"]),
        (vec!["run", "sample", "{\"value\": \"x\"}"], 1, vec!["fields.invalid", "/value: "]),
        (vec!["run", "sample", "{\"valu\": 1, \"x\": 2}"], 1, vec!["/valu: ", "/x: ", "it has value"]),
        (vec!["get", nobody], 1, vec!["walker.not_found"]),
        (vec!["logs", nobody], 1, vec!["walker.not_found"]),
        (vec!["push", "missing.wasm"], 1, vec!["could not read missing.wasm"]),
        (vec!["push", "walker.toml", "--name", "text"], 1, vec!["module.rejected"]),
        (vec!["run", "waits_for_save", "{\"ms\": 2000}", "--wait", "10ms"], 1, vec!["walker get w:waits_for_save:"]),
        (vec!["--token", "wk_wrong", "ls"], 1, vec!["token.invalid", "--token"]),
        (vec!["--url", "http://127.0.0.1:1", "ls"], 1, vec!["nobody listens at http://127.0.0.1:1"]),
        (vec!["--url", "nonsense", "ls"], 1, vec!["not a URL"]),
        (vec!["run", "sample", "{"], 2, vec!["not JSON"]),
        (vec!["run", "sample", "[]"], 2, vec!["JSON object"]),
        (vec!["run", "no name"], 2, vec!["cannot be a walker's name"]),
        (vec!["run", "sample", "--wait", "soon"], 2, vec!["--wait"]),
        (vec!["get", "sample"], 2, vec!["sample"]),
        (vec!["ls", "--limit", "0"], 2, vec!["--limit"]),
        (vec!["ls", "--status", "done"], 2, vec!["--status"]),
        (vec!["frobnicate"], 2, vec!["frobnicate"]),
        (vec!["new", "No-Name"], 2, vec!["cannot name a walker"]),
        (vec!["build", "--path", "missing"], 2, vec!["there is no folder missing"]),
        (vec!["build"], 2, vec!["walker new"]),
    ] {
        let ended = walker(&host, &args).await;
        let stderr = ended.error(code);
        for part in said {
            assert!(stderr.contains(part), "{args:?}: {stderr}");
        }
    }

    // Nobody there at all.
    let alone = tempfile::tempdir().unwrap();
    let lost = done(command(alone.path()).arg("ls")).await;
    assert!(lost.error(1).contains("start `walker serve`"), "{}", lost.stderr);
    let folder = host.data_dir().parent().unwrap().join("deeper/still");
    std::fs::create_dir_all(&folder).unwrap();
    done(command(&folder).arg("ls")).await.data();
    let token = host.client.token().unwrap();
    done(command(alone.path()).args(["--url", &host.url, "--token", token, "ls"])).await.data();
    done(command(alone.path()).arg("ls").env("WALKER_URL", &host.url).env("WALKER_TOKEN", token)).await.data();
    // A file's key goes to its own host only.
    let args = ["--url", &host.url.replace("127.0.0.1", "localhost"), "ls"];
    assert!(walker(&host, &args).await.error(1).contains("token.missing"));
    host.stop().await;
}

#[tokio::test]
async fn a_host_that_is_gone_is_told_as_such() {
    let mut host = scene::host().await;
    host.end().await;
    let gone = walker(&host, &["run", "sample"]).await;
    let stderr = gone.error(1);
    assert!(stderr.contains(&format!("nobody listens at {}", host.url)) && stderr.contains("walker serve"), "{stderr}");
}

#[tokio::test]
async fn a_new_project_is_whole_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let new = async |name: &str| {
        done(command(folder.path()).args(["new", name]).env("WALKER_SDK_DIR", folder.path().join("sdk"))).await
    };
    let made = new("my-app").await;
    assert_eq!((made.code, made.stdout.as_str()), (0, ""), "{}", made.stderr);
    assert!(made.stderr.contains("walker push target/walkers/my_app.wasm"), "{}", made.stderr);
    let has = |name: &str| Path::new(&folder.path().join("my-app").join(name)).is_file();
    assert!(["Cargo.toml", "src/lib.rs", "README.md", ".gitignore"].into_iter().all(has));
    let source = folder.path().join("my-app/src/lib.rs");
    std::fs::write(&source, "mine").unwrap();
    assert!(new("my-app").await.error(2).contains("exists already"));
    assert_eq!(std::fs::read_to_string(source).unwrap(), "mine");
    for bad in ["1st", "async", "a--b", ""] {
        new(bad).await.error(2);
    }
}
