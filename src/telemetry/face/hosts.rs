//! Under which names the pages about tasks are shown. Pure.
//!
//! A page in somebody's browser may not read what is served on that machine, unless its own name is made to point there
//! (DNS rebinding): then the browser asks us under the attacker's name. So a name that nobody gave us is refused. No
//! attacker can own an address, `localhost`, or a name of one label, which is what containers call each other.

use std::net::{IpAddr, Ipv6Addr};

/// The names that we answer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    allowed: Vec<String>,
}

impl Hosts {
    /// Those that are known by themselves, and `allowed`: `box.example.org`, `*.example.org`, or `*` for any.
    pub fn new(allowed: &[String]) -> Self {
        Self { allowed: allowed.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Whether a request for `host` (`name`, `name:port`, `[::1]:port`) is meant for us. One without a name is: every
    /// browser sends one.
    pub(super) fn admit(&self, host: Option<&str>) -> bool {
        let Some(host) = host else { return true };
        let host = host.to_ascii_lowercase();
        let name = without_port(&host);
        is_address(name) || is_near(name) || self.allowed.iter().any(|allowed| matches(allowed, name))
    }
}

fn without_port(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

fn is_address(name: &str) -> bool {
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    inner.map_or_else(|| name.parse::<IpAddr>().is_ok(), |inner| inner.parse::<Ipv6Addr>().is_ok())
}

/// A name of one label, or one that means this machine wherever it is asked (RFC 6761).
fn is_near(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c))
    };
    is_label(name) || name.strip_suffix(".localhost").is_some_and(|rest| rest.split('.').all(is_label))
}

fn matches(allowed: &str, name: &str) -> bool {
    match allowed.strip_prefix('*') {
        Some("") => true,
        Some(end) => name.len() > end.len() && name.ends_with(end),
        None => allowed == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_else_can_own_are_ours() {
        let hosts = Hosts::new(&["Box.example.org".to_owned(), "*.corp.example".to_owned()]);
        for (host, ours) in [
            ("127.0.0.1:9091", true),
            ("10.1.2.3", true),
            ("[::1]:9091", true),
            ("[fe80::1]", true),
            ("localhost:9091", true),
            ("marie.localhost", true),
            ("marie:9091", true),
            ("host_1", true),
            ("MARIE:9091", true),
            ("box.example.org:9091", true),
            ("box.example.org.", true),
            ("a.corp.example", true),
            ("corp.example", false),
            ("evilcorp.example", false),
            ("rebind.attacker.net:9091", false),
            ("127.0.0.1.attacker.net", false),
            ("localhost.attacker.net", false),
            ("marie.attacker.net", false),
            ("box.example.org.attacker.net", false),
            ("", false),
            (":9091", false),
            ("..", false),
            (".localhost", false),
            ("marie@attacker", false),
            ("[::1].attacker.net", false),
        ] {
            assert_eq!(hosts.admit(Some(host)), ours, "{host}");
        }
        assert!(hosts.admit(None));
        assert!(Hosts::new(&["*".to_owned()]).admit(Some("any.name.at.all")));
    }
}
