//! Owns what is known of one registry: its address, whether it may be spoken to in the clear, and the tokens it gave.

use std::collections::HashMap;

use reqwest::Url;
use reqwest::header::HeaderValue;
use tokio::sync::Mutex;

use super::challenge::Challenge;
use crate::image::name::Repository;

/// A registry.
pub struct Host {
    /// As the user wrote it, which is also what a login is found by.
    pub name: String,
    pub origin: String,
    pub access: Mutex<Access>,
}

/// How the registry wants to be asked.
#[derive(Default)]
pub struct Access {
    pub challenge: Option<Challenge>,
    /// What is sent as `Authorization`, by what it is for; marked sensitive.
    pub tokens: HashMap<Scope, HeaderValue>,
}

/// What a token is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope(pub Vec<String>);

impl Scope {
    /// Reading a repository.
    pub fn pull(repository: &Repository) -> Self {
        Scope(vec![format!("repository:{}:pull", repository.path())])
    }

    /// Writing to a repository, and mounting from another one.
    pub fn push(repository: &Repository, mount_from: Option<&Repository>) -> Self {
        let push = format!("repository:{}:pull,push", repository.path());
        Scope(std::iter::once(push).chain(mount_from.map(|from| format!("repository:{}:pull", from.path()))).collect())
    }
}

impl Host {
    /// Returns the registry of this name.
    pub fn new(name: &str) -> Self {
        let host = if name == "docker.io" { "registry-1.docker.io" } else { name };
        let scheme = if is_loopback(host) { "http" } else { "https" };
        Host { name: name.to_owned(), origin: format!("{scheme}://{host}"), access: Mutex::default() }
    }

    /// Returns an address in a repository; the parts of a name have only letters that mean themselves in an address.
    pub fn url(&self, repository: &Repository, rest: &str) -> String {
        format!("{}/v2/{}/{rest}", self.origin, repository.path())
    }

    /// Tells whether an address is this registry's own: what is asked elsewhere is asked without a login.
    pub fn is_own(&self, url: &Url) -> bool {
        Url::parse(&self.origin).is_ok_and(|own| own.origin() == url.origin())
    }
}

/// Tells whether an address may be asked in the clear: over TLS, or on this machine.
pub fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && url.host_str().is_some_and(is_loopback))
}

/// Tells whether a host is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
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
            assert_eq!(Host::new(name).origin, origin);
        }
    }

    #[test]
    fn another_port_is_another_host() {
        let host = Host::new("registry.example.com");
        assert!(host.is_own(&Url::parse("https://registry.example.com:443/v2/").unwrap()));
        for other in ["https://registry.example.com:444/", "http://registry.example.com/", "https://example.com/"] {
            assert!(!host.is_own(&Url::parse(other).unwrap()));
        }
    }
}
