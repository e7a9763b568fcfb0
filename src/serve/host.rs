//! Which names the server answers to. No I/O.
//!
//! A page of another site may let its own name lead to 127.0.0.1, and would then read with the
//! user's browser what only this machine can reach (DNS rebinding). Its name stands in `Host`.

use std::net::IpAddr;

/// The names that are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hosts {
    /// In lower case.
    names: Vec<String>,
    is_checked: bool,
}

impl Hosts {
    /// For a server at this address that the user gives these names besides. One that other
    /// machines reach answers to every name unless there are some.
    pub(super) fn new(address: IpAddr, names: &[String]) -> Self {
        let is_checked = address.is_loopback() || !names.is_empty();
        Self { names: names.iter().map(|name| name.to_ascii_lowercase()).collect(), is_checked }
    }

    /// Whether a request for this host, with or without a port, is answered. Addresses are always
    /// allowed, as no other site can have them as its name.
    pub(super) fn allow(&self, host: Option<&str>) -> bool {
        let Some(host) = host.filter(|_| self.is_checked) else { return true };
        let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
        let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        name == "localhost"
            || name.ends_with(".localhost")
            || address.unwrap_or(&name).parse::<IpAddr>().is_ok()
            || self.names.contains(&name)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered_on_loopback() {
        let own = Hosts::new(IpAddr::from([127, 0, 0, 1]), &["Repo.Example.org".to_owned()]);
        for (host, expected) in [
            (None, true),
            (Some("localhost"), true),
            (Some("LOCALHOST:8080"), true),
            (Some("a.localhost:1"), true),
            (Some("127.0.0.1:8080"), true),
            (Some("[::1]:8080"), true),
            (Some("[::1]"), true),
            (Some("repo.example.org:80"), true),
            (Some("repo.example.org."), true),
            (Some("evil.example.org"), false),
            (Some("localhost.evil.example.org"), false),
            (Some("127.0.0.1.evil.example.org"), false),
            (Some("localhost:x"), false),
            (Some(""), false),
        ] {
            assert_eq!(own.allow(host), expected, "{host:?}");
        }
        let public = Hosts::new(IpAddr::from([0, 0, 0, 0]), &[]);
        assert!(public.allow(Some("anything")));
    }
}
