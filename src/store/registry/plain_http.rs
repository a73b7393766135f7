//! Owns the rule of which hosts may be asked in plain HTTP: this machine's, and those that the user names.

use std::collections::BTreeSet;
use std::sync::Arc;

use reqwest::Url;

use crate::store::is_this_machine;

/// The hosts that the user names for plain HTTP, besides this machine.
#[derive(Debug, Clone, Default)]
pub(super) struct PlainHttp(Arc<BTreeSet<String>>);

impl PlainHttp {
    /// Takes the user's hosts, each `HOST[:PORT]`.
    pub(super) fn new(hosts: Vec<String>) -> Self {
        PlainHttp(Arc::new(hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect()))
    }

    /// Tells whether a registry of this name is asked in plain HTTP.
    pub(super) fn has(&self, host: &str) -> bool {
        is_loopback(host) || self.0.contains(&host.to_ascii_lowercase())
    }

    /// Tells whether a request to one address may be sent on to another: to TLS, or to a host of plain HTTP. A request over TLS is not
    /// sent on to this machine, which the other side cannot mean.
    pub(super) fn may_lead(&self, from: &str, to: &Url) -> bool {
        match to.scheme() {
            "https" => true,
            "http" => {
                let host = to.host_str().unwrap_or_default();
                let named = |port| self.0.contains(&format!("{host}:{port}"));
                // a URL does not show its scheme's default port
                to.port_or_known_default().is_some_and(named)
                    || (to.port().is_none() && self.0.contains(host))
                    || (is_loopback(host) && !from.starts_with("https:"))
            }
            _ => false,
        }
    }
}

/// Tells whether a host, with or without a port, is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    is_this_machine(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_over_tls_is_sent_on_to_plain_http_only_where_the_user_says_so() {
        let plain = PlainHttp::new(vec!["tokens.lan".to_owned(), "127.0.0.1:5001".to_owned()]);
        for (to, may) in [
            ("https://elsewhere.example.com/", true),
            ("http://tokens.lan/token", true),
            ("http://127.0.0.1:5001/token", true),
            ("http://127.0.0.1:5000/token", false),
            ("http://localhost/token", false),
        ] {
            assert_eq!(plain.may_lead("https://registry.example.com", &Url::parse(to).unwrap()), may, "{to}");
        }
    }
}
