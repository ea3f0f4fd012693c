//! Talks to a host: finds it, asks, and tells its refusals apart.
//!
//! Knows nothing of single resources.

mod find;
mod pages;
mod problem;
mod session;
mod trust;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use ureq::http::{Response, StatusCode, Uri};
use ureq::{Agent, Body};

use crate::args::Global;
pub(crate) use find::As;
pub(crate) use pages::encode;
pub(crate) use problem::Problem;
use session::Session;

/// More than the largest answer: the fields and reports of one walker are held to 16 MiB together.
const MAX_ANSWER_BYTES: u64 = 256 << 20;

/// One host, and who we are there.
pub(crate) struct Client {
    agent: Agent,
    url: String,
    token: Option<String>,
    /// Where a session with this host is kept.
    home: PathBuf,
    is_of_home: bool,
}

/// What the host answered, if it was no refusal.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// As it came: printing it again loses nothing.
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.text).context("the host's answer is not what this version of walker expects")
    }
}

impl Client {
    /// As whoever is logged in, or with the folder's own key.
    pub(crate) fn find(global: &Global) -> Result<Self> {
        Self::find_as(global, As::Anybody)
    }

    pub(crate) fn find_as(global: &Global, whose: As) -> Result<Self> {
        let find::Found { url, token, home, is_of_home } = find::find(global, whose)?;
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is not a URL"))?;
        if uri.scheme().is_none() || uri.host().is_none() {
            bail!("{url:?} is not a URL such as http://127.0.0.1:8000");
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("walker/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(std::time::Duration::from_secs(10)));
        if let Some(path) = &global.ca_cert {
            config = config.tls_config(trust::only(path)?);
        }
        if find::is_here(&uri) {
            // A proxy for the world leads nowhere from here to here.
            config = config.proxy(None);
        }
        Ok(Self { agent: config.build().into(), url, token, home, is_of_home })
    }

    /// From now on this host is called with this session's token, also by later commands.
    pub(crate) fn keep_session(&self, token: &str) -> Result<()> {
        let url = (!self.is_of_home).then(|| self.url.clone());
        Session { url, token: token.to_owned() }.write(&self.home)
    }

    /// Forgets the session that is kept, if it is the one this client calls with.
    pub(crate) fn forget_session(&self) -> Result<()> {
        let kept = Session::read(&self.home)?;
        let is_ours = kept.is_some_and(|session| Some(&session.token) == self.token.as_ref());
        if is_ours { Session::remove(&self.home) } else { Ok(()) }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer> {
        self.call(self.agent.get(format!("{}{path}", self.url)))
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Answer> {
        self.call(self.agent.delete(format!("{}{path}", self.url)))
    }

    pub(crate) fn patch(&self, path: &str, json: &str) -> Result<Answer> {
        let request = self.agent.patch(format!("{}{path}", self.url)).content_type("application/json");
        self.send(request, json.as_bytes())
    }

    pub(crate) fn post(&self, path: &str, json: &str) -> Result<Answer> {
        self.post_with(path, &[], json)
    }

    pub(crate) fn post_with(&self, path: &str, headers: &[(&str, &str)], json: &str) -> Result<Answer> {
        let request = self.agent.post(format!("{}{path}", self.url)).content_type("application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(request, json.as_bytes())
    }

    pub(crate) fn put(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        let request = self.agent.put(format!("{}{path}", self.url)).content_type(content_type);
        self.send(request, body)
    }

    fn call(&self, mut request: ureq::RequestBuilder<ureq::typestate::WithoutBody>) -> Result<Answer> {
        if let Some(bearer) = self.bearer() {
            request = request.header("authorization", bearer);
        }
        self.answer(request.call())
    }

    fn send(&self, mut request: ureq::RequestBuilder<ureq::typestate::WithBody>, body: &[u8]) -> Result<Answer> {
        if let Some(bearer) = self.bearer() {
            request = request.header("authorization", bearer);
        }
        self.answer(request.send(body))
    }

    fn bearer(&self) -> Option<String> {
        self.token.as_ref().map(|token| format!("Bearer {token}"))
    }

    fn answer(&self, result: Result<Response<Body>, ureq::Error>) -> Result<Answer> {
        let mut response = match result {
            Ok(response) => response,
            Err(ureq::Error::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => bail!(
                "nobody listens at {}: is `walker serve` running? Start it in this folder, or name another host with --url",
                self.url
            ),
            Err(error) if trust::is_missing(&error) => bail!(
                "{} is not trusted: {error}. Was its certificate made for this name, and for now? If its authority is a \
                 private one, name that with --ca-cert or WALKER_CA_CERT",
                self.url
            ),
            Err(error) => return Err(error).with_context(|| format!("could not reach {}", self.url)),
        };
        let text = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_string()
            .with_context(|| format!("could not read the answer of {}", self.url))?;
        let status = response.status();
        if status.is_success() { Ok(Answer { status, text }) } else { Err(Problem::read(status, &text).into()) }
    }
}
