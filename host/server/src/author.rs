//! Who asks, and from where: set around each request, and read where a change is put on record or a problem names its request.
//!
//! Beside the call, not in it: whoever changes something on the way need not know who asked. Outside of a request it is
//! the host itself.

use std::net::IpAddr;
use std::sync::OnceLock;

use uuid::Uuid;

tokio::task_local! {
    static ASKING: Asking;
}

struct Asking {
    request_id: String,
    address: Option<IpAddr>,
    who: OnceLock<Who>,
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

/// Answers a request that came from there.
pub(crate) async fn asked<T>(request_id: String, address: Option<IpAddr>, answer: impl Future<Output = T>) -> T {
    ASKING.scope(Asking { request_id, address, who: OnceLock::new() }, answer).await
}

/// The id of the request that this task answers; empty outside of one.
pub(crate) fn request_id() -> String {
    ASKING.try_with(|asking| asking.request_id.clone()).unwrap_or_default()
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
        address: asking.address,
        request_id: Some(asking.request_id.clone()),
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
        let author = asked("mine".into(), address, async {
            is(key);
            is(Who::Operator);
            (request_id(), current())
        });
        assert_eq!(author.await, ("mine".into(), Author { who: key, address, request_id: Some("mine".into()) }));
        assert_eq!(request_id(), "");
        assert_eq!(current(), host);
    }
}
