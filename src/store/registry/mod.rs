//! Owns images of registries, `docker://HOST/REPO[:TAG|@DIGEST]`, without a daemon.
//!
//! Within one repository nothing of the base crosses the wire; between two of one registry it is mounted; from elsewhere it is
//! streamed. The tags come last, so that they stand for what they stood for until everything is there.

mod challenge;
mod client;
mod error;
mod host;
mod login;
mod read;
mod tls;
mod upload;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};

use super::oci::document::{Document, Manifest};
use super::oci::read::malformed;
use super::{Blob, ImageStore, Piece, Source, StoreError, Written, tree};
use crate::error::Diagnostic;
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};
use crate::image::platform::Platform;
use crate::image::tree::Tree;
use crate::image::{Base, Image, media};
use crate::store::oci::document::Flaw;
use client::{Client, Request, STALL};
use error::Failure;
use host::Scope;

/// The store of registries.
pub struct RegistryStore {
    client: Client,
    /// The layers that were read for a base's tree, verified, so that another question of it reads them no more.
    kept: Mutex<HashMap<Digest, Piece>>,
}

impl RegistryStore {
    /// Returns the store; `docker_config` is the folder of Docker's `config.json`, for the logins.
    ///
    /// # Errors
    /// TLS that cannot be set up.
    pub fn new(docker_config: Option<PathBuf>) -> Result<Self, StoreError> {
        Ok(RegistryStore { client: Client::new(docker_config)?, kept: Mutex::default() })
    }

    /// Downloads the layers of a base into files without a name.
    async fn pieces(&self, name: &ImageName, base: &Base) -> Result<Vec<Piece>, StoreError> {
        let shown = name.to_string();
        let Ok(Document::Manifest(Manifest { layers, .. })) = Document::read(&base.manifest, media::OCI_MANIFEST)
        else {
            return Err(malformed(&shown, "the manifest", &Flaw("is not an image's")));
        };
        let mut pieces = Vec::new();
        for layer in layers {
            if let Some(piece) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&layer.digest) {
                pieces.push(piece.clone());
                continue;
            }
            let failed = |error| super::files::fault("keep a layer of", &shown, &error);
            let mut file = tempfile::tempfile().map_err(failed)?;
            let blob = self.layer(name, &layer.digest).await?;
            let copied =
                blob.copy(&layer.digest, layer.size, async |bytes| std::io::Write::write_all(&mut file, bytes)).await;
            copied.map_err(|error| error.of(&layer.digest, name, "a temporary file"))?;
            let piece = Piece::whole(Arc::new(file)).map_err(failed)?;
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(layer.digest, piece.clone());
            pieces.push(piece);
        }
        Ok(pieces)
    }
}

impl ImageStore for RegistryStore {
    async fn base(&self, name: &ImageName, platform: Option<&Platform>) -> Result<Base, StoreError> {
        read::base(&self.client, name, platform).await
    }

    async fn entries(&self, name: &ImageName, base: &Base, paths: &BTreeSet<String>) -> Result<Tree, StoreError> {
        tree::look_up(name, self.pieces(name, base).await?, paths).await
    }

    async fn current(&self, name: &ImageName) -> Result<Option<Digest>, StoreError> {
        read::current(&self.client, name).await
    }

    fn identity(&self, image: &Image) -> Digest {
        image.manifest_digest()
    }

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

    async fn write(&self, image: &Image, tags: &[&ImageName]) -> Result<Written, StoreError> {
        write::write::<RegistryStore>(&self.client, image, tags, None).await
    }

    async fn write_from<S: ImageStore>(
        &self,
        image: &Image,
        tags: &[&ImageName],
        base: Source<'_, S>,
    ) -> Result<Written, StoreError> {
        write::write(&self.client, image, tags, Some(base)).await
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
