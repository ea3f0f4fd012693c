//! HTTP as a user of the host speaks it.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

/// Longer than any answer takes; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Speaks to a host with one token, or none.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

/// What the host answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body, as it came.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    /// The body, which must have come with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// The problem, which must have come with this status and code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(status);
        assert_eq!(self.headers["content-type"], "application/problem+json", "{problem}");
        assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()), "{problem}");
        assert!(!problem["detail"].as_str().unwrap_or_default().is_empty(), "{problem}");
        assert!(problem["request_id"].is_string(), "{problem}");
        problem
    }
}

impl Client {
    /// Speaks to `url`.
    pub fn new(url: &str, token: Option<&str>) -> Self {
        // Tests speak to loopback alone, whatever proxy the machine has.
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { http, url: url.to_owned(), token: token.map(str::to_owned) }
    }

    /// The same host with another token, or none.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// Its token.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A request to a path, for those who need more than the calls below.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request; panics when the host does not answer at all.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.expect("the host answers")
    }

    /// Sends a request to a host that may be gone.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn try_send(&self, request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// `POST path` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// `DELETE path`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Publishes a module.
    pub async fn put_module(&self, name: &str, code: Vec<u8>) -> Answer {
        self.send(self.request(Method::PUT, &format!("/modules/{name}")).body(code)).await
    }

    /// Starts an async walker; answers its id.
    pub async fn start(&self, walker: &str, fields: &Value) -> String {
        let answer = self.post(&format!("/walker/{walker}"), fields).await.expect(200);
        answer["walker_id"].as_str().unwrap().to_owned()
    }

    /// Waits for a walker's end; answers the whole of `walker` in `GET /walkers/{id}`.
    pub async fn ended(&self, id: &str) -> Value {
        loop {
            let view = self.get(&format!("/walkers/{id}?wait=30s")).await.expect(200)["walker"].take();
            if !matches!(view["schedule"]["status"].as_str(), Some("pending" | "running")) {
                return view;
            }
        }
    }

    /// Starts an async walker and waits for its end.
    pub async fn run(&self, walker: &str, fields: &Value) -> Value {
        let id = self.start(walker, fields).await;
        self.ended(&id).await
    }

    /// The texts a walker printed.
    pub async fn printed(&self, id: &str) -> Vec<String> {
        let logs = self.get(&format!("/walkers/{id}/logs")).await.expect(200);
        let lines = logs["logs"].as_array().unwrap();
        lines.iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
    }
}
