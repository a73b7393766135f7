//! Owns the requests that bollard cannot make, and the connection pool that both share.
//!
//! Why not bollard alone: its ping hides the headers with the version and the kind (its own negotiation needs `/version`, 10 to 77 ms),
//! its image config drops unknown fields, and it logs request bodies and inspect responses, which may hold baked variables. It does not
//! log a streamed body.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::TokioExecutor;

use super::dial::Dialer;
use super::error::EngineError;
use crate::runtime::bounded::{self, ReadError};
use crate::secret::SecretBytes;

/// The body of bollard's requests, which bollard does not export.
pub(super) type Body = Either<Full<Bytes>, StreamBody<Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>>>;

/// The largest response to read into memory, in bytes.
const ANSWER_LIMIT: u64 = 32 << 20;

/// How long to wait for an engine.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// For a response, or for the next part of one.
    pub answer: Duration,
    /// For the next part of the response to a load or a push.
    pub load: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts { connect: Duration::from_secs(30), answer: Duration::from_secs(120), load: Duration::from_secs(900) }
    }
}

/// The requests to one engine.
#[derive(Clone)]
pub(super) struct Wire {
    client: Client<Dialer, Body>,
    /// The API version before each path, for example `/v1.41`; unset until the engine reports its version.
    version: Arc<OnceLock<String>>,
    pub(super) limits: Timeouts,
}

impl Wire {
    pub(super) fn new(dialer: Dialer, limits: Timeouts) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(dialer);
        Wire { client, version: Arc::default(), limits }
    }

    /// Sets the API version of all later requests.
    pub(super) fn set_api_version(&self, version: &str) {
        // a store sets it once
        let _ = self.version.set(format!("/v{version}"));
    }

    /// Sends a request with the API version before its path. The error's kind distinguishes a missing socket, a refused connection and
    /// a lost one.
    pub(super) async fn send(&self, mut request: Request<Body>) -> io::Result<Response<Incoming>> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let version = self.version.get().filter(|_| !path.starts_with("/v1.") && !path.starts_with("/v4."));
        let uri = format!("http://engine{}{path}", version.map_or("", String::as_str));
        *request.uri_mut() = uri.parse::<Uri>().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.client.request(request).await.map_err(|error| io_error(&error))
    }

    /// Sends a GET request.
    pub(super) async fn get(&self, path: &str) -> Result<Response<Incoming>, EngineError> {
        let request = request(Method::GET, path, bollard::body_full(Bytes::new()))?;
        within(self.limits.answer, self.send(request)).await
    }

    /// Sends a GET request and returns the response's JSON; `None` for 404.
    pub(super) async fn get_json(&self, path: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let response = self.get(path).await?;
        let status = response.status();
        let body = self.collect(response.into_body()).await?;
        match status.as_u16() {
            404 => Ok(None),
            _ if status.is_success() => Ok(Some(body)),
            code => Err(EngineError::status(code, &body)),
        }
    }

    /// Sends a body that may hold secrets, without copying or logging it. Returns the response whatever its status.
    pub(super) async fn post(
        &self,
        path: &str,
        content_type: &'static str,
        body: SecretBytes,
    ) -> Result<Response<Incoming>, EngineError> {
        self.post_stream(path, content_type, secret_body(body), self.limits.load).await
    }

    /// Like [`Wire::post`], with a streamed body and its own timeout.
    pub(super) async fn post_stream(
        &self,
        path: &str,
        content_type: &'static str,
        body: Body,
        limit: Duration,
    ) -> Result<Response<Incoming>, EngineError> {
        let mut request = request(Method::POST, path, body)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        within(limit, self.send(request)).await
    }

    /// Sends a POST request with a registry login. Returns the response whatever its status.
    pub(super) async fn post_with_login(
        &self,
        path: &str,
        login: HeaderValue,
    ) -> Result<Response<Incoming>, EngineError> {
        let mut request = request(Method::POST, path, bollard::body_full(Bytes::new()))?;
        request.headers_mut().insert("x-registry-auth", login);
        within(self.limits.load, self.send(request)).await
    }

    /// Reads a response to its end.
    pub(super) async fn collect(&self, body: Incoming) -> Result<Vec<u8>, EngineError> {
        let limits = bounded::ReadLimits { bytes: ANSWER_LIMIT, time: self.limits.answer };
        bounded::collect(body.into_data_stream(), limits).await.map_err(|error| match error {
            ReadError::Failed(error) => hyper_error(&error).into(),
            ReadError::TooSlow(_) => EngineError::NoAnswer,
            ReadError::TooLong(_) | ReadError::NotRegular => EngineError::Malformed("an answer larger than 32 MiB"),
        })
    }
}

/// Returns the next part of a response, `None` at its end.
pub(super) async fn next(body: &mut Incoming, limit: Duration) -> Result<Option<Bytes>, EngineError> {
    within(limit, async {
        loop {
            match body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(hyper_error(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    })
    .await
}

/// Runs a future with a timeout.
pub(super) async fn within<T, E: Into<EngineError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(EngineError::NoAnswer),
    }
}

/// Returns a streamed body that does not copy the bytes, and wipes them after the last part.
fn secret_body(bytes: SecretBytes) -> Body {
    struct WipedBody(SecretBytes);
    impl AsRef<[u8]> for WipedBody {
        fn as_ref(&self) -> &[u8] {
            self.0.expose()
        }
    }
    let mut rest = Bytes::from_owner(WipedBody(bytes));
    bollard::body_try_stream(stream::iter(std::iter::from_fn(move || {
        let part = rest.split_to(rest.len().min(256 << 10));
        (!part.is_empty()).then_some(Ok(part))
    })))
}

fn request(method: Method, path: &str, body: Body) -> Result<Request<Body>, EngineError> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(body)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the name is not valid in a URL").into())
}

/// Returns the I/O error inside a client error.
fn io_error(error: &ClientError) -> io::Error {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return io::Error::new(found.kind(), found.to_string());
        }
        if let Some(found) = error.downcast_ref::<hyper::Error>()
            && found.source().is_none_or(|below| below.downcast_ref::<io::Error>().is_none())
        {
            return hyper_error(found);
        }
        source = error.source();
    }
    io::Error::other(error.to_string())
}

fn hyper_error(error: &hyper::Error) -> io::Error {
    let mut source = error.source();
    while let Some(below) = source {
        if let Some(found) = below.downcast_ref::<io::Error>() {
            return io::Error::new(found.kind(), found.to_string());
        }
        source = below.source();
    }
    let kind =
        if error.is_incomplete_message() || error.is_closed() || error.is_canceled() || error.is_body_write_aborted() {
            io::ErrorKind::UnexpectedEof
        } else if error.is_parse() {
            io::ErrorKind::InvalidData
        } else {
            io::ErrorKind::Other
        };
    io::Error::new(kind, error.to_string())
}
