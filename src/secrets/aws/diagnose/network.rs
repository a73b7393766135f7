//! Diagnoses requests that the service did not answer; each network failure has its own diagnosis.

use super::request::{Caller, failure};
use crate::org::regions::{is_known, nearest_known};
use crate::secrets::aws::asked_host::AskedHost;
use crate::secrets::aws::call_error::NoAnswer;
use crate::secrets::{ProviderError, ProviderErrorKind};

const PROXY: &str = "a firewall, a proxy (HTTPS_PROXY) or AWS_ENDPOINT_URL is in the way";
const SETTINGS: &str = "check HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL";

/// The codes of the diagnoses below.
const CODES: [&str; 9] = [
    "answer-too-large",
    "no-such-host",
    "connection-refused",
    "tls-failed",
    "timed-out",
    "answer-cut-short",
    "not-an-answer",
    "connection-failed",
    "not-sent",
];

/// The codes of settings that prevent all requests.
const SETTINGS_CODES: [&str; 4] = ["bad-endpoint", "no-ca-bundle", "bad-ca-bundle", NO_AUTHORITIES];
const NO_AUTHORITIES: &str = "no-ca-certificates";

/// Tells whether this machine's endpoint or certificate settings prevented the request.
pub fn is_of_settings(failure: &ProviderError) -> bool {
    SETTINGS_CODES.contains(&failure.diagnostic.code)
}

/// Tells whether the service was not reached, so nothing is known about the credential.
pub fn is_unreachable(failure: &ProviderError) -> bool {
    CODES.contains(&failure.diagnostic.code)
}

/// Diagnoses a request without an answer.
pub fn diagnose(caller: &Caller<'_>, host: &AskedHost, unanswered: &NoAnswer) -> ProviderError {
    let scope = caller.scope();
    let fail = |code, what: String| failure(ProviderErrorKind::Other, code, format!("{what} {scope}"));
    match unanswered {
        NoAnswer::NoSuchHost => no_such_host(caller, host, fail("no-such-host", format!("no such host: {host}"))),
        NoAnswer::ConnectionRefused => fail("connection-refused", format!("{host} refuses the connection"))
            .cause("nothing listens there: the wrong AWS_ENDPOINT_URL, or a test double that is not running")
            .cause("a firewall or a proxy refuses it")
            .hint(SETTINGS),
        NoAnswer::Tls(words) => fail("tls-failed", format!("no trusted connection to {host}"))
            .cause(format!("TLS says: {}", caller.shown(words)))
            .cause("a proxy that opens TLS, whose CA this machine does not know, or an http endpoint named with https")
            .hint("set AWS_CA_BUNDLE to a file with the proxy's CA certificate, or add it to the system's"),
        NoAnswer::Silent => fail("timed-out", format!("no answer from {host} in time"))
            .cause("packets are dropped: no route to the internet, and no VPC endpoint for the service")
            .cause(PROXY)
            .hint(reach(host)),
        NoAnswer::CutShort => fail("answer-cut-short", format!("the answer from {host} broke off"))
            .cause("the connection was lost, or something on the way limits it")
            .hint("try again"),
        NoAnswer::TooLarge => fail("answer-too-large", format!("the response from {host} is longer than any of AWS's"))
            .cause(PROXY)
            .hint(SETTINGS),
        NoAnswer::Garbled { status, request_id } => {
            let failure = fail("not-an-answer", format!("{host} does not answer as AWS does: HTTP {status}"));
            let failure = match request_id {
                Some(id) => {
                    failure.cause(format!("the answer was changed on its way (request ID {})", caller.shown(id)))
                }
                None => failure,
            };
            match status {
                407 => failure.cause("the proxy asks for a login").hint("put it into HTTPS_PROXY"),
                _ => failure.cause(PROXY).hint(SETTINGS),
            }
        }
        NoAnswer::Connection(words) => fail("connection-failed", format!("no connection to {host}"))
            .cause(format!("the system says: {}", caller.shown(words)))
            .cause(PROXY)
            .hint(reach(host)),
        NoAnswer::NotSent => fail("not-sent", format!("the AWS SDK could not make the request to {host}"))
            .cause("the region, an endpoint URL or the AWS profile does not fit the service")
            .hint("check the credential's `region`, AWS_ENDPOINT_URL and the AWS profile"),
    }
}

/// A host name has no address: a wrong endpoint URL, a wrong region in it, or this machine's network.
fn no_such_host(caller: &Caller<'_>, host: &AskedHost, failure: ProviderError) -> ProviderError {
    const NETWORK: &str = "this machine's DNS does not answer, or it has no network";
    let region = caller.region;
    if !host.is_of_aws() {
        return failure
            .cause("AWS_ENDPOINT_URL, the variable of the service or a profile's endpoint_url names a host that does not exist")
            .cause(NETWORK)
            .hint("check the endpoint URL that is set, and this machine's DNS");
    }
    let look_up = format!("look the host up, as with `getent hosts {}`", host.name());
    if is_known(region) {
        return failure
            .cause(NETWORK)
            .cause("the network is reached through a proxy only, and HTTPS_PROXY is not set")
            .hint(format!("{look_up}, and check HTTPS_PROXY and NO_PROXY"));
    }
    failure.cause(format!("there may be no region {region}")).cause(NETWORK).hint(match nearest_known(region) {
        Some(known) => format!("did you mean `region: {known}`?"),
        None => format!("check the credential's `region`; {look_up}"),
    })
}

/// No CA certificates are installed.
pub fn no_authorities(credential: &str) -> ProviderError {
    let what = format!("no CA certificates on this machine (credential `{credential}`)");
    failure(ProviderErrorKind::Other, NO_AUTHORITIES, what)
        .cause("the system has none, as an image made from scratch, or SSL_CERT_FILE or SSL_CERT_DIR names none")
        .hint("install the package ca-certificates, or set AWS_CA_BUNDLE to a file of certificates")
}

fn reach(host: &AskedHost) -> String {
    let is_https = host.get().is_none_or(|origin| origin.is_https);
    format!("try to reach it from this machine, as with `curl -v {}://{host}`", if is_https { "https" } else { "http" })
}
