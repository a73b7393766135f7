//! Owns uploads to a repository: new blobs, layers of the base that are mounted or streamed, and manifests.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use reqwest::header::LOCATION;
use reqwest::{Method, Response, StatusCode, Url};
use zeroize::Zeroizing;

use super::CONTENT_DIGEST;
use super::client::{Client, Registry, Request};
use super::error::{RegistryError, mismatch};
use super::http::retry;
use super::token::Scope;
use crate::image::digest::Digest;
use crate::image::name::Repository;
use crate::runtime::unfinished::Unfinished;
use crate::store::layers::blob::CopyError;
use crate::store::oci::parts::NewDocument;
use crate::store::{BaseSource, LayerSource, StoreError};

/// How long to wait for the start of an upload ahead; the write can start it again.
const START_AHEAD: Duration = Duration::from_secs(10);

/// The repository of a write.
pub(super) struct TargetRepository<'a> {
    pub client: &'a Client,
    pub registry: &'a Registry,
    pub repository: &'a Repository,
    pub scope: Scope,
    /// As the user wrote it.
    pub shown: String,
    /// Holds what must be finished before the process ends.
    pub pending: &'a Unfinished,
}

impl TargetRepository<'_> {
    /// Returns a request to the repository.
    pub(super) fn request(&self, method: Method, path: &str) -> Request {
        Request::new(method, self.registry.host.url(self.repository, path), self.scope.clone())
    }

    /// Tells whether the repository has a blob.
    pub(super) async fn has(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let response = self.client.send(self.registry, &self.request(Method::HEAD, &format!("blobs/{digest}"))).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(RegistryError::from_response(response).await),
        }
    }

    /// Uploads bytes; an upload that breaks is started again.
    pub(super) async fn upload(&self, digest: &Digest, bytes: &[u8]) -> Result<(), RegistryError> {
        // wiped after the last request
        let body = Bytes::from_owner(Zeroizing::new(bytes.to_vec()));
        let mut ahead = self.registry.ahead.take(self.repository);
        retry(async || {
            if let Some(url) = ahead.take() {
                match self.finish(url, digest, &body).await {
                    // the registry has given it up
                    Err(failure) if failure.is_declined() => {}
                    finished => return finished.map(Ok),
                }
            }
            let url = match self.start("blobs/uploads/").await {
                Ok(Started::At(url)) => url,
                Ok(Started::Mounted) => return Ok(Ok(())),
                // this request was retried already
                Err(failure) => return Ok(Err(failure)),
            };
            self.finish(url, digest, &body).await.map(Ok)
        })
        .await?
    }

    /// Sends the bytes of a started upload.
    async fn finish(&self, url: Url, digest: &Digest, bytes: &Bytes) -> Result<(), RegistryError> {
        let body = Some(("application/octet-stream".to_owned(), bytes.clone()));
        let request = Request { body, ..Request::new(Method::PUT, with_digest(url, digest), self.scope.clone()) };
        match self.client.send_once(self.registry, &request, None).await? {
            response if response.status() == StatusCode::CREATED => Ok(()),
            response => Err(RegistryError::from_response(response).await),
        }
    }

    /// Mounts a layer of the base from another repository of the registry, or else streams it, again if that breaks.
    pub(super) async fn mount_or_stream<S: LayerSource>(
        &self,
        digest: &Digest,
        size: u64,
        base: BaseSource<'_, S>,
        mount_from: Option<&Repository>,
    ) -> Result<(), RegistryError> {
        let mut started = None;
        if let Some(from) = mount_from {
            let path = format!("blobs/uploads/?mount={digest}&from={}", from.path().replace('/', "%2F"));
            match self.start(&path).await {
                Ok(Started::Mounted) => return Ok(()),
                Ok(Started::At(url)) => started = Some(url),
                Err(failure) if failure.is_declined() => {}
                Err(failure) => return Err(failure),
            }
        }
        // if the registry does not mount, it may have the layer from an earlier bake
        if self.has(digest).await? {
            return Ok(());
        }
        let mut counted = None;
        retry(async || {
            let url = match started.take() {
                Some(url) => url,
                None => match self.start("blobs/uploads/").await {
                    Ok(Started::At(url)) => url,
                    Ok(Started::Mounted) => return Ok(Ok(())),
                    // this request was retried already
                    Err(failure) => return Ok(Err(failure)),
                },
            };
            self.stream(with_digest(url, digest), digest, size, base, &mut counted).await.map(Ok)
        })
        .await?
    }

    /// Streams a layer into a started upload; `counted` is how much of it earlier attempts streamed.
    async fn stream<S: LayerSource>(
        &self,
        url: String,
        digest: &Digest,
        size: u64,
        base: BaseSource<'_, S>,
        counted: &mut Option<u64>,
    ) -> Result<(), RegistryError> {
        let layer = base.layer(digest).await?;
        let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(4);
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        });
        let request = Request { is_for_layer: true, ..Request::new(Method::PUT, url, self.scope.clone()) };
        let body = Some((reqwest::Body::wrap_stream(stream), size));
        let send = self.client.send_once(self.registry, &request, body);
        let read = async {
            let copied = layer
                .copy_again(counted, digest, size, async |bytes| {
                    let chunk = Bytes::copy_from_slice(bytes);
                    sender.send(Ok(chunk)).await.map_err(|_| std::io::ErrorKind::BrokenPipe.into())
                })
                .await;
            if copied.is_err() {
                // the upload must not look complete
                let _ = sender.send(Err(std::io::ErrorKind::InvalidData.into())).await;
            }
            drop(sender);
            copied
        };
        match join(send, read).await {
            (Ok(response), Ok(()) | Err(CopyError::Write(_))) => self.finish_stream(response).await,
            // the registry hung up
            (Err(failure), Ok(()) | Err(CopyError::Write(_))) => Err(failure),
            // whatever the registry answers, the base caused it
            (_, Err(error)) => Err(RegistryError::from_base(error.diagnose(digest, base.name, &self.shown))),
        }
    }

    /// Judges the response to a stream.
    async fn finish_stream(&self, response: Response) -> Result<(), RegistryError> {
        match response.status() {
            StatusCode::CREATED => Ok(()),
            // the token may have expired during the upload: a retry gets another
            StatusCode::UNAUTHORIZED if self.registry.host.is_own(response.url()) => Err(RegistryError::Transient(
                self.client.refused_again(self.registry, response).await.diagnose(&self.shown),
            )),
            _ => Err(RegistryError::from_response(response).await),
        }
    }

    async fn start(&self, path: &str) -> Result<Started, RegistryError> {
        started(self.client.send(self.registry, &self.request(Method::POST, path)).await?).await
    }

    /// Puts a manifest or an index under its digest, so that the registry can refuse it before any tag moves.
    pub(super) async fn put_untagged(&self, document: &NewDocument<'_>) -> Result<(), StoreError> {
        let put = self.put_document(document.descriptor.digest.as_str(), document).await;
        put.map_err(|error| error.diagnose(&self.shown))
    }

    /// Puts a manifest or an index under a reference: a tag or its digest.
    pub(super) async fn put_document(&self, reference: &str, document: &NewDocument<'_>) -> Result<(), RegistryError> {
        retry(async || match self.put_document_once(reference, document).await {
            // Docker's registry reads a blob's link, which another run's upload of the same blob may have just emptied to write it again
            Err(failure) if failure.is_damaged() => Err(failure),
            put => Ok(put),
        })
        .await?
    }

    async fn put_document_once(&self, reference: &str, document: &NewDocument<'_>) -> Result<(), RegistryError> {
        let body = Some((document.descriptor.media_type.clone(), Bytes::copy_from_slice(&document.bytes)));
        let request = Request { body, ..self.request(Method::PUT, &format!("manifests/{reference}")) };
        let response = self.client.send(self.registry, &request).await?;
        let digest = response.headers().get(CONTENT_DIGEST).and_then(|digest| digest.to_str().ok());
        let is_same = digest.and_then(Digest::parse).map(|digest| digest == document.descriptor.digest);
        match (response.status(), is_same) {
            (StatusCode::CREATED | StatusCode::OK | StatusCode::ACCEPTED, Some(false)) => {
                Err(RegistryError::Diagnosed(mismatch(&self.shown, "the manifest that the registry took")))
            }
            // a proxy's or a login page's 200 stores nothing
            (StatusCode::CREATED, _) | (StatusCode::OK | StatusCode::ACCEPTED, Some(true)) => Ok(()),
            _ => Err(RegistryError::from_response(response).await),
        }
    }
}

/// Starts an upload before its blob is known. A failure is ignored: the write tries again, and says why.
pub(super) async fn start_ahead(client: &Client, registry: &Registry, repository: &Repository) {
    let scope = registry.tokens.scope_of_write(repository);
    let request = Request::new(Method::POST, registry.host.url(repository, "blobs/uploads/"), scope);
    let Ok(Ok(response)) = tokio::time::timeout(START_AHEAD, client.send_once(registry, &request, None)).await else {
        return;
    };
    if let Ok(Started::At(url)) = started(response).await {
        registry.ahead.keep(repository, url);
    }
}

enum Started {
    /// The blob was mounted.
    Mounted,
    /// Where the upload continues.
    At(Url),
}

/// Reads the response to the start of an upload.
async fn started(response: Response) -> Result<Started, RegistryError> {
    match (response.status(), location(&response)) {
        (StatusCode::CREATED, _) => Ok(Started::Mounted),
        (StatusCode::ACCEPTED, Some(url)) => Ok(Started::At(url)),
        _ => Err(RegistryError::from_response(response).await),
    }
}

fn with_digest(mut url: Url, digest: &Digest) -> String {
    url.query_pairs_mut().append_pair("digest", digest.as_str());
    url.into()
}

/// Returns the URL at which an upload continues, which may be relative to the request's.
fn location(response: &Response) -> Option<Url> {
    response.url().join(response.headers().get(LOCATION)?.to_str().ok()?).ok()
}
