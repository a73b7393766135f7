//! Owns the sending of one blob to a repository: new bytes, or a layer of the base that is mounted or streamed.

use bytes::Bytes;
use futures_util::future::join;
use reqwest::header::LOCATION;
use reqwest::{Method, Response, StatusCode, Url};
use zeroize::Zeroizing;

use super::client::{Client, Request, insist};
use super::error::Failure;
use super::host::{Host, Scope};
use crate::image::digest::Digest;
use crate::image::name::Repository;
use crate::runtime::unfinished::Unfinished;
use crate::store::layers::blob::CopyError;
use crate::store::{ImageStore, Source};

/// The repository that is written to.
pub struct Target<'a> {
    pub client: &'a Client,
    pub host: &'a Host,
    pub repository: &'a Repository,
    pub scope: Scope,
    /// As the user wrote it.
    pub shown: String,
    /// What is waited for before the process ends.
    pub pending: &'a Unfinished,
}

impl Target<'_> {
    /// Returns a request to the repository.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(method, self.host.url(self.repository, path), self.scope.clone())
    }

    /// Tells whether the repository has a blob.
    pub async fn has(&self, digest: &Digest) -> Result<bool, Failure> {
        let response = self.client.send(self.host, &self.request(Method::HEAD, &format!("blobs/{digest}"))).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(Failure::refused(response).await),
        }
    }

    /// Sends bytes; an upload that breaks is begun anew.
    pub async fn send(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Failure> {
        // wiped when the last request is done
        let body = Bytes::from_owner(Zeroizing::new(bytes.to_vec()));
        insist(async || {
            let url = match self.begin("blobs/uploads/").await {
                Ok(Begun::At(url)) => self.with_digest(url, digest),
                Ok(Begun::Mounted) => return Ok(Ok(())),
                // that was asked again often enough
                Err(failure) => return Ok(Err(failure)),
            };
            let body = Some(("application/octet-stream".to_owned(), body.clone()));
            let request = Request { body, ..Request::new(Method::PUT, url, self.scope.clone()) };
            match self.client.once(self.host, &request, None).await? {
                response if response.status() == StatusCode::CREATED => Ok(Ok(())),
                response => Err(Failure::refused(response).await),
            }
        })
        .await?
    }

    /// Makes the repository have a layer of the base: mounted from another repository of the registry, else streamed, and anew
    /// when that breaks.
    pub async fn bring<S: ImageStore>(
        &self,
        digest: &Digest,
        size: u64,
        base: Source<'_, S>,
        mount_from: Option<&Repository>,
    ) -> Result<(), Failure> {
        let mut begun = None;
        if let Some(from) = mount_from {
            let path = format!("blobs/uploads/?mount={digest}&from={}", from.path().replace('/', "%2F"));
            match self.begin(&path).await {
                Ok(Begun::Mounted) => return Ok(()),
                Ok(Begun::At(url)) => begun = Some(url),
                Err(failure) if failure.is_declined() => {}
                Err(failure) => return Err(failure),
            }
        }
        // a registry that does not mount may have it from an earlier bake
        if self.has(digest).await? {
            return Ok(());
        }
        let mut counted = None;
        insist(async || {
            let url = match begun.take() {
                Some(url) => url,
                None => match self.begin("blobs/uploads/").await {
                    Ok(Begun::At(url)) => url,
                    Ok(Begun::Mounted) => return Ok(Ok(())),
                    // that was asked again often enough
                    Err(failure) => return Ok(Err(failure)),
                },
            };
            self.stream(self.with_digest(url, digest), digest, size, base, &mut counted).await.map(Ok)
        })
        .await?
    }

    /// Streams a layer into an upload that has begun; `counted` is how much of it was streamed before.
    async fn stream<S: ImageStore>(
        &self,
        url: String,
        digest: &Digest,
        size: u64,
        base: Source<'_, S>,
        counted: &mut Option<u64>,
    ) -> Result<(), Failure> {
        let layer = base.store.layer(base.name, digest).await?;
        let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(4);
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|chunk| (chunk, receiver))
        });
        let request = Request::new(Method::PUT, url, self.scope.clone());
        let body = Some((reqwest::Body::wrap_stream(stream), size));
        let send = self.client.once(self.host, &request, body);
        let read = async {
            let copied = layer
                .copy_again(counted, digest, size, async |bytes| {
                    let chunk = Bytes::copy_from_slice(bytes);
                    sender.send(Ok(chunk)).await.map_err(|_| std::io::ErrorKind::BrokenPipe.into())
                })
                .await;
            if copied.is_err() {
                // the upload must not end as if it were whole
                let _ = sender.send(Err(std::io::ErrorKind::InvalidData.into())).await;
            }
            drop(sender);
            copied
        };
        match join(send, read).await {
            (Ok(response), Ok(()) | Err(CopyError::Write(_))) => self.took(response).await,
            // the registry went away
            (Err(failure), Ok(()) | Err(CopyError::Write(_))) => Err(failure),
            // whatever the registry says to it, the base is to blame
            (_, Err(error)) => Err(Failure::told(error.of(digest, base.name, &self.shown))),
        }
    }

    /// Judges the answer to a stream.
    async fn took(&self, response: Response) -> Result<(), Failure> {
        match response.status() {
            StatusCode::CREATED => Ok(()),
            // the token may have ended since the upload began: beginning anew gets another
            StatusCode::UNAUTHORIZED if self.host.is_own(response.url()) => {
                Err(Failure::Passing(self.client.refused_again(self.host, response).await.of(&self.shown)))
            }
            _ => Err(Failure::refused(response).await),
        }
    }

    async fn begin(&self, path: &str) -> Result<Begun, Failure> {
        let response = self.client.send(self.host, &self.request(Method::POST, path)).await?;
        match (response.status(), location(&response)) {
            (StatusCode::CREATED, _) => Ok(Begun::Mounted),
            (StatusCode::ACCEPTED, Some(url)) => Ok(Begun::At(url)),
            _ => Err(Failure::refused(response).await),
        }
    }

    fn with_digest(&self, mut url: Url, digest: &Digest) -> String {
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        url.into()
    }
}

enum Begun {
    Mounted,
    At(Url),
}

/// Returns where an upload goes on, which may be relative to what was asked.
fn location(response: &Response) -> Option<Url> {
    response.url().join(response.headers().get(LOCATION)?.to_str().ok()?).ok()
}
