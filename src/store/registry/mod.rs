//! Owns images of registries, `docker://HOST/REPO[:TAG|@DIGEST]`, without a daemon.
//!
//! In the base's repository no layer of it is transferred; in another repository of that registry the layers are mounted; anywhere else
//! they are streamed. The tags are moved last, when everything else is there.

mod ahead;
pub mod challenge;
mod client;
pub mod error;
mod host;
mod http;
mod plain_http;
mod proxy;
mod prune;
mod read;
pub mod tag_list;
mod tags;
mod tls;
pub mod token;
mod upload;
mod write;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use tokio::sync::OnceCell;

use super::cache::Cache;
use super::oci::document::{Descriptor, Document, Flaw, ImageManifest};
use super::oci::parts::ImageParts;
use super::oci::read::malformed;
use super::{
    BaseNow, BaseSource, Blob, Displaced, FileRange, ImageStore, LabelReads, LayerSource, Put, StoreError, TagHolder,
    TagStates, layers as layer_files, put_if_changed, tag_states,
};
use crate::image::digest::Digest;
use crate::image::labels::ImageLabels;
use crate::image::name::{ImageName, Repository};
use crate::image::platform::Platforms;
use crate::image::tree::{PathQuery, Tree};
use crate::image::{Base, BaseImage, NewImage, media};
use crate::runtime::unfinished::Unfinished;
use crate::store::error::{fault, internal};
use client::{Client, Request};
use error::RegistryError;
use http::{STALL, retry};
use plain_http::PlainHttp;
use token::Scope;

/// The header with the digest of a manifest.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// How many documents or blobs are transferred at once.
const CONCURRENT_TRANSFERS: usize = 8;

/// The store of registries.
pub struct RegistryStore {
    client: Client,
    cache: Cache,
    pending: Unfinished,
    /// The layers that were downloaded for the tree of a base, verified.
    layers: Mutex<HashMap<Digest, Arc<OnceCell<FileRange>>>>,
}

impl RegistryStore {
    /// Takes the folder of Docker's `config.json`, for logins; the registries (`HOST[:PORT]`) that may be asked in plain HTTP, besides this
    /// machine's; and a cache directory, which may hold nothing secret. `pending` holds each move of tags: to end the run, close it and
    /// wait for it. Fails if TLS cannot be set up.
    pub fn new(
        docker_config: Option<PathBuf>,
        insecure: Vec<String>,
        cache: Option<PathBuf>,
        pending: Unfinished,
    ) -> Result<Self, StoreError> {
        let client = Client::new(docker_config, PlainHttp::new(insecure))?;
        Ok(RegistryStore { client, cache: Cache::new(cache), pending, layers: Mutex::default() })
    }

    /// Lists the images of a repository, by tag.
    pub(in crate::store) async fn tags(&self, repository: &Repository) -> Result<Vec<Repository>, StoreError> {
        tag_list::list(&self.client, repository).await
    }

    /// Reads the labels of one of many images.
    pub(in crate::store) async fn labels(
        &self,
        name: &ImageName,
        platforms: &Platforms,
        reads: &LabelReads,
    ) -> Result<ImageLabels, StoreError> {
        read::labels(&self.client, name, platforms, reads).await
    }

    /// Tells whether a tag still points to an image that was a base.
    pub(in crate::store) async fn base_now(
        &self,
        name: &ImageName,
        was: &Digest,
        reads: &LabelReads,
    ) -> Result<BaseNow, StoreError> {
        read::base_now(&self.client, name, was, reads).await
    }

    /// Like [`ImageStore::put`], for a caller that knows what the tags point to.
    pub(in crate::store) async fn put_after<S: LayerSource>(
        &self,
        image: &NewImage,
        tags: &[&ImageName],
        base: BaseSource<'_, S>,
        before: TagStates,
    ) -> Result<Put, StoreError> {
        let parts = ImageParts::from_new(image)?;
        let write = async || write::write(&self.client, &self.pending, &parts, tags, base).await.map(|()| Vec::new());
        let (put, replaced) = put_if_changed(image, before, write).await?;
        let [first, ..] = tags else { return Ok(put) };
        let repository = repository_of(first)?;
        let displaced = |id| Displaced { id, held_by: TagHolder::Registry(repository.clone()) };
        Ok(Put { displaced: replaced.into_iter().map(displaced).collect(), ..put })
    }

    /// Starts `blobs` uploads to a repository.
    pub(in crate::store) async fn start_uploads(&self, repository: &Repository, blobs: usize) {
        let registry = self.client.registry(repository);
        join_all((0..blobs).map(|_| upload::start_ahead(&self.client, &registry, repository))).await;
    }

    /// Returns a layer of a base as an unnamed file, downloaded once in a run.
    async fn piece(&self, name: &ImageName, layer: &Descriptor) -> Result<FileRange, StoreError> {
        let cell = Arc::clone(
            self.layers.lock().unwrap_or_else(PoisonError::into_inner).entry(layer.digest.clone()).or_default(),
        );
        let fetch = async || {
            let failed = |error| fault("keep a layer of", &name.to_string(), &error);
            let mut file = tempfile::tempfile().map_err(failed)?;
            let blob = self.layer(name, &layer.digest).await?;
            let copied =
                blob.copy(&layer.digest, layer.size, async |bytes| std::io::Write::write_all(&mut file, bytes)).await;
            copied
                .map_err(|error| RegistryError::from_base(error.diagnose(&layer.digest, name, "a temporary file")))?;
            Ok(FileRange::whole(Arc::new(file)).map_err(failed)?)
        };
        let download = async || retry(fetch).await.map_err(|error| error.diagnose(&name.to_string()));
        cell.get_or_try_init(download).await.cloned()
    }
}

impl ImageStore for RegistryStore {
    async fn read(&self, name: &ImageName, platforms: &Platforms) -> Result<BaseImage, StoreError> {
        read::base(&self.client, &self.cache, name, platforms).await
    }

    async fn look_up(&self, name: &ImageName, base: &Base, paths: &PathQuery) -> Result<Tree, StoreError> {
        let Ok(Document::Manifest(ImageManifest { layers, .. })) = Document::read(&base.manifest, media::OCI_MANIFEST)
        else {
            return Err(malformed(&name.to_string(), "the manifest", &Flaw("is not an image's")));
        };
        let in_layers = async |paths: PathQuery| {
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
        self.put_after(image, tags, base, tag_states(self, tags).await?).await
    }
}

impl LayerSource for RegistryStore {
    async fn layer(&self, name: &ImageName, digest: &Digest) -> Result<Blob, StoreError> {
        let repository = repository_of(name)?;
        let registry = self.client.registry(repository);
        let url = registry.host.url(repository, &format!("blobs/{digest}"));
        let request = Request { is_for_layer: true, ..Request::new(Method::GET, url, Scope::pull(repository)) };
        let shown = name.to_string();
        let response = self.client.send(&registry, &request).await.map_err(|error| error.diagnose(&shown))?;
        if response.status() != StatusCode::OK {
            return Err(RegistryError::from_response(response).await.diagnose(&shown));
        }
        let chunks = futures_util::stream::unfold(Some(response), move |response| {
            let shown = shown.clone();
            async move {
                let mut response = response?;
                match tokio::time::timeout(STALL, response.chunk()).await {
                    Ok(Ok(Some(bytes))) => Some((Ok(bytes), Some(response))),
                    Ok(Ok(None)) => None,
                    Ok(Err(error)) => Some((Err(RegistryError::from(error).diagnose(&shown)), None)),
                    Err(_) => Some((Err(RegistryError::Timeout.diagnose(&shown)), None)),
                }
            }
        });
        Ok(Blob::Stream(chunks.boxed()))
    }
}

/// Returns the repository of a name.
fn repository_of(name: &ImageName) -> Result<&Repository, StoreError> {
    match name {
        ImageName::Registry(repository) => Ok(repository),
        other => Err(internal(format!("`{other}` is not in a registry"))),
    }
}
