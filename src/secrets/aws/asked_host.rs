//! Records which host the requests go to; only the SDK's endpoint rules decide that.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_sdk_secretsmanager::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_secretsmanager::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_secretsmanager::error::BoxError;

/// The host of one client, known after its first request.
#[derive(Debug, Clone, Default)]
pub struct AskedHost(Arc<OnceLock<Address>>);

/// The host and port of a URL, without user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub is_https: bool,
    pub name: String,
    pub port: u16,
}

impl AskedHost {
    /// Returns the host of the requests, once known.
    pub fn get(&self) -> Option<&Address> {
        self.0.get()
    }
}

impl AskedHost {
    /// Returns the name without the port.
    pub fn name(&self) -> &str {
        self.get().map_or("", |address| &address.name)
    }

    /// Tells whether the name is one of AWS's hosts, not a custom endpoint.
    pub fn is_of_aws(&self) -> bool {
        let zones = [
            ".amazonaws.com",
            ".amazonaws.com.cn",
            ".api.aws",
            ".amazonaws.eu",
            ".ic.gov",
            ".sgov.gov",
            ".csp.hci.ic.gov",
        ];
        zones.iter().any(|zone| self.name().ends_with(zone))
    }
}

impl fmt::Display for AskedHost {
    /// Writes the name, and the port if it is not the default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(Address { name, port: 443, is_https: true }) => f.write_str(name),
            Some(Address { name, port, .. }) => write!(f, "{name}:{port}"),
            None => f.write_str("the AWS endpoint"),
        }
    }
}

impl Intercept for AskedHost {
    fn name(&self) -> &'static str {
        "AskedHost"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(origin) = Address::of(context.request().uri()) {
            let _ = self.0.set(origin);
        }
        Ok(())
    }
}

impl Address {
    fn of(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let is_https = scheme != "http";
        let authority = rest.split(['/', '?', '#']).next()?;
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()?),
            _ => (authority, if is_https { 443 } else { 80 }),
        };
        Some(Address { is_https, name: name.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_into_host_and_port() {
        for (url, expected) in [
            ("https://sts.us-east-1.amazonaws.com/", Some((true, "sts.us-east-1.amazonaws.com", 443))),
            ("http://user:pass@localhost:4566/path", Some((false, "localhost", 4566))),
            ("http://[::1]/", Some((false, "[::1]", 80))),
            ("http://[::1]:5000", Some((false, "[::1]", 5000))),
            ("nothing", None),
        ] {
            let expected = expected.map(|(is_https, name, port)| Address { is_https, name: name.to_owned(), port });
            assert_eq!(Address::of(url), expected, "{url}");
        }
    }
}
