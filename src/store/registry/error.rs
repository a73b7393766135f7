//! Owns the failures of registries: each becomes a diagnosis with a next step. No URL is shown, since the URL of an upload gives access
//! to it.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use super::host::Host;
use super::plain_http::is_loopback;
use crate::diagnostic::foreign::ForeignText;
use crate::diagnostic::{Diagnostic, Subject};
use crate::image::name::ImageName;
use crate::runtime::bounded::{self, ReadLimits};
pub(super) use crate::store::NOT_FOUND;
use crate::store::StoreError;

/// Why a request to a registry failed.
pub enum RegistryError {
    /// The registry could not be reached, or the connection broke.
    Connection {
        tls: bool,
        cause: ForeignText,
    },
    Timeout,
    Refused {
        status: StatusCode,
        /// The registry's code and message, if it sent any.
        said: Option<ForeignText>,
        retry_after: Option<Duration>,
        /// What arrived is not what was sent.
        is_damaged: bool,
    },
    /// The diagnosis is made already.
    Diagnosed(StoreError),
    /// The same, and a retry may succeed.
    Transient(StoreError),
}

/// The code of a diagnosis: there is no connection, or it broke.
const UNREACHABLE: &str = "registry-unreachable";
const TIMEOUT: &str = "registry-timeout";
const FAILED: &str = "registry-failed";
const THROTTLED: &str = "registry-throttled";

/// The longest wait that a registry may ask for; a request is not retried after a longer one.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The limits of the body of a refusal.
const REFUSAL: ReadLimits = ReadLimits { bytes: 64 * 1024, time: Duration::from_secs(10) };

#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<RegistryReason>,
}

#[derive(Deserialize)]
struct RegistryReason {
    code: Option<String>,
    message: Option<String>,
}

impl From<reqwest::Error> for RegistryError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return RegistryError::Timeout;
        }
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        let mut tls = false;
        while let Some(source) = next(cause) {
            cause = source;
            tls = tls || cause.is::<rustls::Error>();
        }
        RegistryError::Connection { tls, cause: ForeignText::new(cause.to_string()) }
    }
}

/// Returns the source of an error, also inside an I/O error that wraps one.
fn next<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

impl From<rustls::Error> for RegistryError {
    fn from(error: rustls::Error) -> Self {
        RegistryError::Connection { tls: true, cause: ForeignText::new(error.to_string()) }
    }
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        RegistryError::Diagnosed(error)
    }
}

impl RegistryError {
    /// Reads why the registry refused.
    pub(super) async fn from_response(response: reqwest::Response) -> Self {
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let body = bounded::collect(response.bytes_stream(), REFUSAL).await.unwrap_or_default();
        RegistryError::from_refusal(status, retry_after, &body)
    }

    /// Reads the registry's reason from the body of a response.
    pub fn from_refusal(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let reason = serde_json::from_slice::<ErrorBody>(body).ok().and_then(|body| body.errors.into_iter().next());
        let (code, message) = reason.map_or((None, None), |reason| (reason.code, reason.message));
        let is_damaged = code.as_deref() == Some("DIGEST_INVALID");
        let said = match (code, message) {
            (Some(code), Some(message)) if !message.is_empty() => Some(format!("{code}: {message}")),
            (code, message) => code.or(message),
        };
        RegistryError::Refused { status, said: said.map(ForeignText::new), retry_after, is_damaged }
    }

    /// Reads why the registry refused a new token: the login is accepted and lacks permission.
    pub(super) async fn denied(response: reqwest::Response) -> Self {
        match RegistryError::from_response(response).await {
            RegistryError::Refused { said, retry_after, is_damaged, .. } => {
                RegistryError::Refused { status: StatusCode::FORBIDDEN, said, retry_after, is_damaged }
            }
            other => other,
        }
    }

    /// Takes the failure of reading a base, which may pass if its registry hung up.
    pub(super) fn from_base(error: StoreError) -> Self {
        if error.0.code == UNREACHABLE { RegistryError::Transient(error) } else { RegistryError::Diagnosed(error) }
    }

    /// Tells whether a retry may succeed.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            RegistryError::Connection { tls, .. } => !tls,
            RegistryError::Refused { status, is_damaged, .. } => *is_damaged || may_pass(*status),
            RegistryError::Transient(_) => true,
            RegistryError::Timeout | RegistryError::Diagnosed(_) => false,
        }
    }

    /// Tells whether the registry says that a digest is not that of what it has.
    pub(super) fn is_damaged(&self) -> bool {
        matches!(self, RegistryError::Refused { is_damaged: true, .. })
    }

    /// Tells whether the registry refuses this for good.
    pub(super) fn is_declined(&self) -> bool {
        matches!(self, RegistryError::Refused { status, .. } if status.is_client_error() && !may_pass(*status))
    }

    /// Returns how long the registry asks to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            RegistryError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Returns the diagnosis; `shown` is the image as the user wrote it.
    pub fn diagnose(self, shown: &str) -> StoreError {
        let (host, may_be_host) = match ImageName::parse(shown) {
            Ok(ImageName::Registry(repository)) => (repository.host().to_owned(), repository.may_be_host()),
            _ => ("HOST".to_owned(), false),
        };
        let about = |code, before: String, after: &str| about(code, shown, before, after);
        let diagnostic = match self {
            RegistryError::Diagnosed(error) | RegistryError::Transient(error) => return error,
            RegistryError::Timeout => about(TIMEOUT, format!("the registry {host} does not answer for "), "")
                .hint("try again; if a proxy is needed, set HTTPS_PROXY"),
            RegistryError::Connection { tls: true, cause } => {
                about("registry-tls", format!("the registry {host} of "), " does not prove who it is")
                    .cause(cause)
                    .hint("set SSL_CERT_FILE to its CA certificate, or SSL_CERT_DIR to a directory of them")
            }
            RegistryError::Connection { tls: false, cause } => {
                about(UNREACHABLE, format!("the registry {host} of "), " cannot be reached")
                    .cause(cause)
                    .hint(match is_loopback(&host) {
                        true => "start the registry or check the port; on this machine it is asked in plain HTTP, on any other name over TLS",
                        false => "check the host name and the network; a proxy is set with HTTPS_PROXY",
                    })
            }
            RegistryError::Refused { status, said, retry_after, .. } => {
                let diagnostic = match status {
                    StatusCode::UNAUTHORIZED => {
                        about("registry-unauthorized", format!("the registry {host} asks for a login for "), "")
                            .hint(format!("log in with `docker login {host}`"))
                    }
                    StatusCode::FORBIDDEN => {
                        about("registry-denied", format!("the registry {host} denies this login access to "), "")
                            .hint("get this login access to the repository, or use another login")
                    }
                    StatusCode::NOT_FOUND => {
                        about(NOT_FOUND, format!("image not found in the registry {host}: "), "")
                            .hint("check the repository and the tag; you may need to log in to see it")
                    }
                    StatusCode::TOO_MANY_REQUESTS => {
                        about(THROTTLED, format!("the registry {host} limits requests for "), "")
                            .hint("wait, or log in: a login often has a higher limit")
                    }
                    status if status.is_server_error() => {
                        let after = format!(" with status {status}");
                        about(FAILED, format!("the registry {host} failed for "), &after)
                            .hint("try again, and see the registry's log")
                    }
                    status if status.is_success() => {
                        let before = format!("the registry {host} answered {status} for ");
                        about(FAILED, before, ", and not as a registry does")
                            .hint(format!("check that no proxy or login page answers for {host}"))
                    }
                    status => {
                        let after = format!(" with status {status}");
                        about("registry-refused", format!("the registry {host} refused "), &after)
                            .hint("see the registry's log or documentation")
                    }
                };
                let wait = retry_after.filter(|wait| may_pass(status) && *wait > LONGEST_WAIT);
                let wait = wait.map(|wait| format!("it asks to wait {} seconds", wait.as_secs()));
                said.map(String::from).into_iter().chain(wait).fold(diagnostic, Diagnostic::cause)
            }
        };
        match may_be_host {
            true => diagnostic.hint(format!("for a registry of this name and port, write {shown}/REPO:TAG")).into(),
            false => diagnostic.into(),
        }
    }
}

/// Tells whether another image of the registry probably has the same failure.
pub(super) fn is_outage(error: &StoreError) -> bool {
    [UNREACHABLE, TIMEOUT, FAILED, THROTTLED].contains(&error.0.code)
}

/// Says that a registry was not asked for an image, after it failed for as many others in a row.
pub(super) fn not_asked(shown: &str, host: &str, failed: usize) -> StoreError {
    about("registry-not-asked", shown, format!("the registry {host} was not asked for "), "")
        .cause(format!("it failed {failed} times in a row"))
        .hint("try again when it is up")
        .into()
}

/// Returns an error about an image, which other images of the registry may share. `before` and `after` are the words around its name.
fn about(code: &'static str, shown: &str, before: String, after: &str) -> Diagnostic {
    let what = format!("{before}`{shown}`{after}");
    let of_many = Some([before, after.to_owned()]);
    Diagnostic::error(code, what).about(Subject { name: shown.to_owned(), kind: "image", of_many, hints: Vec::new() })
}

/// Tells whether a retry may succeed after this status.
pub(super) fn may_pass(status: StatusCode) -> bool {
    match status.as_u16() {
        408 | 429 => true,
        // not implemented: a retry does not help
        501 | 505 => false,
        _ => status.is_server_error(),
    }
}

/// Reads `Retry-After`: seconds or a time.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        // a time in the past: no wait
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).unwrap_or_default()),
    }
}

/// Says that bytes do not match their digest.
pub(super) fn mismatch(shown: &str, what: &str) -> StoreError {
    Diagnostic::error("digest-mismatch", format!("{what} of `{shown}` does not match its digest"))
        .cause("the registry, or something on the way to it, changed it")
        .hint("do not use this registry until you know why")
        .into()
}

/// Says that a registry, or its token service, refuses the login itself.
pub(super) fn wrong_login(host: &Host) -> StoreError {
    let what = format!("the registry {} does not accept the login in Docker's configuration", host.name);
    let hint = format!("log in again with `docker login {}`", host.name);
    Diagnostic::error("registry-unauthorized", what).hint(hint).into()
}

/// Says that a registry does not accept what its own token service gives.
pub(super) fn unaccepted_tokens(host: &Host) -> StoreError {
    let what = format!("the registry {} does not accept the tokens that its token service has just given", host.name);
    Diagnostic::error("registry-token", what)
        .cause("the clocks of the two differ, or the registry does not know the key that the service signs with")
        .hint("see the registry's log, and compare the clocks and the certificates of both")
        .into()
}

/// Says that a registry leads to plain HTTP.
pub(super) fn insecure_address(host: &Host) -> StoreError {
    let what = format!("the registry {} sends requests to an address without TLS", host.name);
    Diagnostic::error("registry-insecure", what)
        .cause("a login or an image would be sent unencrypted")
        .hint("configure the registry with its https address")
        .hint("if you trust the network, pass --insecure-registry HOST[:PORT]")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_may_be_a_host_has_the_name_to_write() {
        let missing = || RegistryError::Refused {
            status: StatusCode::NOT_FOUND,
            said: None,
            retry_after: None,
            is_damaged: false,
        };
        assert_eq!(
            missing().diagnose("docker://myhost:5000").0.to_string(),
            "error: image not found in the registry docker.io: `docker://myhost:5000`\n  \
             hint: check the repository and the tag; you may need to log in to see it\n  \
             hint: for a registry of this name and port, write docker://myhost:5000/REPO:TAG"
        );
        assert_eq!(missing().diagnose("docker://redis:7").0.hints.len(), 1);
    }

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_as_a_time() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Thu, 01 Jan 1970 00:00:07 GMT"), Some(Duration::ZERO));
        let soon = wait(&httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(1000))).unwrap();
        assert!(soon > Duration::from_secs(900) && soon <= Duration::from_secs(1000), "{soon:?}");
        assert_eq!(wait("soon"), None);
    }
}
