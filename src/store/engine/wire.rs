//! Owns the requests that bollard's typed calls cannot make, and the one connection pool that it and they share.
//!
//! Why not bollard alone: its ping hides the headers that tell version and kind (its own negotiation costs `/version`, 10 to 77 ms), its
//! models of an image's config drop fields that they do not know, and it writes request bodies and inspect results to the `log` crate, where a
//! baked variable must never be. A body that is a stream is not logged.

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

/// The body of bollard's requests, which has no public name there.
pub(super) type Body = Either<Full<Bytes>, StreamBody<Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>>>;

/// The largest answer that is taken into memory.
const ANSWER_LIMIT: u64 = 32 << 20;

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a connection.
    pub connect: Duration,
    /// For an answer, or for the next part of one.
    pub answer: Duration,
    /// For an engine that loads an image, between two signs of life.
    pub load: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { connect: Duration::from_secs(30), answer: Duration::from_secs(120), load: Duration::from_secs(900) }
    }
}

/// The requests to one engine.
#[derive(Clone)]
pub(super) struct Wire {
    client: Client<Dialer, Body>,
    /// The API version in front of each path, `/v1.41`; unset until the engine has said which it speaks.
    version: Arc<OnceLock<String>>,
    pub(super) limits: Limits,
}

impl Wire {
    pub(super) fn new(dialer: Dialer, limits: Limits) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(dialer);
        Wire { client, version: Arc::default(), limits }
    }

    /// Makes every later request one of this API version.
    pub(super) fn speak(&self, version: &str) {
        // the first answer holds; a store asks once
        let _ = self.version.set(format!("/v{version}"));
    }

    /// Sends a request with the version in front of its path.
    ///
    /// # Errors
    /// `io::Error` whose kind tells a missing socket, a refused connection and a lost one apart.
    pub(super) async fn send(&self, mut request: Request<Body>) -> io::Result<Response<Incoming>> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let version = self.version.get().filter(|_| !path.starts_with("/v1.") && !path.starts_with("/v4."));
        let uri = format!("http://engine{}{path}", version.map_or("", String::as_str));
        *request.uri_mut() = uri.parse::<Uri>().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.client.request(request).await.map_err(|error| io_error(&error))
    }

    /// Asks without a body.
    pub(super) async fn get(&self, path: &str) -> Result<Response<Incoming>, EngineError> {
        let request = request(Method::GET, path, bollard::body_full(Bytes::new()))?;
        within(self.limits.answer, self.send(request)).await
    }

    /// Asks for JSON: its bytes, `None` for 404.
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

    /// Sends a body that may hold secrets: it is neither copied here nor logged. Returns the answer whatever its status.
    pub(super) async fn post(
        &self,
        path: &str,
        content_type: &'static str,
        body: SecretBytes,
    ) -> Result<Response<Incoming>, EngineError> {
        self.post_stream(path, content_type, secret_body(body), self.limits.load).await
    }

    /// Does what [`Wire::post`] does, with a body that is made on the way and a limit of its own.
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

    /// Asks the engine to work with a login for a registry. Returns the answer whatever its status.
    pub(super) async fn post_with_login(
        &self,
        path: &str,
        login: HeaderValue,
    ) -> Result<Response<Incoming>, EngineError> {
        let mut request = request(Method::POST, path, bollard::body_full(Bytes::new()))?;
        request.headers_mut().insert("x-registry-auth", login);
        within(self.limits.load, self.send(request)).await
    }

    /// Reads an answer to its end.
    pub(super) async fn collect(&self, body: Incoming) -> Result<Vec<u8>, EngineError> {
        let limits = bounded::ReadLimits { bytes: ANSWER_LIMIT, time: self.limits.answer };
        bounded::collect(body.into_data_stream(), limits).await.map_err(|error| match error {
            ReadError::Failed(error) => hyper_error(&error).into(),
            ReadError::TooSlow(_) => EngineError::NoAnswer,
            ReadError::TooLong(_) | ReadError::NotRegular => EngineError::Malformed("an answer of more than 32 MiB"),
        })
    }
}

/// Returns the next part of an answer, `None` at its end.
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

/// Ends what takes longer than the limit.
pub(super) async fn within<T, E: Into<EngineError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(EngineError::NoAnswer),
    }
}

/// Returns the bytes as a body in parts, without a copy, wiped when the last part is gone.
fn secret_body(bytes: SecretBytes) -> Body {
    struct Owner(SecretBytes);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.expose()
        }
    }
    let mut rest = Bytes::from_owner(Owner(bytes));
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
        .map_err(|_| EngineError::Malformed("a name that is no part of a URL"))
}

/// Finds the system's own error below hyper's.
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
