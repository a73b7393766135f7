//! Owns what a registry's failures mean: each becomes a diagnosis with a next step. An address is never shown whole, since that
//! of an upload is a key to it.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use super::host::is_loopback;
use crate::diagnostic::Diagnostic;
use crate::diagnostic::foreign::ForeignText;
use crate::image::name::ImageName;
use crate::runtime::bounded::{self, Limits};
use crate::store::StoreError;

/// Why a request to a registry did not do what it should.
pub enum Failure {
    /// The registry could not be reached, or the connection broke.
    Connection {
        tls: bool,
        cause: ForeignText,
    },
    Timeout,
    Refused {
        status: StatusCode,
        /// The registry's code and message, if it gave any.
        said: Option<ForeignText>,
        retry_after: Option<Duration>,
    },
    /// Another one's diagnosis.
    Told(StoreError),
    /// The same, of what may pass.
    Passing(StoreError),
}

/// The code of a diagnosis: there is no such image, or it cannot be seen.
pub const NOT_FOUND: &str = "image-not-found";

/// The code of a diagnosis: there is no connection, or it broke.
const UNREACHABLE: &str = "registry-unreachable";

/// The longest wait that a registry may ask for.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What an answer to a refused request may take.
const REFUSAL: Limits = Limits { bytes: 64 * 1024, time: Duration::from_secs(10) };

#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<RegistryReason>,
}

#[derive(Deserialize)]
struct RegistryReason {
    code: Option<String>,
    message: Option<String>,
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Failure::Timeout;
        }
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        let mut tls = false;
        while let Some(source) = next(cause) {
            cause = source;
            tls = tls || cause.is::<rustls::Error>();
        }
        Failure::Connection { tls, cause: ForeignText::new(cause.to_string()) }
    }
}

/// Returns what is behind an error, also behind an I/O error that wraps another.
fn next<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

impl From<rustls::Error> for Failure {
    fn from(error: rustls::Error) -> Self {
        Failure::Connection { tls: true, cause: ForeignText::new(error.to_string()) }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Told(error)
    }
}

impl Failure {
    /// Reads why the registry refused.
    pub async fn refused(response: reqwest::Response) -> Self {
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let body = bounded::collect(response.bytes_stream(), REFUSAL).await.unwrap_or_default();
        let reason = serde_json::from_slice::<ErrorBody>(&body).ok().and_then(|body| body.errors.into_iter().next());
        let (code, message) = reason.map_or((None, None), |reason| (reason.code, reason.message));
        let said = match (code, message) {
            (Some(code), Some(message)) if !message.is_empty() => Some(format!("{code}: {message}")),
            (code, message) => code.or(message),
        };
        Failure::Refused { status, said: said.map(ForeignText::new), retry_after }
    }

    /// Reads why the registry refused a token that was made for the request: the login is right, and lacks the right.
    pub async fn denied(response: reqwest::Response) -> Self {
        match Failure::refused(response).await {
            Failure::Refused { said, retry_after, .. } => {
                Failure::Refused { status: StatusCode::FORBIDDEN, said, retry_after }
            }
            other => other,
        }
    }

    /// Takes another one's diagnosis: that of a base which was cut off on its way may pass.
    pub fn told(error: StoreError) -> Self {
        if error.0.code == UNREACHABLE { Failure::Passing(error) } else { Failure::Told(error) }
    }

    /// Tells whether the same request may succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Failure::Connection { tls, .. } => !tls,
            Failure::Refused { status, .. } => is_passing(*status),
            Failure::Passing(_) => true,
            Failure::Timeout | Failure::Told(_) => false,
        }
    }

    /// Tells whether the registry will not do this, whatever else it does.
    pub fn is_declined(&self) -> bool {
        matches!(self, Failure::Refused { status, .. } if status.is_client_error() && !is_passing(*status))
    }

    /// Returns how long the registry asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Failure::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Returns the diagnosis, with what the user wrote.
    pub fn of(self, shown: &str) -> StoreError {
        let host = match ImageName::parse(shown) {
            Ok(ImageName::Registry(repository)) => repository.host().to_owned(),
            _ => "HOST".to_owned(),
        };
        let diagnostic = match self {
            Failure::Told(error) | Failure::Passing(error) => return error,
            Failure::Timeout => {
                Diagnostic::error("registry-timeout", format!("the registry {host} does not answer for `{shown}`"))
                    .hint("try again; a proxy, if one is needed, is named by HTTPS_PROXY")
            }
            Failure::Connection { tls: true, cause } => {
                Diagnostic::error("registry-tls", format!("the registry {host} of `{shown}` does not prove who it is"))
                    .cause(cause)
                    .hint("name the file with its CA's certificate with SSL_CERT_FILE, or a folder with SSL_CERT_DIR")
            }
            Failure::Connection { tls: false, cause } => Diagnostic::error(
                UNREACHABLE,
                format!("the registry {host} of `{shown}` cannot be reached"),
            )
            .cause(cause)
            .hint(match is_loopback(&host) {
                true => {
                    "it is asked in plain HTTP, as every registry on this machine: for TLS, reach it by another address"
                }
                false => "check the name of the host, and the network; a proxy is named by HTTPS_PROXY",
            }),
            Failure::Refused { status, said, retry_after } => {
                let diagnostic = match status {
                    StatusCode::UNAUTHORIZED => Diagnostic::error(
                        "registry-unauthorized",
                        format!("the registry {host} asks for a login for `{shown}`"),
                    )
                    .hint(format!("log in, as with `docker login {host}`")),
                    StatusCode::FORBIDDEN => Diagnostic::error(
                        "registry-denied",
                        format!("the registry {host} denies this login access to `{shown}`"),
                    )
                    .hint("get this login access to the repository, or use another login"),
                    StatusCode::NOT_FOUND => {
                        Diagnostic::error(NOT_FOUND, format!("image not found in the registry {host}: `{shown}`"))
                            .hint("check the repository and the tag; you may need to log in to see it")
                    }
                    StatusCode::TOO_MANY_REQUESTS => Diagnostic::error(
                        "registry-throttled",
                        format!("the registry {host} limits requests for `{shown}`"),
                    )
                    .hint("wait, or log in: a login often has a higher limit"),
                    status if status.is_server_error() => Diagnostic::error(
                        "registry-failed",
                        format!("the registry {host} failed for `{shown}` with status {status}"),
                    )
                    .hint("try again, and see the registry's log"),
                    status => Diagnostic::error(
                        "registry-refused",
                        format!("the registry {host} refused `{shown}` with status {status}"),
                    )
                    .hint("see what the registry says of it, in its log or documentation"),
                };
                let wait = retry_after.filter(|wait| is_passing(status) && *wait > LONGEST_WAIT);
                let wait = wait.map(|wait| format!("it asks for a pause of {} seconds", wait.as_secs()));
                said.map(String::from).into_iter().chain(wait).fold(diagnostic, Diagnostic::cause)
            }
        };
        diagnostic.into()
    }
}

/// Tells whether a status is one that passes.
pub fn is_passing(status: StatusCode) -> bool {
    match status.as_u16() {
        408 | 429 => true,
        // what it cannot do now it cannot do later
        501 | 505 => false,
        _ => status.is_server_error(),
    }
}

/// Reads `Retry-After`: seconds or a time.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        // a time that has passed is no wait
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).unwrap_or_default()),
    }
}

/// Bytes that are not what their digest says.
pub fn mismatch(shown: &str, what: &str) -> StoreError {
    Diagnostic::error("digest-mismatch", format!("{what} of `{shown}` is not what its digest says"))
        .cause("the registry, or something on the way to it, changed it")
        .hint("do not use this registry before it is known why")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

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
