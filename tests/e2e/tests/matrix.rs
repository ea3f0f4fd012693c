//! Every route × every kind of caller: the exact status. The routes come from the OpenAPI document, so that a new one
//! without a line here fails.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use walker_harness::{Client, Host, Options, module};

use crate::identity::{PASSWORD, is_revoked, key, user};
use crate::scene;

/// Who calls. What the calls are about belongs to `User`, but for `Suspended`, whose tenant's own it is.
const CALLERS: [&str; 12] = [
    "none",
    "stranger",
    "other",
    "user",
    "admin",
    "deploy",
    "read",
    "invoke",
    "operator",
    "suspended",
    "expired",
    "revoked",
];

/// What each of them is answered.
#[rustfmt::skip]
const MATRIX: &[(&str, [u16; 12])] = &[
    //                                          none stra othe user admi depl read invo oper susp expi revo
    ("POST /walker/{name}",                    [401, 200, 200, 200, 200, 403, 403, 200, 403, 403, 401, 401]),
    ("POST /walker/{name}/{node_id}",          [401, 404, 404, 200, 404, 403, 403, 404, 403, 403, 401, 401]),
    ("POST /walker/{name}/batch",              [401, 200, 200, 200, 200, 403, 403, 200, 403, 403, 401, 401]),
    ("GET /walkers",                           [401, 200, 200, 200, 200, 403, 200, 200, 403, 200, 401, 401]),
    ("GET /walkers/{walker_id}",               [401, 404, 404, 200, 404, 403, 200, 404, 403, 200, 401, 401]),
    ("GET /walkers/{walker_id}/logs",          [401, 404, 404, 200, 404, 403, 200, 404, 403, 200, 401, 401]),
    ("DELETE /walkers/{walker_id}",            [401, 404, 404, 204, 404, 403, 403, 404, 403, 204, 401, 401]),
    ("POST /walkers/{walker_id}/cancel",       [401, 404, 404, 202, 404, 403, 403, 404, 403, 202, 401, 401]),
    ("POST /walkers/{walker_id}/retry",        [401, 404, 404, 202, 404, 403, 403, 404, 403, 403, 401, 401]),
    ("POST /walkers/cancel",                   [401, 200, 200, 200, 200, 403, 403, 200, 403, 200, 401, 401]),
    ("PUT /modules/{module}",                  [401, 200, 403, 403, 403, 200, 403, 403, 403, 403, 401, 401]),
    ("GET /modules",                           [401, 200, 403, 403, 403, 200, 200, 403, 403, 200, 401, 401]),
    ("GET /modules/{module}",                  [401, 200, 403, 403, 403, 200, 200, 403, 403, 200, 401, 401]),
    ("POST /modules/{module}/activate",        [401, 200, 403, 403, 403, 200, 403, 403, 403, 403, 401, 401]),
    ("DELETE /modules/{module}",               [401, 204, 403, 403, 403, 204, 403, 403, 403, 204, 401, 401]),
    ("POST /user/register",                    [201, 201, 201, 201, 201, 201, 201, 201, 403, 403, 401, 401]),
    ("POST /user/login",                       [200, 200, 200, 200, 200, 200, 200, 200, 403, 200, 401, 401]),
    ("POST /user/logout",                      [401, 403, 204, 204, 204, 403, 403, 403, 403, 403, 401, 401]),
    ("POST /user/change_password",             [401, 403, 204, 204, 204, 403, 403, 403, 403, 403, 401, 401]),
    ("GET /whoami",                            [401, 200, 200, 200, 200, 200, 200, 200, 200, 200, 401, 401]),
    ("GET /users",                             [401, 200, 403, 403, 200, 200, 200, 403, 403, 200, 401, 401]),
    ("PATCH /users/{user_id}",                 [401, 404, 403, 403, 200, 200, 403, 403, 403, 200, 401, 401]),
    ("DELETE /users/{user_id}/sessions",       [401, 404, 403, 403, 204, 204, 403, 403, 403, 204, 401, 401]),
    ("DELETE /users/{user_id}",                [401, 404, 403, 403, 204, 204, 403, 403, 403, 204, 401, 401]),
    ("POST /grants",                           [401, 201, 201, 201, 201, 403, 403, 201, 403, 201, 401, 401]),
    ("GET /grants",                            [401, 200, 200, 200, 200, 403, 200, 200, 403, 200, 401, 401]),
    ("DELETE /grants/{grant_id}",              [401, 404, 404, 204, 404, 403, 403, 404, 403, 204, 401, 401]),
    ("POST /tenants",                          [401, 403, 403, 403, 403, 403, 403, 403, 201, 403, 401, 401]),
    ("GET /tenants",                           [401, 403, 403, 403, 403, 403, 403, 403, 200, 403, 401, 401]),
    ("GET /tenants/{tenant}",                  [401, 403, 403, 403, 403, 403, 403, 403, 200, 403, 401, 401]),
    ("PATCH /tenants/{tenant}",                [401, 403, 403, 403, 403, 403, 403, 403, 200, 403, 401, 401]),
    ("DELETE /tenants/{tenant}",               [401, 403, 403, 403, 403, 403, 403, 403, 202, 403, 401, 401]),
    ("GET /tenants/{tenant}/usage",            [401, 200, 403, 403, 403, 403, 404, 403, 200, 404, 401, 401]),
    ("GET /tenants/{tenant}/audit",            [401, 403, 403, 403, 403, 403, 403, 403, 200, 403, 401, 401]),
    ("GET /audit",                             [401, 200, 403, 403, 403, 403, 200, 403, 403, 200, 401, 401]),
    ("POST /tenants/{tenant}/keys",            [401, 403, 403, 403, 403, 403, 403, 403, 201, 403, 401, 401]),
    ("GET /tenants/{tenant}/keys",             [401, 403, 403, 403, 403, 403, 403, 403, 200, 403, 401, 401]),
    ("DELETE /tenants/{tenant}/keys/{key_id}", [401, 403, 403, 403, 403, 403, 403, 403, 204, 403, 401, 401]),
    ("GET /healthz",                           [200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET /readyz",                            [200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET /openapi.json",                      [200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET /docs",                              [200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
];

/// What calls are about, made anew for each caller: many of them use it up.
struct Targets {
    root: String,
    ended: String,
    forgettable: String,
    failed: String,
    pending: String,
    grant: String,
    member: String,
}

impl Targets {
    async fn of(owner: &Client) -> Self {
        let member = json!({"email": format!("{}@example.org", fresh("member")), "password": PASSWORD});
        let member = owner.post("/user/register", &member).await.expect(201);
        let id = |view: &Value| view["id"].as_str().unwrap().to_owned();
        let ended = owner.run("sample", &json!({})).await;
        let pending = owner.post("/walker/sample?delay=1h", &json!({})).await.expect(200);
        let all = owner.post("/grants", &json!({"walker_id": id(&ended), "to": READER})).await.expect(201);
        Self {
            root: ended["schedule"]["root_id"].as_str().unwrap().to_owned(),
            ended: id(&ended),
            forgettable: id(&owner.run("sample", &json!({})).await),
            failed: id(&owner.run("returns_error", &json!({})).await),
            pending: pending["walker_id"].as_str().unwrap().to_owned(),
            grant: id(&all),
            member: id(&member),
        }
    }
}

/// A user whom nobody calls as, in each tenant.
const READER: &str = "reader@example.org";

/// A name that nobody had before.
fn fresh(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// What is sent to a route: its path, and its body.
async fn request(host: &Host, route: &str, about: &Targets) -> (String, Value) {
    let (_, template) = route.split_once(' ').unwrap();
    let operator = host.operator();
    let credentials = |email: String| json!({"email": email, "password": PASSWORD});
    let path = match route {
        "DELETE /modules/{module}" => "/modules/faults".to_owned(),
        "POST /walkers/cancel" => template.to_owned(),
        "DELETE /walkers/{walker_id}" => format!("/walkers/{}", about.forgettable),
        "POST /walkers/{walker_id}/cancel" => format!("/walkers/{}/cancel", about.pending),
        "POST /walkers/{walker_id}/retry" => format!("/walkers/{}/retry", about.failed),
        "DELETE /tenants/{tenant}" => {
            let name = fresh("leaving");
            operator.post("/tenants", &json!({"name": name})).await.expect(201);
            format!("/tenants/{name}")
        }
        "DELETE /tenants/{tenant}/keys/{key_id}" => {
            let (_, id) = key(host, "acme", json!({"name": "leaving", "scopes": ["read"]})).await;
            format!("/tenants/acme/keys/{id}")
        }
        _ => template
            .replace("{name}", "sample")
            .replace("{node_id}", &about.root)
            .replace("{walker_id}", &about.ended)
            .replace("{module}", "seed")
            .replace("{grant_id}", &about.grant)
            .replace("{user_id}", &about.member)
            .replace("{tenant}", "acme"),
    };
    let body = match route {
        "POST /walker/{name}/batch" => json!({"walkers": [{}]}),
        "POST /walkers/cancel" => json!({"name": "nobody"}),
        "POST /modules/{module}/activate" => json!({"version": 1}),
        "POST /user/register" => credentials(format!("{}@example.org", fresh("new"))),
        "POST /user/login" => credentials(READER.to_owned()),
        "PATCH /users/{user_id}" => json!({"role": "none"}),
        "POST /user/change_password" => json!({"old_password": PASSWORD, "new_password": PASSWORD}),
        "POST /grants" => json!({"to": READER}),
        "POST /tenants" => json!({"name": fresh("coming")}),
        "POST /tenants/{tenant}/keys" => json!({"name": "coming", "scopes": ["read"]}),
        _ => json!({}),
    };
    (path, body)
}

async fn publish(client: &Client) {
    for name in ["seed", "faults"] {
        let status = client.put_module(name, module(name)).await.status.as_u16();
        assert!(matches!(status, 200 | 201), "{status}");
    }
}

/// A tenant with modules, a user to grant to, and a key of all scopes.
async fn tenant(host: &Host, name: &str) -> Client {
    host.operator().post("/tenants", &json!({"name": name})).await.expect(201);
    let (client, _) = key(host, name, json!({"name": "all", "scopes": ["deploy", "read", "invoke"]})).await;
    publish(&client).await;
    client.post("/user/register", &json!({"email": READER, "password": PASSWORD})).await.expect(201);
    client
}

#[tokio::test]
async fn every_caller_is_answered_on_every_route_as_it_should_be() {
    // All callers are at one address here, and log in all the time.
    let config = "logins_per_address = 1000000".to_owned();
    let host = scene::host_with(Options { config, ..Options::default() }).await;
    let document = host.client.get("/openapi.json").await.expect(200);
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        routes.extend(item.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let known: BTreeSet<String> = MATRIX.iter().map(|(route, _)| (*route).to_owned()).collect();
    assert_eq!(routes, known, "each route has its line");

    let scoped = async |scope: &str| key(&host, "default", json!({"name": scope, "scopes": [scope]})).await;
    host.client.post("/user/register", &json!({"email": READER, "password": PASSWORD})).await.expect(201);
    let (ada, _) = user(&host, "ada@example.org").await;
    let (bob, _) = user(&host, "bob@example.org").await;
    let (admin, _) = user(&host, "admin@example.org").await;
    let users = host.client.get("/users").await.expect(200);
    let id = users["users"].as_array().unwrap().iter().find(|user| user["email"] == "admin@example.org").unwrap();
    let promote = host.client.request(Method::PATCH, &format!("/users/{}", id["id"].as_str().unwrap()));
    host.client.send(promote.json(&json!({"role": "admin"}))).await.expect(200);
    let stranger = tenant(&host, "acme").await;
    let suspended = tenant(&host, "sleepy").await;
    let of_suspended = Targets::of(&suspended).await;
    let operator = host.operator();
    let suspend = operator.request(Method::PATCH, "/tenants/sleepy").json(&json!({"suspended": true}));
    operator.send(suspend).await.expect(200);
    let all = ["deploy", "read", "invoke"];
    let (expired, _) = key(&host, "default", json!({"name": "brief", "scopes": all, "expires_in": "1s"})).await;
    is_revoked(&expired).await;
    let (revoked, id) = key(&host, "default", json!({"name": "gone", "scopes": all})).await;
    assert_eq!(operator.delete(&format!("/tenants/default/keys/{id}")).await.status, 204);

    let mut mistakes = Vec::new();
    for (at, name) in CALLERS.into_iter().enumerate() {
        let made;
        let about = if name == "suspended" {
            &of_suspended
        } else {
            made = Targets::of(&ada).await;
            &made
        };
        for (route, expected) in MATRIX {
            let uses_session_up = matches!(*route, "POST /user/logout" | "POST /user/change_password");
            let caller = match name {
                "none" => host.client.with_token(None),
                "stranger" => stranger.clone(),
                "other" | "user" | "admin" if uses_session_up => {
                    user(&host, &format!("{}@example.org", fresh("brief"))).await.0
                }
                "other" => bob.clone(),
                "admin" => admin.clone(),
                "user" => ada.clone(),
                "operator" => operator.clone(),
                "suspended" => suspended.clone(),
                "expired" => expired.clone(),
                "revoked" => revoked.clone(),
                scope => scoped(scope).await.0,
            };
            let (path, body) = request(&host, route, about).await;
            let (method, _) = route.split_once(' ').unwrap();
            let request = caller.request(method.parse().unwrap(), &path);
            let request = if method == "PUT" { request.body(module("seed")) } else { request.json(&body) };
            let answer = caller.send(request).await;
            if answer.status.as_u16() != expected[at] {
                mistakes.push(format!("{name} {route}: {} and not {}: {}", answer.status, expected[at], answer.text));
            }
            if *route == "DELETE /modules/{module}" && answer.status == 204 && name != "suspended" {
                publish(if name == "stranger" { &stranger } else { &host.client }).await;
            }
        }
    }
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    host.stop().await;
}
