//! Owns the diagnosis of requests that got no answer of the service: each way of being unreachable has its own.

use super::region;
use super::request::{Caller, failure};
use crate::secrets::aws::asked_host::AskedHost;
use crate::secrets::aws::call_error::NoAnswer;
use crate::secrets::{ProviderError, ProviderErrorKind};

const PROXY: &str = "a firewall, a proxy (HTTPS_PROXY) or AWS_ENDPOINT_URL is in the way";
const SETTINGS: &str = "check HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL";

/// The codes of the diagnoses below.
const CODES: [&str; 8] = [
    "no-such-host",
    "connection-refused",
    "tls-failed",
    "timed-out",
    "answer-cut-short",
    "not-an-answer",
    "connection-failed",
    "not-sent",
];

/// Tells whether a failure is that the service was not reached, so that nothing is known of the credential.
pub fn is_unreachable(failure: &ProviderError) -> bool {
    CODES.contains(&failure.diagnostic.code)
}

/// Diagnoses a request without an answer.
pub fn diagnose(caller: &Caller<'_>, host: &AskedHost, unanswered: &NoAnswer) -> ProviderError {
    let scope = caller.scope();
    let fail = |code, what: String| failure(ProviderErrorKind::Other, code, format!("{what} {scope}"));
    match unanswered {
        NoAnswer::NoSuchHost => {
            let failure = fail("no-such-host", format!("no such host: {host}"));
            let hint = match region::meant(caller.region) {
                Some(region) => format!("did you mean `region: {region}`?"),
                None => "check the credential's `region` and this machine's DNS".to_owned(),
            };
            failure
                .cause(format!("there is no region {}, or Secrets Manager is not in it", caller.region))
                .cause("this machine has no DNS, or no network")
                .hint(hint)
        }
        NoAnswer::ConnectionRefused => fail("connection-refused", format!("{host} refuses the connection"))
            .cause("nothing listens there: the wrong AWS_ENDPOINT_URL, or a test double that is not running")
            .cause("a firewall or a proxy refuses it")
            .hint(SETTINGS),
        NoAnswer::Tls(words) => fail("tls-failed", format!("no trusted connection to {host}"))
            .cause(format!("TLS says: {}", caller.redacted(words)))
            .cause("a proxy that opens TLS, whose CA this machine does not know, or an http endpoint named with https")
            .hint("add the CA to the system's, or name its file in SSL_CERT_FILE"),
        NoAnswer::Silent => fail("timed-out", format!("no answer from {host} in time"))
            .cause("packets are dropped: no route to the internet, and no VPC endpoint for the service")
            .cause(PROXY)
            .hint(reach(host)),
        NoAnswer::CutShort => fail("answer-cut-short", format!("the answer from {host} broke off"))
            .cause("the connection was lost, or something on the way limits it")
            .hint("try again"),
        NoAnswer::Garbled { status, request_id } => {
            let failure = fail("not-an-answer", format!("{host} does not answer as AWS does: HTTP {status}"));
            let failure = match request_id {
                Some(id) => {
                    failure.cause(format!("the answer was changed on its way (request ID {})", caller.redacted(id)))
                }
                None => failure,
            };
            match status {
                407 => failure.cause("the proxy asks for a login").hint("put it into HTTPS_PROXY"),
                _ => failure.cause(PROXY).hint(SETTINGS),
            }
        }
        NoAnswer::Connection(words) => fail("connection-failed", format!("no connection to {host}"))
            .cause(format!("the system says: {}", caller.redacted(words)))
            .cause(PROXY)
            .hint(reach(host)),
        NoAnswer::NotSent(words) => fail("not-sent", format!("the request to {host} could not be made"))
            .cause(format!("the AWS SDK says: {}", caller.redacted(words)))
            .hint("check the credential's `region`, AWS_ENDPOINT_URL and the AWS profile"),
    }
}

/// This machine knows nobody who vouches for a server.
pub fn no_authorities(credential: &str) -> ProviderError {
    let what = format!("no CA certificates on this machine (credential `{credential}`)");
    failure(ProviderErrorKind::Other, "no-ca-certificates", what)
        .cause("the system has none, as an image made from scratch, or SSL_CERT_FILE or SSL_CERT_DIR names none")
        .hint("install the package ca-certificates, or name a file of certificates in SSL_CERT_FILE")
}

fn reach(host: &AskedHost) -> String {
    let is_https = host.get().is_none_or(|origin| origin.is_https);
    format!("try to reach it from this machine, as with `curl -v {}://{host}`", if is_https { "https" } else { "http" })
}
