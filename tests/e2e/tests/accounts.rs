//! Users, tenants and keys by the command line: who one is, and where that is kept.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use walker_harness::{Host, Options, command};

use crate::scene;

const PASSWORD: &str = "correct horse battery staple";

/// What a command did.
struct Done {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Done {
    /// Its data, from a command that must have ended well.
    #[track_caller]
    fn data(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        &self.stdout
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(self.data()).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// What it said, from a command that must have failed with this exit code and without data.
    #[track_caller]
    fn error(&self, code: i32, said: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{}", self.stderr);
        assert!(self.stderr.contains(said), "{said}: {}", self.stderr);
    }
}

/// Runs a command that is given something on stdin.
async fn given(command: &mut Command, args: &[&str], stdin: &str) -> Done {
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that fails before it reads is told apart by how it ends.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes()).await;
    let output = child.wait_with_output().await.unwrap();
    Done {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn walker(host: &Host, args: &[&str]) -> Done {
    given(&mut host.command(), args, "").await
}

#[tokio::test]
async fn a_user_registers_logs_in_acts_and_logs_out() {
    let host = scene::host().await;
    let secrets = tempfile::tempdir().unwrap();
    let password = secrets.path().join("password");
    std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let password = password.to_str().unwrap();
    let kept = host.data_dir().join("session.json");

    let register = ["user", "register", "--email", "ada@example.org", "--password-file", password];
    assert_eq!(walker(&host, &[&register[..], &["-o", "json"]].concat()).await.json()["email"], "ada@example.org");
    walker(&host, &register).await.error(1, "user.exists");
    walker(&host, &["login", "--email", "ada@example.org"]).await.error(2, "--password-file");
    walker(&host, &["login", "--password-file", password]).await.error(2, "--email");
    let login = ["login", "--email", "ada@example.org", "--password-file", "-"];
    given(&mut host.command(), &login, "wrong horse battery\n").await.error(1, "login.failed");
    given(&mut host.command(), &login, "\n").await.error(1, "password is empty");
    assert!(!kept.exists());
    assert_eq!(walker(&host, &["whoami", "-o", "json"]).await.json()["kind"], "key", "the folder's own");

    let done = given(&mut host.command(), &login, &format!("{PASSWORD}\n")).await;
    assert_eq!(done.data(), "");
    assert!(done.stderr.contains("ada@example.org"), "{}", done.stderr);
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let who = walker(&host, &["whoami", "-o", "json"]).await.json();
    let root = who["root_id"].as_str().unwrap();
    assert_eq!(
        (&who["kind"], &who["tenant"], &who["user"]["email"], &who["scopes"]),
        (&json!("session"), &json!("default"), &json!("ada@example.org"), &Value::Null)
    );
    scene::time(&who["expiration"]);
    let shown = walker(&host, &["whoami"]).await;
    for line in
        ["kind        session".to_owned(), "user.email  ada@example.org".to_owned(), format!("root_id     {root}")]
    {
        assert!(shown.data().lines().any(|shown| shown == line), "{line}: {}", shown.stdout);
    }
    // Later commands are the user's.
    let run = walker(&host, &["run", "sample", "--wait", "-o", "json"]).await.json();
    assert_eq!(run["walker"]["schedule"]["root_id"], root);
    host.client.run("sample", &json!({})).await;
    assert_eq!(walker(&host, &["ls", "-o", "json"]).await.json().as_array().unwrap().len(), 1, "not what others run");
    // A token that is given counts before the session.
    let key = secrets.path().join("key");
    std::fs::write(&key, format!("{}\n", host.client.token().unwrap())).unwrap();
    let who = walker(&host, &["whoami", "-o", "json", "--token-file", key.to_str().unwrap()]).await.json();
    assert_eq!((&who["kind"], &who["scopes"]), (&json!("key"), &json!(["deploy", "read", "invoke"])));
    walker(&host, &["whoami", "--token-file", "missing"]).await.error(1, "could not read missing");

    let change = ["user", "password", "--password-file", "-", "--new-password-file", "-"];
    given(&mut host.command(), &change, "wrong horse battery\nanother password\n").await.error(1, "login.failed");
    given(&mut host.command(), &change, &format!("{PASSWORD}\nanother password\n")).await.data();
    walker(&host, &["whoami"]).await.data();
    given(&mut host.command(), &login, &format!("{PASSWORD}\n")).await.error(1, "login.failed");

    let token = serde_json::from_slice::<Value>(&std::fs::read(&kept).unwrap()).unwrap();
    let token = token["token"].as_str().unwrap().to_owned();
    walker(&host, &["logout"]).await.data();
    assert!(!kept.exists());
    host.client.with_token(Some(&token)).get("/walkers").await.problem(401, "token.invalid");
    assert_eq!(walker(&host, &["whoami", "-o", "json"]).await.json()["kind"], "key");
    walker(&host, &["logout"]).await.error(1, "token.wrong_kind");
    host.stop().await;
}

#[tokio::test]
async fn a_session_with_a_host_elsewhere_stays_in_its_folder() {
    let host = scene::host().await;
    let client = host.client.with_token(None);
    let credentials = json!({"email": "ada@example.org", "password": PASSWORD});
    client.post("/user/register", &credentials).await.expect(201);
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &Path| command(path);
    let login = ["--url", &host.url, "login", "--email", "ada@example.org", "--password-file", "-"];
    given(&mut at(folder.path()), &login, PASSWORD).await.data();
    let deeper = folder.path().join("deeper");
    std::fs::create_dir(&deeper).unwrap();
    let who = given(&mut at(&deeper), &["whoami", "-o", "json"], "").await.json();
    assert_eq!(who["user"]["email"], "ada@example.org");
    // No other host is shown the token.
    let other = format!("http://localhost:{}", host.url.rsplit(':').next().unwrap());
    given(&mut at(&deeper), &["--url", &other, "whoami"], "").await.error(1, "token.missing");
    // Ended elsewhere: logging out is what is left to do.
    let kept = folder.path().join(".walker/session.json");
    let session: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    let session = client.with_token(session["token"].as_str());
    assert_eq!(session.post("/user/logout", &json!({})).await.status, 204);
    given(&mut at(&deeper), &["whoami"], "").await.error(1, "walker login");
    given(&mut at(&deeper), &["logout"], "").await.data();
    assert!(!kept.exists());
    host.stop().await;
}

#[tokio::test]
async fn the_operator_keeps_tenants_and_keys() {
    let host = Host::start(Options { database_url: Some(scene::database().await), ..Options::default() }).await;
    let made = walker(&host, &["tenant", "create", "acme", "-o", "json"]).await.json();
    assert_eq!(made["name"], "acme");
    walker(&host, &["tenant", "create", "acme"]).await.error(1, "tenant.exists");
    let listed = walker(&host, &["tenant", "ls", "-o", "json"]).await.json();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|tenant| tenant["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["acme", "default"]);
    let table = walker(&host, &["tenant", "ls"]).await;
    assert!(table.data().starts_with("NAME ") && table.stdout.lines().count() == 3, "{}", table.stdout);

    let set = walker(&host, &["tenant", "set", "acme", "quotas.live_walkers=7", "quotas.reports=3"]).await;
    let lines: Vec<Vec<&str>> = set.data().lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.contains(&vec!["quotas.live_walkers", "7"]) && lines.contains(&vec!["limits.live_walkers", "7"]));
    let set = walker(&host, &["tenant", "set", "acme", "quotas.live_walkers=null", "-o", "json"]).await.json();
    assert_eq!(set["quotas"], json!({"reports": 3}));
    assert_eq!(walker(&host, &["tenant", "get", "acme", "-o", "json"]).await.json(), set);
    walker(&host, &["tenant", "set", "acme", "quotas.feul=7"]).await.error(1, "fields.invalid");
    walker(&host, &["tenant", "set", "acme", "colour=red"]).await.error(1, "/colour");
    walker(&host, &["tenant", "set", "acme", "colour"]).await.error(2, "KEY=VALUE");
    walker(&host, &["tenant", "get", "a/b"]).await.error(1, "tenant.not_found");
    walker(&host, &["tenant", "rm", "acme"]).await.error(2, "--yes");

    let create = ["key", "create", "ci", "--tenant", "acme", "--scope", "deploy", "--scope", "read"];
    let key = walker(&host, &create).await;
    // Data and nothing else, to be written to a file.
    let token = key.data().strip_suffix('\n').unwrap();
    assert!(token.starts_with("wk_") && !key.stderr.contains(token), "{}", key.stdout);
    let who = host.client.with_token(Some(token)).get("/whoami").await.expect(200);
    assert_eq!(
        (&who["kind"], &who["tenant"], &who["scopes"], &who["expiration"]),
        (&json!("key"), &json!("acme"), &json!(["deploy", "read"]), &Value::Null)
    );
    let brief = walker(&host, &[&create[..], &["--expires-in", "1h", "-o", "json"]].concat()).await.json();
    let who = host.client.with_token(brief["key"].as_str()).get("/whoami").await.expect(200);
    scene::time(&who["expiration"]);
    let listed = walker(&host, &["key", "ls", "--tenant", "acme", "-o", "json"]).await.json();
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), ids[1]), (2, brief["id"].as_str().unwrap()));
    let table = walker(&host, &["key", "ls", "--tenant", "acme"]).await;
    assert!(table.data().starts_with("ID ") && table.stdout.contains("deploy,read"), "{}", table.stdout);
    walker(&host, &["key", "rm", ids[0], "--tenant", "acme"]).await.data();
    host.client.with_token(Some(token)).get("/whoami").await.problem(401, "token.invalid");
    walker(&host, &["key", "rm", ids[0], "--tenant", "acme"]).await.error(1, "key.not_found");
    walker(&host, &["key", "create", "x", "--scope", "fly"]).await.error(2, "fly");
    walker(&host, &["key", "create", "x"]).await.error(2, "--scope");

    let who = host.operator().get("/whoami").await.expect(200);
    assert_eq!((&who["kind"], &who["tenant"], &who["root_id"]), (&json!("operator"), &Value::Null, &Value::Null));
    host.client.with_token(None).get("/whoami").await.problem(401, "token.missing");
    host.stop().await;
}
