//! Owns the knowledge of which host the requests go to, which only the SDK's endpoint rules decide.

use std::sync::{Arc, OnceLock};

use aws_sdk_secretsmanager::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_secretsmanager::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_secretsmanager::error::BoxError;

/// The host of one client, known from its first request on.
#[derive(Debug, Clone, Default)]
pub struct Host(Arc<OnceLock<(String, u16)>>);

impl Host {
    /// Returns the host's name and port.
    pub fn get(&self) -> Option<(&str, u16)> {
        self.0.get().map(|(name, port)| (name.as_str(), *port))
    }

    /// Returns the host's name for a diagnosis.
    pub fn name(&self) -> &str {
        self.get().map_or("the AWS endpoint", |(name, _)| name)
    }
}

impl Intercept for Host {
    fn name(&self) -> &'static str {
        "Host"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some((name, port)) = split(context.request().uri()) {
            let _ = self.0.set((name.to_owned(), port));
        }
        Ok(())
    }
}

/// Returns the host and port of a URL, without the user and password that may stand before them.
fn split(url: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let default = if scheme == "http" { 80 } else { 443 };
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => Some((name, port.parse().ok()?)),
        _ => Some((authority, default)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_into_host_and_port() {
        for (url, expected) in [
            ("https://sts.us-east-1.amazonaws.com/", Some(("sts.us-east-1.amazonaws.com", 443))),
            ("http://user:pass@localhost:4566/path", Some(("localhost", 4566))),
            ("http://[::1]/", Some(("[::1]", 80))),
            ("http://[::1]:5000", Some(("[::1]", 5000))),
            ("nothing", None),
        ] {
            assert_eq!(split(url), expected, "{url}");
        }
    }
}
