//! Owns images of registries, `docker://HOST/REPO[:TAG|@DIGEST]`, without a daemon.
//!
//! Within one repository nothing of the base crosses the wire; between two of one registry it is mounted; from elsewhere it is
//! streamed. The tags come last, so that they stand for what they stood for until everything is there.

mod access;
mod challenge;
mod client;
mod error;
mod host;
mod proxy;
mod read;
mod tags;
mod tls;
mod upload;
mod write;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use tokio::sync::OnceCell;

use super::cache::Cache;
use super::oci::document::{Descriptor, Document, Flaw, Manifest};
use super::oci::parts::ImageParts;
use super::oci::read::malformed;
use super::{BaseSource, Blob, ImageStore, LayerSource, Piece, Put, StoreError, is_current, layers as layer_files};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};
use crate::image::platform::Platforms;
use crate::image::tree::{Lookup, Tree};
use crate::image::{Base, BaseImage, NewImage, media};
use crate::runtime::unfinished::Unfinished;
use client::{Client, Request, STALL, insist};
use error::Failure;
use host::{InTheClear, Scope};

/// How many documents or blobs are on their way at once.
const SIDE_BY_SIDE: usize = 8;

/// The store of registries.
pub struct RegistryStore {
    client: Client,
    cache: Cache,
    pending: Unfinished,
    /// The layers that were read for a base's tree, verified, so that another question of it reads them no more.
    kept: Mutex<HashMap<Digest, Arc<OnceCell<Piece>>>>,
}

impl RegistryStore {
    /// Returns the store; `docker_config` is the folder of Docker's `config.json`, for the logins, and `insecure` the registries
    /// (`HOST[:PORT]`) that may be spoken to in the clear, besides those of this machine. `cache` is a directory of the user's for
    /// what never changes of bases, as an engine's. `pending` has the moving of tags once it has begun: whoever ends the run closes
    /// it and waits for it; after that none moves.
    ///
    /// # Errors
    /// TLS that cannot be set up.
    pub fn new(
        docker_config: Option<PathBuf>,
        insecure: Vec<String>,
        cache: Option<PathBuf>,
        pending: Unfinished,
    ) -> Result<Self, StoreError> {
        let client = Client::new(docker_config, InTheClear::new(insecure))?;
        Ok(RegistryStore { client, cache: Cache::new(cache), pending, kept: Mutex::default() })
    }

    /// Returns a layer of a base as a file without a name, downloaded once in a run whoever asks for it.
    async fn piece(&self, name: &ImageName, layer: &Descriptor) -> Result<Piece, StoreError> {
        let cell = Arc::clone(
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).entry(layer.digest.clone()).or_default(),
        );
        let fetch = async || {
            let failed = |error| super::files::fault("keep a layer of", &name.to_string(), &error);
            let mut file = tempfile::tempfile().map_err(failed)?;
            let blob = self.layer(name, &layer.digest).await?;
            let copied =
                blob.copy(&layer.digest, layer.size, async |bytes| std::io::Write::write_all(&mut file, bytes)).await;
            copied.map_err(|error| Failure::told(error.of(&layer.digest, name, "a temporary file")))?;
            Ok(Piece::whole(Arc::new(file)).map_err(failed)?)
        };
        let download = async || insist(fetch).await.map_err(|failure| failure.of(&name.to_string()));
        cell.get_or_try_init(download).await.cloned()
    }
}

impl ImageStore for RegistryStore {
    async fn read(&self, name: &ImageName, platforms: &Platforms) -> Result<BaseImage, StoreError> {
        read::base(&self.client, &self.cache, name, platforms).await
    }

    async fn look_up(&self, name: &ImageName, base: &Base, paths: &Lookup) -> Result<Tree, StoreError> {
        let Ok(Document::Manifest(Manifest { layers, .. })) = Document::read(&base.manifest, media::OCI_MANIFEST)
        else {
            return Err(malformed(&name.to_string(), "the manifest", &Flaw("is not an image's")));
        };
        let in_layers = async |paths: Lookup| {
            layer_files::look_up(name, layers.len(), &paths, async |number| self.piece(name, &layers[number]).await)
                .await
        };
        self.cache.look_up(base, paths, in_layers).await
    }

    async fn tag_state(&self, name: &ImageName) -> Result<Option<Digest>, StoreError> {
        read::tag_state(&self.client, name).await
    }

    async fn put<S: LayerSource>(
        &self,
        image: &NewImage,
        tags: &[&ImageName],
        base: BaseSource<'_, S>,
    ) -> Result<Put, StoreError> {
        let identity = image.digest();
        if is_current(self, tags, &identity).await? {
            return Ok(Put::unchanged(identity));
        }
        write::write(&self.client, &self.pending, &ImageParts::from_new(image)?, tags, base).await?;
        Ok(Put::written(identity, Vec::new()))
    }
}

impl LayerSource for RegistryStore {
    async fn layer(&self, name: &ImageName, digest: &Digest) -> Result<Blob, StoreError> {
        let repository = parts(name)?;
        let host = self.client.host(repository);
        let request =
            Request::new(Method::GET, host.url(repository, &format!("blobs/{digest}")), Scope::pull(repository));
        let shown = name.to_string();
        let response = self.client.send(&host, &request).await.map_err(|failure| failure.of(&shown))?;
        if response.status() != StatusCode::OK {
            return Err(Failure::refused(response).await.of(&shown));
        }
        let chunks = futures_util::stream::unfold(Some(response), move |response| {
            let shown = shown.clone();
            async move {
                let mut response = response?;
                match tokio::time::timeout(STALL, response.chunk()).await {
                    Ok(Ok(Some(bytes))) => Some((Ok(bytes), Some(response))),
                    Ok(Ok(None)) => None,
                    Ok(Err(error)) => Some((Err(Failure::from(error).of(&shown)), None)),
                    Err(_) => Some((Err(Failure::Timeout.of(&shown)), None)),
                }
            }
        });
        Ok(Blob::Stream(chunks.boxed()))
    }
}

/// Returns the repository, tag and digest of a name.
fn parts(name: &ImageName) -> Result<&Repository, StoreError> {
    match name {
        ImageName::Registry(repository) => Ok(repository),
        other => Err(Diagnostic::error("internal", format!("`{other}` is no image of a registry"))
            .hint("please report this")
            .into()),
    }
}
