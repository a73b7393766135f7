//! Owns the address of a registry.

use reqwest::Url;

use super::plain_http::PlainHttp;
use crate::image::name::Repository;

/// A registry's address.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// As the user wrote it, by which its login is found.
    pub name: String,
    /// The scheme, the host and the port.
    pub origin: String,
}

impl Host {
    /// Returns the address of the registry with this name.
    pub(super) fn new(name: &str, plain: &PlainHttp) -> Self {
        let host = if name == "docker.io" { "registry-1.docker.io" } else { name };
        let scheme = if plain.has(host) { "http" } else { "https" };
        Host { name: name.to_owned(), origin: format!("{scheme}://{host}") }
    }

    /// Returns the URL of a path in a repository; no part of a repository's name needs an escape.
    pub(super) fn url(&self, repository: &Repository, path: &str) -> String {
        format!("{}/v2/{}/{path}", self.origin, repository.path())
    }

    /// Tells whether a URL is in this registry. No other one is sent its login.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        Url::parse(&self.origin).is_ok_and(|own| own.origin() == url.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_asked_in_plain_http() {
        for (name, origin) in [
            ("localhost:5000", "http://localhost:5000"),
            ("localhost", "http://localhost"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("127.8.0.1", "http://127.8.0.1"),
            ("[::1]:5000", "http://[::1]:5000"),
            ("localhost.example.com", "https://localhost.example.com"),
            ("127.0.0.1.example.com", "https://127.0.0.1.example.com"),
            ("10.0.0.1:5000", "https://10.0.0.1:5000"),
            ("docker.io", "https://registry-1.docker.io"),
        ] {
            assert_eq!(Host::new(name, &PlainHttp::default()).origin, origin);
        }
    }

    #[test]
    fn a_registry_that_the_user_names_is_asked_in_plain_http_at_that_port_only() {
        let plain = PlainHttp::new(vec!["registry.lan:5000".to_owned()]);
        assert_eq!(Host::new("registry.lan:5000", &plain).origin, "http://registry.lan:5000");
        assert_eq!(Host::new("registry.lan", &plain).origin, "https://registry.lan");
        for (url, safe) in [
            ("http://registry.lan:5000/v2/", true),
            ("http://registry.lan/v2/", false),
            ("https://registry.lan/v2/", true),
            ("http://[::1]:5000/", true),
            ("ftp://localhost/", false),
        ] {
            assert_eq!(plain.may_lead("http://127.0.0.1:5000", &Url::parse(url).unwrap()), safe, "{url}");
        }
    }

    #[test]
    fn the_default_port_of_plain_http_may_be_named_or_not() {
        for named in ["registry.lan", "registry.lan:80", "Registry.LAN:80"] {
            let plain = PlainHttp::new(vec![named.to_owned()]);
            let origin = Host::new(named, &plain).origin;
            assert_eq!(origin, format!("http://{named}"));
            assert!(plain.may_lead(&origin, &Url::parse(&format!("{origin}/v2/")).unwrap()), "{named}");
            assert!(!plain.may_lead(&origin, &Url::parse("http://registry.lan:5000/").unwrap()), "{named}");
        }
    }

    #[test]
    fn another_port_is_another_registry() {
        let host = Host::new("registry.example.com", &PlainHttp::default());
        assert!(host.is_own(&Url::parse("https://registry.example.com:443/v2/").unwrap()));
        for other in ["https://registry.example.com:444/", "http://registry.example.com/", "https://example.com/"] {
            assert!(!host.is_own(&Url::parse(other).unwrap()));
        }
    }
}
