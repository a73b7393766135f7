//! Owns connecting to an endpoint. It must not send requests.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

use super::endpoint::Endpoint;
use super::{ssh, tls};
use crate::runtime::platform;

/// Connects to one endpoint, with a timeout.
#[derive(Clone)]
pub(super) struct Dialer {
    endpoint: Endpoint,
    tls: Option<tls::Connector>,
    limit: Duration,
    /// The last line that ssh wrote to its standard error.
    ssh_error: Arc<Mutex<Option<String>>>,
}

impl Dialer {
    /// Prepares connections to an endpoint and reads the TLS files. An error names the file.
    pub(super) fn new(endpoint: &Endpoint, limit: Duration) -> io::Result<Self> {
        let tls = match endpoint {
            Endpoint::Tls { files, .. } => Some(tls::connector(files)?),
            _ => None,
        };
        Ok(Dialer { endpoint: endpoint.clone(), tls, limit, ssh_error: Arc::default() })
    }

    /// Returns ssh's error message, which may arrive shortly after the connection breaks.
    pub(super) async fn ssh_error(&self) -> Option<String> {
        for _ in 0..20 {
            let said = self.ssh_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if said.is_some() || !matches!(self.endpoint, Endpoint::Ssh(_)) {
                return said;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        None
    }

    async fn dial(self) -> io::Result<EngineConnection> {
        let stream: Box<dyn Stream> = match &self.endpoint {
            Endpoint::Unix(path) => Box::new(platform::connect_unix(path).await?),
            Endpoint::Pipe(path) => Box::new(platform::connect_pipe(path).await?),
            Endpoint::Tcp { host, port } => Box::new(tcp(host, *port).await?),
            Endpoint::Tls { host, port, .. } => {
                let Some(connector) = &self.tls else { return Err(io::ErrorKind::InvalidInput.into()) };
                Box::new(tls::handshake(connector, host, tcp(host, *port).await?).await?)
            }
            Endpoint::Ssh(target) => Box::new(ssh::spawn(target, Arc::clone(&self.ssh_error))?),
        };
        Ok(EngineConnection(TokioIo::new(stream)))
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses = lookup_host((host.trim_matches(['[', ']']), port)).await;
    // the resolver's errors have no kind of their own
    let addresses = addresses.map_err(|error| io::Error::new(io::ErrorKind::AddrNotAvailable, error.to_string()))?;
    let stream = TcpStream::connect(&*addresses.collect::<Vec<_>>()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl tower_service::Service<Uri> for Dialer {
    type Response = EngineConnection;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<EngineConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move {
            match tokio::time::timeout(dialer.limit, dialer.dial()).await {
                Ok(link) => link,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection.
pub(super) struct EngineConnection(TokioIo<Box<dyn Stream>>);

impl Connection for EngineConnection {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for EngineConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for EngineConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }
}
