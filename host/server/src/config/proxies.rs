//! Whose word counts on where a request came from.
//!
//! Reads no headers.

use std::net::IpAddr;

use ipnet::IpNet;

/// The proxies in front of the host. By default there are none: whoever connects is the client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    /// Their addresses and networks.
    pub trusted: Vec<IpNet>,
    /// Where they write whom they speak for.
    pub header: ForwardedHeader,
}

impl Proxies {
    /// Whether this is one of them.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// The header in which a proxy names its client. One only: what a proxy does not write itself it may pass on as the client
/// wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedHeader {
    /// What nearly every proxy writes.
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

/// `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let single = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical())).ok();
    text.parse().ok().or_else(single).ok_or_else(|| "expected addresses or networks such as 10.0.0.0/8".to_owned())
}

pub(super) fn header(text: &str) -> Result<ForwardedHeader, String> {
    match text {
        "x-forwarded-for" => Ok(ForwardedHeader::XForwardedFor),
        "forwarded" => Ok(ForwardedHeader::Forwarded),
        _ => Err("expected x-forwarded-for or forwarded".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks() {
        let check = |text: &str, inside: &str, expect: bool| {
            let proxies = Proxies { trusted: vec![network(text).unwrap()], ..Proxies::default() };
            assert_eq!(proxies.trusts(inside.parse().unwrap()), expect, "{text} {inside}");
        };
        check("10.0.0.1", "10.0.0.1", true);
        check("10.0.0.1", "10.0.0.2", false);
        check("10.0.0.0/8", "10.9.9.9", true);
        check("10.0.0.0/8", "::ffff:10.9.9.9", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("::1", "::1", true);
        check("fd00::/8", "fd12::1", true);
        check("fd00::/8", "10.0.0.1", false);
        for bad in ["", "proxy", "10.0.0.0/33", "10.0.0"] {
            assert!(network(bad).is_err(), "{bad}");
        }
        assert!(!Proxies::default().trusts("127.0.0.1".parse().unwrap()));
    }
}
