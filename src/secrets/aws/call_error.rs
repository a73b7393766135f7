//! Turns an SDK error into a typed error: what the service answered, or how far the request got.
//!
//! It matches on the SDK's types and never uses their `Debug` form, which can contain the body of a response.

use std::error::Error;
use std::io;
use std::time::Duration;

use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::RequestId;

use http_body_util::LengthLimitError;

use super::asked_host::AskedHost;

/// How long to wait for the resolver to report that a host does not exist.
const RESOLVER: Duration = Duration::from_secs(3);

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// The service answered with an error.
    Refused(ServiceError),
    Unanswered(NoAnswer),
}

/// Why the service did not answer a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// The response is broken or not from the service; its body is not kept.
    Garbled { status: u16, request_id: Option<String> },
    /// The response broke off.
    CutShort,
    /// The response is longer than the service ever sends.
    TooLarge,
    /// No answer in time.
    Silent,
    /// The host's name has no address.
    NoSuchHost,
    /// Nothing listens there.
    ConnectionRefused,
    /// No trusted, encrypted connection; with the TLS library's message.
    Tls(String),
    /// The connection failed or broke; with the system's message.
    Connection(String),
    /// The SDK could not build the request. Its message is dropped because it can contain the whole request.
    NotSent,
}

/// An error response of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    pub code: String,
    pub message: Option<String>,
    pub request_id: Option<String>,
}

impl CallError {
    /// Classifies an SDK error. `host` is the host of the request.
    pub async fn from_sdk<E>(error: &SdkError<E, HttpResponse>, host: &AskedHost) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let request_id = error.request_id().map(str::to_owned);
        CallError::Unanswered(match error {
            SdkError::ServiceError(context) => match context.err().code() {
                Some(code) => {
                    let message = context.err().message().map(str::to_owned);
                    return CallError::Refused(ServiceError { code: code.to_owned(), message, request_id });
                }
                None => NoAnswer::Garbled { status: context.raw().status().as_u16(), request_id },
            },
            SdkError::ResponseError(_) if causes(error).any(<dyn Error>::is::<LengthLimitError>) => NoAnswer::TooLarge,
            SdkError::ResponseError(_) => NoAnswer::CutShort,
            SdkError::TimeoutError(_) => NoAnswer::Silent,
            SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
                Some(error) => NoAnswer::from_connector(error, host).await,
                None => NoAnswer::NotSent,
            },
            _ => NoAnswer::NotSent,
        })
    }

    /// Returns the service's error, if it answered.
    pub fn service_error(&self) -> Option<&ServiceError> {
        match self {
            CallError::Refused(refusal) => Some(refusal),
            CallError::Unanswered(_) => None,
        }
    }
}

impl ServiceError {
    /// Returns an error with only a code.
    pub fn of_code(code: &str) -> Self {
        ServiceError { code: code.to_owned(), message: None, request_id: None }
    }
}

impl NoAnswer {
    async fn from_connector(error: &ConnectorError, host: &AskedHost) -> Self {
        if error.is_timeout() {
            return NoAnswer::Silent;
        }
        if !error.is_io() {
            return NoAnswer::NotSent;
        }
        let system = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).last();
        match system.map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => NoAnswer::ConnectionRefused,
            // before a connection exists, only a broken handshake has this kind
            Some(io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                NoAnswer::Tls(causes(error).last().map(ToString::to_string).unwrap_or_default())
            }
            // resolver errors have no OS error number
            Some(_) if system.and_then(io::Error::raw_os_error).is_none() && !resolves(host).await => {
                NoAnswer::NoSuchHost
            }
            _ => NoAnswer::Connection(causes(error).last().map(ToString::to_string).unwrap_or_default()),
        }
    }
}

/// Asks the resolver directly: the HTTP client has no separate error type for it.
async fn resolves(host: &AskedHost) -> bool {
    let Some(origin) = host.get() else { return true };
    let lookup = tokio::net::lookup_host((origin.name.trim_matches(['[', ']']), origin.port));
    matches!(tokio::time::timeout(RESOLVER, lookup).await, Ok(Ok(_)))
}

/// Returns the `Display` form of an error and its causes.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = causes(error).map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

/// Walks from an error to its first cause; `io::Error` hides its payload from `source`, so it is asked for it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(system) => system.get_ref().map(|payload| payload as &(dyn Error + 'static)),
        None => error.source(),
    })
}
