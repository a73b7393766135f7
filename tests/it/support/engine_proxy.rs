//! Owns a stub that speaks the engine's wire: it counts requests, answers some itself and hands the rest to a real engine, if there is one.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

type Body = StreamBody<Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>>;

/// What the stub itself answers.
#[derive(Clone)]
pub enum Reply {
    /// A status and a body.
    Say(u16, &'static str),
    /// Status 200 and the start of a body that then breaks off.
    Break(&'static str),
    /// The engine's answer to a ping, as an engine of this API version gives it.
    Pong(&'static str),
    /// Nothing, and the connection is closed.
    Reset,
    /// Nothing, and the connection is closed, once the engine has done it.
    Lose,
    /// Nothing, ever.
    Silence,
    /// What the engine answers, once the stub is told to release it.
    Hold,
}

/// A running stub.
pub struct Proxy {
    directory: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
    gate: Arc<Gate>,
}

/// Where answers are held.
#[derive(Default)]
struct Gate {
    held: Notify,
    released: Notify,
}

impl Proxy {
    /// Starts a stub before the engine at `upstream`; `rule` gets `METHOD PATH`, the path without version and query.
    pub fn start(upstream: Option<&str>, rule: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("engine.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let upstream = upstream.map(|host| PathBuf::from(host.strip_prefix("unix://").unwrap()));
        let shared = Arc::new(Gate::default());
        let (log, rule, gate) = (Arc::clone(&asked), Arc::new(rule), Arc::clone(&shared));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, rule, upstream) = (Arc::clone(&log), Arc::clone(&rule), upstream.clone());
                let gate = Arc::clone(&gate);
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(|request: Request<Incoming>| {
                        let asked = asked_of(&request);
                        log.lock().unwrap().push(asked.clone());
                        let reply = rule(&asked);
                        let upstream = upstream.clone();
                        let gate = Arc::clone(&gate);
                        async move { answer(request, reply, upstream, &gate).await }
                    });
                    let connection = hyper::server::conn::http1::Builder::new();
                    drop(connection.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Proxy { directory, asked, gate: shared }
    }

    pub fn host(&self) -> String {
        format!("unix://{}/engine.sock", self.directory.path().display())
    }

    /// Waits until the stub holds an answer: one of [`Reply::Hold`], or [`Reply::Silence`].
    pub async fn held(&self) {
        let patience = std::time::Duration::from_secs(60);
        tokio::time::timeout(patience, self.gate.held.notified()).await.expect("nothing was held");
    }

    /// Lets the held answer go.
    pub fn release(&self) {
        self.gate.released.notify_one();
    }

    /// Returns what was asked since the last time.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn asked_of(request: &Request<Incoming>) -> String {
    let path = request.uri().path();
    let path = match path.strip_prefix("/v") {
        Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
        None => path,
    };
    format!("{} {path}", request.method())
}

async fn answer(
    request: Request<Incoming>,
    reply: Option<Reply>,
    upstream: Option<PathBuf>,
    gate: &Gate,
) -> io::Result<Response<Body>> {
    let Some(reply) = reply else { return forward(request, upstream).await };
    if matches!(reply, Reply::Hold) {
        let (parts, body) = forward(request, upstream).await?.into_parts();
        let whole = body.collect().await?.to_bytes();
        gate.held.notify_one();
        gate.released.notified().await;
        return Ok(Response::from_parts(parts, StreamBody::new(Box::pin(stream::iter([Ok(Frame::data(whole))])))));
    }
    if matches!(reply, Reply::Lose) {
        forward(request, upstream).await?.into_body().collect().await?;
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    // an engine reads what it is sent before it answers
    drop(request.into_body().collect().await);
    let whole = |text: &'static str| vec![Ok(Frame::data(Bytes::from_static(text.as_bytes())))];
    let mut version = None;
    let (status, parts) = match reply {
        Reply::Pong(api) => {
            version = Some(api);
            (200, whole("OK"))
        }
        Reply::Say(status, text) => (status, whole(text)),
        Reply::Break(text) => {
            let mut parts = whole(text);
            parts.push(Err(io::ErrorKind::ConnectionReset.into()));
            (200, parts)
        }
        Reply::Reset | Reply::Lose => return Err(io::ErrorKind::ConnectionReset.into()),
        Reply::Silence | Reply::Hold => {
            gate.held.notify_one();
            std::future::pending::<Result<_, Infallible>>().await.unwrap_or_default()
        }
    };
    let body: Body = StreamBody::new(Box::pin(stream::iter(parts)));
    let mut response = Response::builder().status(status);
    if let Some(version) = version {
        response = response.header("Api-Version", version);
    }
    Ok(response.body(body).unwrap())
}

async fn forward(request: Request<Incoming>, upstream: Option<PathBuf>) -> io::Result<Response<Body>> {
    let upstream = upstream.ok_or(io::ErrorKind::NotConnected)?;
    let stream = TokioIo::new(UnixStream::connect(upstream).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = parts.method;
    *request.uri_mut() = parts.uri.path_and_query().unwrap().as_str().parse().unwrap();
    *request.headers_mut() = parts.headers;
    request.headers_mut().remove("transfer-encoding");
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let (mut parts, body) = response.into_parts();
    parts.headers.remove("transfer-encoding");
    let parts_of = stream::unfold((body, sender), |(mut body, sender)| async move {
        let frame = body.frame().await?;
        Some((frame.map_err(io::Error::other), (body, sender)))
    });
    Ok(Response::from_parts(parts, StreamBody::new(Box::pin(parts_of))))
}
