//! Where a request came from: who connected, or whom a trusted proxy speaks for.
//!
//! Decides only whom to believe; what an address means is for others.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::FORWARDED;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};

use super::connections::Peer;
use crate::config::{ForwardedHeader, Proxies};
use crate::host::Host;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientAddress(pub(super) IpAddr);

impl FromRequestParts<Arc<Host>> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, host: &Arc<Host>) -> Result<Self, Infallible> {
        // Every connection has a peer; without one, all would share one allowance.
        let address = client_address(&parts.extensions, &parts.headers, &host.config.proxies);
        Ok(Self(address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))))
    }
}

/// The address of the client whose request has these extensions and headers; `None` without a connection.
pub(super) fn client_address(extensions: &Extensions, headers: &HeaderMap, proxies: &Proxies) -> Option<IpAddr> {
    extensions.get::<Peer>().map(|peer| client(peer.0, headers, proxies))
}

/// Follows the chain of proxies from the nearest one on, as far as it is trusted. Further back anybody may have written
/// anything.
fn client(peer: IpAddr, headers: &HeaderMap, proxies: &Proxies) -> IpAddr {
    let named = match proxies.header {
        ForwardedHeader::XForwardedFor => named(headers, X_FORWARDED_FOR, |element| Some(element)),
        ForwardedHeader::Forwarded => named(headers, FORWARDED.as_str(), forwarded_for),
    };
    let mut client = peer.to_canonical();
    for before in named.into_iter().rev() {
        match before {
            Some(before) if proxies.trusts(client) => client = before,
            // What is no address tells nothing; the last one known stands for it.
            _ => break,
        }
    }
    client
}

/// The addresses in a header's elements, the nearest last.
fn named(headers: &HeaderMap, header: &str, address: impl Fn(&str) -> Option<&str>) -> Vec<Option<IpAddr>> {
    let values = headers.get_all(header).iter().map(|value| value.to_str().unwrap_or_default());
    values.flat_map(|value| value.split(',')).map(|element| address(element.trim()).and_then(read)).collect()
}

/// The value of `for` in an element such as `for="[2001:db8::1]:4711";proto=https`.
fn forwarded_for(element: &str) -> Option<&str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    Some(value.trim().trim_matches('"'))
}

/// An address with or without a port, in brackets or not.
fn read(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn believes_trusted_proxies_only() {
        let check = |header: ForwardedHeader, given: &[(&'static str, &str)], expect: &str| {
            let trusted = ["127.0.0.1/32", "10.0.0.0/8"].map(|network| network.parse().unwrap());
            let proxies = Proxies { trusted: trusted.to_vec(), header };
            let headers = given.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            let address = |peer: &str, proxies: &Proxies| client(peer.parse().unwrap(), &headers, proxies).to_string();
            assert_eq!(address("127.0.0.1", &proxies), expect, "{given:?}");
            assert_eq!(address("198.51.100.9", &proxies), "198.51.100.9", "a stranger says what it likes");
            assert_eq!(address("127.0.0.1", &Proxies::default()), "127.0.0.1");
        };
        use ForwardedHeader::{Forwarded, XForwardedFor};
        let x = X_FORWARDED_FOR;
        check(XForwardedFor, &[], "127.0.0.1");
        check(XForwardedFor, &[(x, "192.0.2.1")], "192.0.2.1");
        check(XForwardedFor, &[(x, "6.6.6.6, 192.0.2.1")], "192.0.2.1");
        check(XForwardedFor, &[(x, "6.6.6.6, 192.0.2.1, 10.1.1.1")], "192.0.2.1");
        check(XForwardedFor, &[(x, "6.6.6.6"), (x, "192.0.2.1")], "192.0.2.1");
        check(XForwardedFor, &[(x, "192.0.2.1:4711")], "192.0.2.1");
        check(XForwardedFor, &[(x, "[2001:db8::1]:4711")], "2001:db8::1");
        check(XForwardedFor, &[(x, "2001:db8::1")], "2001:db8::1");
        check(XForwardedFor, &[(x, "::ffff:192.0.2.1")], "192.0.2.1");
        check(XForwardedFor, &[(x, "192.0.2.1, unknown, 10.1.1.1")], "10.1.1.1");
        check(XForwardedFor, &[(x, "nonsense")], "127.0.0.1");
        check(XForwardedFor, &[(x, "")], "127.0.0.1");
        check(XForwardedFor, &[("forwarded", "for=6.6.6.6")], "127.0.0.1");
        check(Forwarded, &[("forwarded", "for=192.0.2.1;proto=https")], "192.0.2.1");
        check(Forwarded, &[("forwarded", "proto=https; For=\"[2001:db8::1]:4711\"")], "2001:db8::1");
        check(Forwarded, &[("forwarded", "for=6.6.6.6, for=192.0.2.1, for=10.1.1.1")], "192.0.2.1");
        check(Forwarded, &[("forwarded", "for=_hidden")], "127.0.0.1");
        check(Forwarded, &[(x, "6.6.6.6")], "127.0.0.1");
    }
}
