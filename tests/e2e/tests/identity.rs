//! Who may do what: tokens, users, tenants, scopes; and what must never get out.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use walker_harness::{Client, Host, Options, module};

use crate::scene::{self, keys};

/// How long a token may live on after it was revoked.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Registers a user and logs in; answers a client with the session, and the user's root.
pub(crate) async fn user(host: &Host, email: &str) -> (Client, String) {
    let open = host.client.with_token(None);
    let credentials = json!({"email": email, "password": PASSWORD});
    let registered = open.post("/user/register", &credentials).await.expect(201);
    let mut members = keys(&registered);
    members.sort_unstable();
    assert_eq!(members, ["email", "id", "root_id"]);
    let session = open.post("/user/login", &credentials).await.expect(200);
    let user = &session["user"];
    assert_eq!((&user["id"], &user["root_id"]), (&registered["id"], &registered["root_id"]));
    assert_eq!(user["email"], email);
    scene::time(&user["expiration"]);
    let client = open.with_token(session["token"].as_str());
    (client, registered["root_id"].as_str().unwrap().to_owned())
}

/// Makes a key of a tenant; answers a client with it, and its id.
pub(crate) async fn key(host: &Host, tenant: &str, fields: Value) -> (Client, String) {
    let made = host.operator().post(&format!("/tenants/{tenant}/keys"), &fields).await.expect(201);
    (host.client.with_token(made["key"].as_str()), made["id"].as_str().unwrap().to_owned())
}

/// Waits until a token is refused, which must not take long.
pub(crate) async fn is_revoked(client: &Client) {
    let revoked = Instant::now();
    while client.get("/walkers").await.status != 401 {
        assert!(revoked.elapsed() <= REVOKED_WITHIN, "the token still works");
    }
}

#[tokio::test]
async fn without_a_valid_token_nothing_can_be_told_apart() {
    let host = scene::host().await;
    let id = host.client.run("sample", &json!({})).await["id"].as_str().unwrap().to_owned();
    for (token, code) in [(None, "token.missing"), (Some("wk_nonsense"), "token.invalid"), (Some("x"), "token.invalid")]
    {
        let client = host.client.with_token(token);
        for (method, path) in [
            ("POST", "/walker/sample"),
            ("POST", "/walker/nobody"),
            ("POST", "/walker/sample?wait=x"),
            ("GET", "/walkers"),
            ("GET", &format!("/walkers/{id}")),
            ("GET", "/walkers/w:sample:550e8400-e29b-41d4-a716-446655440000"),
            ("GET", &format!("/walkers/{id}/logs")),
            ("GET", "/modules"),
            ("GET", "/modules/seed"),
            ("PUT", "/modules/seed"),
            ("DELETE", "/modules/seed"),
            ("POST", "/modules/seed/activate"),
            ("POST", "/user/logout"),
            ("POST", "/user/change_password"),
            ("GET", "/whoami"),
            ("GET", "/tenants"),
            ("POST", "/tenants"),
            ("GET", "/tenants/default"),
            ("PATCH", "/tenants/default"),
            ("POST", "/tenants/default/keys"),
        ] {
            let answer = client.send(client.request(method.parse().unwrap(), path)).await;
            // What cannot even be read may be told before who asks.
            if answer.status == 400 && path.contains('?') {
                continue;
            }
            let problem = answer.problem(401, code);
            assert_eq!(answer.headers["www-authenticate"], "Bearer", "{method} {path}");
            assert!(!problem["detail"].as_str().unwrap().contains("nonsense"), "{problem}");
        }
    }
    // Other ways to write one.
    let request =
        |value: &str| host.client.with_token(None).request(Method::GET, "/walkers").header("Authorization", value);
    for bad in ["", "Bearer", "Basic d2s6eA==", "wk_x"] {
        host.client.send(request(bad)).await.problem(401, "token.invalid");
    }
    host.stop().await;
}

#[tokio::test]
async fn users_register_log_in_and_out_and_change_their_password() {
    let host = scene::host().await;
    let open = host.client.with_token(None);
    let (ada, _) = user(&host, "ada@example.org").await;
    ada.run("sample", &json!({})).await;
    let credentials = |password: &str| json!({"email": "Ada@Example.ORG", "password": password});
    open.post("/user/register", &credentials("another one")).await.problem(409, "user.exists");
    for (email, password, pointers) in
        [("ada", "short", vec!["/email", "/password"]), ("eve@example.org", "short", vec!["/password"])]
    {
        let body = json!({"email": email, "password": password});
        let problem = open.post("/user/register", &body).await.problem(422, "fields.invalid");
        let errors = problem["errors"].as_array().unwrap();
        assert_eq!(errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect::<Vec<_>>(), pointers);
    }
    open.post("/user/register", &json!({})).await.problem(422, "fields.invalid");
    open.post("/user/login", &credentials("wrong password")).await.problem(401, "login.failed");
    let nobody = json!({"email": "nobody@example.org", "password": PASSWORD});
    open.post("/user/login", &nobody).await.problem(401, "login.failed");

    // A second session of the same user; a new password ends all but the one that set it.
    let second = open.post("/user/login", &credentials(PASSWORD)).await.expect(200);
    let second = open.with_token(second["token"].as_str());
    assert_eq!(second.get("/walkers").await.expect(200)["walkers"].as_array().unwrap().len(), 1);
    let change = |old: &str, new: &str| json!({"old_password": old, "new_password": new});
    ada.post("/user/change_password", &change("wrong password", "new password")).await.problem(401, "login.failed");
    ada.post("/user/change_password", &change(PASSWORD, "short")).await.problem(422, "fields.invalid");
    assert_eq!(ada.post("/user/change_password", &change(PASSWORD, "new password")).await.status, 204);
    is_revoked(&second).await;
    open.post("/user/login", &credentials(PASSWORD)).await.problem(401, "login.failed");
    open.post("/user/login", &credentials("new password")).await.expect(200);

    ada.get("/walkers").await.expect(200);
    assert_eq!(ada.post("/user/logout", &json!({})).await.status, 204);
    ada.get("/walkers").await.problem(401, "token.invalid");
    host.client.post("/user/logout", &json!({})).await.problem(403, "token.wrong_kind");
    host.stop().await;
}

#[tokio::test]
async fn a_user_sees_only_what_its_own_root_owns() {
    let host = scene::host().await;
    let (ada, ada_root) = user(&host, "ada@example.org").await;
    let (bob, _) = user(&host, "bob@example.org").await;
    let secret = ada.run("echo_later", &json!({"value": "only for ada"})).await;
    let id = secret["id"].as_str().unwrap();
    assert_eq!((&secret["schedule"]["root_id"], &secret["schedule"]["node_id"]), (&json!(ada_root), &json!(ada_root)));
    let parent = ada.run("parent", &json!({})).await;
    let spawned = parent["schedule"]["reports"][0]["spawned"].as_str().unwrap();
    assert_eq!(ada.ended(spawned).await["schedule"]["root_id"], ada_root);

    bob.get(&format!("/walkers/{id}")).await.problem(404, "walker.not_found");
    bob.get(&format!("/walkers/{id}?wait=1s")).await.problem(404, "walker.not_found");
    bob.get(&format!("/walkers/{id}/logs")).await.problem(404, "walker.not_found");
    assert_eq!(bob.get("/walkers").await.expect(200)["walkers"], json!([]));
    bob.post(&format!("/walker/sample/{ada_root}"), &json!({})).await.problem(404, "node.not_found");
    // Nor from inside a walker.
    ada.post("/walker/reads", &json!({"walker_id": id})).await.expect(200);
    let problem = bob.post("/walker/reads", &json!({"walker_id": id})).await.problem(500, "guest.error");
    assert_eq!(problem["detail"], format!("there is no walker {id}"));
    let starts = json!({"how": "Call", "walker": "reads", "fields": {"walker_id": id}});
    let answer = bob.post("/walker/starts", &starts).await.expect(200);
    assert!(answer["reports"][0]["message"].as_str().unwrap().contains("there is no walker"), "{answer}");
    // A walker that a key runs has the key's root, not all of the tenant.
    host.client.post("/walker/reads", &json!({"walker_id": id})).await.problem(500, "guest.error");

    // A key that may read sees all of the tenant, a user is told nothing of modules.
    assert_eq!(host.client.get(&format!("/walkers/{id}")).await.expect(200)["walker"], secret);
    bob.get("/modules").await.problem(403, "scope.missing");
    bob.put_module("seed", module("seed")).await.problem(403, "scope.missing");
    bob.delete("/modules/seed").await.problem(403, "scope.missing");
    bob.get("/tenants").await.problem(403, "token.wrong_kind");
    host.stop().await;
}

#[tokio::test]
async fn tenants_know_nothing_of_each_other() {
    let host = scene::host().await;
    let operator = host.operator();
    let answer = operator.post("/tenants", &json!({"name": "acme"})).await;
    let acme = answer.expect(201);
    assert_eq!(answer.headers["location"], "/tenants/acme");
    assert_eq!(acme["name"], "acme");
    assert_eq!(operator.get("/tenants/acme").await.expect(200), acme);
    operator.post("/tenants", &json!({"name": "acme"})).await.problem(409, "tenant.exists");
    operator.post("/tenants", &json!({"name": "No Name"})).await.problem(422, "fields.invalid");
    operator.get("/tenants/nobody").await.problem(404, "tenant.not_found");
    let names = operator.get("/tenants").await.expect(200);
    let names: Vec<&str> =
        names["tenants"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["acme", "default"]);
    // The operator is of no tenant, and nobody else is the operator.
    operator.post("/walker/sample", &json!({})).await.problem(403, "token.wrong_kind");
    host.client.post("/tenants", &json!({"name": "mine"})).await.problem(403, "token.wrong_kind");

    let ours = host.client.run("sample", &json!({})).await;
    let id = ours["id"].as_str().unwrap();
    let (stranger, _) = key(&host, "acme", json!({"name": "all", "scopes": ["deploy", "read", "invoke"]})).await;
    stranger.get(&format!("/walkers/{id}")).await.problem(404, "walker.not_found");
    stranger.get(&format!("/walkers/{id}/logs")).await.problem(404, "walker.not_found");
    assert_eq!(stranger.get("/walkers").await.expect(200)["walkers"], json!([]));
    assert_eq!(stranger.get("/modules").await.expect(200)["modules"], json!([]));
    stranger.get("/modules/seed").await.problem(404, "module.not_found");
    stranger.delete("/modules/seed").await.problem(404, "module.not_found");
    stranger.post("/modules/seed/activate", &json!({"version": 1})).await.problem(404, "module.not_found");
    stranger.post("/walker/sample", &json!({})).await.problem(404, "walker.not_found");

    // The same names mean its own.
    stranger.put_module("seed", module("seed")).await.expect(201);
    let theirs = stranger.run("sample", &json!({})).await;
    assert_eq!(theirs["schedule"]["root_id"], acme["root_id"]);
    host.client.get(&format!("/walkers/{}", theirs["id"].as_str().unwrap())).await.problem(404, "walker.not_found");
    let problem =
        stranger.post("/walker/view_sample_result", &json!({"walker_id": id})).await.problem(500, "guest.error");
    assert_eq!(problem["detail"], format!("there is no walker {id}"));

    // The header says whose user one wants to be; the same address is another user elsewhere.
    let open = host.client.with_token(None);
    let credentials = json!({"email": "ada@example.org", "password": PASSWORD});
    let at =
        |path: &str, tenant: &str| open.request(Method::POST, path).header("Walker-Tenant", tenant).json(&credentials);
    let there = open.send(at("/user/register", "acme")).await.expect(201);
    let here = open.post("/user/register", &credentials).await.expect(201);
    assert_ne!(there["root_id"], here["root_id"]);
    assert_eq!(open.send(at("/user/login", "acme")).await.expect(200)["user"]["root_id"], there["root_id"]);
    open.send(at("/user/login", "nobody")).await.problem(404, "tenant.not_found");
    host.stop().await;
}

#[tokio::test]
async fn a_key_may_do_what_its_scopes_say() {
    let host = scene::host().await;
    let ours = host.client.run("sample", &json!({})).await["id"].as_str().unwrap().to_owned();
    let (ada, _) = user(&host, "ada@example.org").await;
    let adas = ada.run("sample", &json!({})).await["id"].as_str().unwrap().to_owned();
    let put = async |client: &Client| client.put_module("seed", module("seed")).await.status.as_u16();
    for (scope, publish, list_modules, invoke, read, read_of_others) in
        [("deploy", 200, 200, 403, 403, 403), ("read", 403, 200, 403, 200, 200), ("invoke", 403, 403, 200, 200, 404)]
    {
        let (client, _) = key(&host, "default", json!({"name": scope, "scopes": [scope]})).await;
        assert_eq!(put(&client).await, publish, "{scope}");
        for (method, path, expect) in [
            (Method::GET, "/modules".to_owned(), list_modules),
            (Method::POST, "/walker/sample".to_owned(), invoke),
            (Method::GET, "/walkers".to_owned(), read),
            (Method::GET, format!("/walkers/{ours}"), read),
            (Method::GET, format!("/walkers/{adas}"), read_of_others),
        ] {
            let answer = client.send(client.request(method.clone(), &path)).await;
            match expect {
                403 => drop(answer.problem(403, "scope.missing")),
                expect => assert_eq!(answer.status.as_u16(), expect, "{scope} {method} {path}: {}", answer.text),
            }
        }
        client.get("/tenants").await.problem(403, "token.wrong_kind");
    }
    for (body, pointer) in [
        (json!({"name": "x", "scopes": ["fly"]}), "/scopes/0"),
        (json!({"name": "x", "scopes": []}), "/scopes"),
        (json!({"name": "x", "scopes": ["read"], "expires_in": "soon"}), "/expires_in"),
        (json!({"scopes": ["read"]}), "/name"),
    ] {
        let problem = host.operator().post("/tenants/default/keys", &body).await.problem(422, "fields.invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    host.stop().await;
}

#[tokio::test]
async fn what_is_revoked_stops_working_on_every_host() {
    let host = scene::host().await;
    let other = Host::start(host.options().clone()).await;
    let everywhere = |client: &Client| [client.clone(), elsewhere(&other, client)];

    let (client, id) = key(&host, "default", json!({"name": "mine", "scopes": ["read"]})).await;
    for client in everywhere(&client) {
        client.get("/walkers").await.expect(200);
    }
    let mine = listed_key(&host, &id).await;
    assert_eq!((&mine["name"], &mine["scopes"]), (&json!("mine"), &json!(["read"])));
    assert_eq!((&mine["expires_at"], &mine["revoked_at"]), (&Value::Null, &Value::Null));
    // Written now and then, so that no request waits for it.
    while listed_key(&host, &id).await["last_used"].is_null() {
        tokio::task::yield_now().await;
    }
    let used = listed_key(&host, &id).await;
    assert!(scene::time(&used["last_used"]) > scene::time(&mine["created_at"]), "{used}");
    assert_eq!(host.operator().delete(&format!("/tenants/default/keys/{id}")).await.status, 204);
    client.get("/walkers").await.problem(401, "token.invalid");
    is_revoked(&elsewhere(&other, &client)).await;
    host.operator().delete(&format!("/tenants/default/keys/{id}")).await.problem(404, "key.not_found");
    let revoked = listed_key(&host, &id).await;
    assert_eq!((&revoked["id"], &revoked["scopes"]), (&mine["id"], &mine["scopes"]));
    assert!(scene::time(&revoked["revoked_at"]) > scene::time(&mine["created_at"]), "{revoked}");

    let (ada, _) = user(&host, "ada@example.org").await;
    for client in everywhere(&ada) {
        client.get("/walkers").await.expect(200);
    }
    assert_eq!(ada.post("/user/logout", &json!({})).await.status, 204);
    ada.get("/walkers").await.problem(401, "token.invalid");
    is_revoked(&elsewhere(&other, &ada)).await;

    let (brief, _) = key(&host, "default", json!({"name": "brief", "scopes": ["read"], "expires_in": "2s"})).await;
    brief.get("/walkers").await.expect(200);
    is_revoked(&brief).await;
    other.stop().await;
    host.stop().await;
}

/// A key as its tenant's list shows it.
async fn listed_key(host: &Host, id: &str) -> Value {
    let mut listed = host.operator().get("/tenants/default/keys").await.expect(200);
    let keys = listed["keys"].as_array_mut().unwrap();
    keys.iter_mut().find(|key| key["id"] == id).unwrap().take()
}

/// The same token at another host.
fn elsewhere(host: &Host, client: &Client) -> Client {
    host.client.with_token(client.token())
}

/// The arguments of everything that runs, as everybody on the machine can read them.
fn arguments() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("cmdline"));
    // What is no process, or has ended since, has none.
    let lines = processes.filter_map(|path| std::fs::read(path).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

#[tokio::test]
async fn secrets_stay_where_they_belong() {
    // All that the host could be made to say.
    let options = Options {
        args: vec!["--log".to_owned(), "trace".to_owned()],
        database_url: Some(scene::database().await),
        ..Options::default()
    };
    let host = Host::with_modules(options, &["seed", "faults"]).await;
    let mut secrets = vec![host.client.token().unwrap().to_owned(), host.operator().token().unwrap().to_owned()];
    let (ada, _) = user(&host, "ada@example.org").await;
    let (client, _) = key(&host, "default", json!({"name": "mine", "scopes": ["invoke"]})).await;
    secrets.extend([ada.token().unwrap().to_owned(), client.token().unwrap().to_owned(), PASSWORD.to_owned()]);
    client.run("sample", &json!({})).await;
    ada.post("/user/change_password", &json!({"old_password": PASSWORD, "new_password": "another password"})).await;
    secrets.push("another password".to_owned());
    let open = host.client.with_token(None);
    open.post("/user/login", &json!({"email": "ada@example.org", "password": "mistaken password"})).await;
    open.with_token(Some("wk_mistaken-token")).get("/walkers").await.problem(401, "token.invalid");
    secrets.extend(["mistaken password".to_owned(), "wk_mistaken-token".to_owned()]);
    let keys = host.operator().get("/tenants/default/keys").await.text;
    // The command line, while it waits for a password, with a token that it was given in a file.
    let token_file = host.data_dir().join("my-token");
    std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&token_file).unwrap();
    std::fs::write(&token_file, client.token().unwrap()).unwrap();
    let mut asks = host.command();
    asks.args(["user", "password", "--password-file", "-", "--new-password-file", "-", "--token-file"])
        .arg(&token_file);
    let mut asks = asks.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = asks.stdin.take().unwrap();
    stdin.write_all(b"another password\n").await.unwrap();
    let began = Instant::now();
    let running = loop {
        let running = arguments();
        if running.iter().any(|line| line.contains("--token-file")) {
            break running;
        }
        // A program that has just been started shows nothing for a moment.
        assert!(began.elapsed() < Duration::from_secs(30), "it does not wait");
    };
    assert!(running.iter().any(|line| line.contains("--log trace")), "the host is among them");
    drop(stdin);
    let said = asks.wait_with_output().await.unwrap();
    let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
    assert!(said.contains("new password is empty"), "{said}");

    let data_dir = host.data_dir();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data_dir), 0o700);
    let files = std::fs::read_dir(&data_dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut private = 0;
    for path in files {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        private += 1;
    }
    assert!(private >= 3, "the operator's token, the client's key, the cache's key");
    let log = host.log();
    assert!(log.iter().any(|line| line.contains("/user/login")), "it logs requests");
    for secret in &secrets {
        let leaks: Vec<&String> = log.iter().filter(|line| line.contains(secret.as_str())).collect();
        assert!(leaks.is_empty(), "{leaks:#?}");
        assert!(!keys.contains(secret.as_str()) && !said.contains(secret.as_str()));
        let shown: Vec<&String> = running.iter().filter(|line| line.contains(secret.as_str())).collect();
        assert!(shown.is_empty(), "{shown:#?}");
    }
    host.stop().await;
}
