//! Owns what is known of one registry: its address, whether it may be spoken to in the clear, and what its repositories have.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

use reqwest::Url;
use tokio::sync::OnceCell;

use super::access::Access;
use crate::image::digest::Digest;
use crate::image::name::Repository;
use crate::store::is_this_machine;

/// A registry.
pub struct Host {
    /// As the user wrote it, which is also what a login is found by.
    pub name: String,
    pub origin: String,
    pub access: Access,
    blobs: std::sync::Mutex<HashMap<(String, Digest), There>>,
}

/// Whether a repository has a blob.
type There = Arc<OnceCell<()>>;

/// What a token is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope(pub Vec<String>);

impl Scope {
    /// Reading a repository.
    pub fn pull(repository: &Repository) -> Self {
        Scope(vec![format!("repository:{}:pull", repository.path())])
    }

    /// Writing to a repository, and mounting from the one at another path.
    pub fn push(repository: &Repository, mount_from: Option<&str>) -> Self {
        let push = format!("repository:{}:pull,push", repository.path());
        Scope(std::iter::once(push).chain(mount_from.map(|from| format!("repository:{from}:pull"))).collect())
    }

    /// Tells whether a token of this scope does for another one too.
    pub fn covers(&self, other: &Scope) -> bool {
        other.0.iter().all(|right| self.0.contains(right))
    }
}

impl Host {
    /// Returns the registry of this name.
    pub fn new(name: &str, clear: &InTheClear) -> Self {
        let host = if name == "docker.io" { "registry-1.docker.io" } else { name };
        let scheme = if clear.has(host) { "http" } else { "https" };
        Host {
            name: name.to_owned(),
            origin: format!("{scheme}://{host}"),
            access: Access::default(),
            blobs: Default::default(),
        }
    }

    /// Returns an address in a repository; the parts of a name have only letters that mean themselves in an address.
    pub fn url(&self, repository: &Repository, rest: &str) -> String {
        format!("{}/v2/{}/{rest}", self.origin, repository.path())
    }

    /// Returns whether a repository has a blob: set as soon as this run has seen to it, and to be waited for until then.
    pub fn blob(&self, repository: &Repository, digest: &Digest) -> There {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(blobs.entry((repository.path().to_owned(), digest.clone())).or_default())
    }

    /// Tells whether an address is this registry's own: what is asked elsewhere is asked without a login.
    pub fn is_own(&self, url: &Url) -> bool {
        Url::parse(&self.origin).is_ok_and(|own| own.origin() == url.origin())
    }
}

/// The hosts that may be spoken to in the clear: this machine's addresses, and those that the user names.
#[derive(Debug, Clone, Default)]
pub struct InTheClear(Arc<BTreeSet<String>>);

impl InTheClear {
    /// Takes the user's, as `HOST[:PORT]`.
    pub fn new(hosts: Vec<String>) -> Self {
        InTheClear(Arc::new(hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect()))
    }

    /// Tells whether a registry of this name is asked in the clear.
    fn has(&self, host: &str) -> bool {
        is_loopback(host) || self.0.contains(&host.to_ascii_lowercase())
    }

    /// Tells whether one address may lead to another: to TLS, or to where that may be done without. What was asked over TLS
    /// does not lead to this machine, which the other side cannot mean.
    pub fn may_lead(&self, from: &str, to: &Url) -> bool {
        match to.scheme() {
            "https" => true,
            "http" => {
                let host = to.host_str().unwrap_or_default();
                let named = |port| self.0.contains(&format!("{host}:{port}"));
                // an address does not show its scheme's own port
                to.port_or_known_default().is_some_and(named)
                    || (to.port().is_none() && self.0.contains(host))
                    || (is_loopback(host) && !from.starts_with("https:"))
            }
            _ => false,
        }
    }
}

/// Tells whether a host is this machine.
pub fn is_loopback(host: &str) -> bool {
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
            assert_eq!(Host::new(name, &InTheClear::default()).origin, origin);
        }
    }

    #[test]
    fn a_registry_that_the_user_names_is_spoken_to_in_the_clear_and_no_other_port_of_it() {
        let clear = InTheClear::new(vec!["registry.lan:5000".to_owned()]);
        assert_eq!(Host::new("registry.lan:5000", &clear).origin, "http://registry.lan:5000");
        assert_eq!(Host::new("registry.lan", &clear).origin, "https://registry.lan");
        for (url, safe) in [
            ("http://registry.lan:5000/v2/", true),
            ("http://registry.lan/v2/", false),
            ("https://registry.lan/v2/", true),
            ("http://[::1]:5000/", true),
            ("ftp://localhost/", false),
        ] {
            assert_eq!(clear.may_lead("http://127.0.0.1:5000", &Url::parse(url).unwrap()), safe, "{url}");
        }
    }

    #[test]
    fn the_port_of_plain_http_is_named_or_not() {
        for named in ["registry.lan", "registry.lan:80", "Registry.LAN:80"] {
            let clear = InTheClear::new(vec![named.to_owned()]);
            let origin = Host::new(named, &clear).origin;
            assert_eq!(origin, format!("http://{named}"));
            assert!(clear.may_lead(&origin, &Url::parse(&format!("{origin}/v2/")).unwrap()), "{named}");
            assert!(!clear.may_lead(&origin, &Url::parse("http://registry.lan:5000/").unwrap()), "{named}");
        }
    }

    #[test]
    fn what_is_asked_over_tls_leads_to_plain_http_only_where_the_user_says_so() {
        let clear = InTheClear::new(vec!["tokens.lan".to_owned(), "127.0.0.1:5001".to_owned()]);
        for (to, may) in [
            ("https://elsewhere.example.com/", true),
            ("http://tokens.lan/token", true),
            ("http://127.0.0.1:5001/token", true),
            ("http://127.0.0.1:5000/token", false),
            ("http://localhost/token", false),
        ] {
            assert_eq!(clear.may_lead("https://registry.example.com", &Url::parse(to).unwrap()), may, "{to}");
        }
    }

    #[test]
    fn another_port_is_another_host() {
        let host = Host::new("registry.example.com", &InTheClear::default());
        assert!(host.is_own(&Url::parse("https://registry.example.com:443/v2/").unwrap()));
        for other in ["https://registry.example.com:444/", "http://registry.example.com/", "https://example.com/"] {
            assert!(!host.is_own(&Url::parse(other).unwrap()));
        }
    }
}
