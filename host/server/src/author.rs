//! Who asks, for what, and from where: set around each request, and read where a change is put on record, a problem names its
//! request, or a line of the log does.
//!
//! Beside the call, not in it: whoever changes something on the way need not know who asked. Outside of a request it is
//! the host itself.

use std::net::IpAddr;
use std::sync::OnceLock;

use axum::http::Method;
use uuid::Uuid;

tokio::task_local! {
    static ASKING: Asking;
}

struct Asking {
    asked: Asked,
    who: OnceLock<Who>,
}

/// What is known of a request before anybody looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) request_id: String,
    pub(crate) method: Method,
    /// The template of its path.
    pub(crate) route: String,
    /// The trace that its caller is part of.
    pub(crate) trace_id: Option<String>,
    /// Where it came from.
    pub(crate) address: Option<IpAddr>,
}

/// Who changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// This program, at its first start.
    Host,
    /// Who runs the host.
    Operator,
    /// A key of a tenant.
    Key(Uuid),
    /// A user of a tenant.
    User(Uuid),
}

/// Who changes something, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Author {
    pub(crate) who: Who,
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: Option<String>,
}

impl Who {
    /// What it is called on record, and its id.
    pub(crate) fn stored(self) -> (&'static str, Option<Uuid>) {
        match self {
            Self::Host => ("host", None),
            Self::Operator => ("operator", None),
            Self::Key(id) => ("key", Some(id)),
            Self::User(id) => ("user", Some(id)),
        }
    }
}

/// Answers a request.
pub(crate) async fn answer<T>(asked: Asked, answer: impl Future<Output = T>) -> T {
    ASKING.scope(Asking { asked, who: OnceLock::new() }, answer).await
}

/// Shows what this task was asked; `None` outside of a request.
pub(crate) fn with_asked<T>(look: impl FnOnce(&Asked) -> T) -> Option<T> {
    ASKING.try_with(|asking| look(&asking.asked)).ok()
}

/// The id of the request that this task answers; empty outside of one.
pub(crate) fn request_id() -> String {
    with_asked(|asked| asked.request_id.clone()).unwrap_or_default()
}

/// It is known who asks.
pub(crate) fn is(who: Who) {
    // Outside of a request, as in a test of one handler, nobody does. One request has one token.
    let _ = ASKING.try_with(|asking| asking.who.set(who));
}

/// On whose account a change that is made now goes.
pub(crate) fn current() -> Author {
    let asking = ASKING.try_with(|asking| Author {
        who: asking.who.get().copied().unwrap_or(Who::Host),
        address: asking.asked.address,
        request_id: Some(asking.asked.request_id.clone()),
    });
    asking.unwrap_or(Author { who: Who::Host, address: None, request_id: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_author_is_known_within_its_request_only() {
        let host = Author { who: Who::Host, address: None, request_id: None };
        assert_eq!(current(), host);
        let address = Some(IpAddr::from([192, 0, 2, 1]));
        let key = Who::Key(Uuid::now_v7());
        let asked =
            Asked { request_id: "mine".into(), method: Method::GET, route: "/".into(), trace_id: None, address };
        let author = answer(asked.clone(), async {
            is(key);
            is(Who::Operator);
            (request_id(), current(), with_asked(Asked::clone))
        });
        let expect = Author { who: key, address, request_id: Some("mine".into()) };
        assert_eq!(author.await, ("mine".into(), expect, Some(asked)));
        assert_eq!(request_id(), "");
        assert_eq!(current(), host);
    }
}
