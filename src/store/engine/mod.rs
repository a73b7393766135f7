//! Owns the container engine as an image store: Docker Engine with either image store, and Podman's Docker-compatible socket.
//!
//! It is the only importer of bollard. It never moves a layer of the base and leaves nothing behind but the image.

mod alias;
mod base;
pub mod endpoint;
mod entries;
mod error;
mod write;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::OnceLock;

use bollard::Docker;
use bollard::models::ImageInspect;
use tokio_util::task::TaskTracker;

use super::{ImageStore, StoreError, Written};
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::image::platform::Platform;
use crate::image::tree::Tree;
use crate::image::{Base, Image};
use endpoint::Endpoint;
use error::{engine_error, is_not_found};

/// How an engine keeps its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// By config: the image ID is the config's digest. Docker's graphdrivers and Podman.
    Config,
    /// By manifest: the image ID is the manifest's digest. Docker's containerd image store.
    Manifest,
}

/// A container engine.
pub struct EngineStore {
    docker: Docker,
    /// The endpoint as errors show it.
    address: String,
    kind: OnceLock<Kind>,
    /// Where manifests and configs of bases are kept by their digest.
    cache: Option<PathBuf>,
    /// What must be removed even if the run is interrupted.
    cleanup: TaskTracker,
}

impl EngineStore {
    /// Makes the client; nothing is sent yet. `cleanup` is waited for before the process ends.
    ///
    /// # Errors
    /// An endpoint that makes no sense.
    pub fn connect(endpoint: &Endpoint, cache: Option<PathBuf>, cleanup: TaskTracker) -> Result<Self, StoreError> {
        Ok(EngineStore {
            docker: endpoint.client()?,
            address: endpoint.to_string(),
            kind: OnceLock::new(),
            cache,
            cleanup,
        })
    }

    /// Returns how the engine keeps images, which it is asked only if no image has shown it.
    async fn kind(&self) -> Result<Kind, StoreError> {
        if let Some(kind) = self.kind.get() {
            return Ok(*kind);
        }
        let info = self.docker.info().await.map_err(|error| engine_error(&self.address, &error))?;
        let containerd = info.driver_status.iter().flatten().any(|pair| {
            pair.first().map(String::as_str) == Some("driver-type")
                && pair.get(1).map(String::as_str) == Some("io.containerd.snapshotter.v1")
        });
        Ok(*self.kind.get_or_init(|| if containerd { Kind::Manifest } else { Kind::Config }))
    }

    /// Inspects an image; `None` if the engine has none of this name.
    async fn inspect(&self, name: &str) -> Result<Option<ImageInspect>, StoreError> {
        match self.docker.inspect_image(name).await {
            Ok(image) => {
                // only a containerd store has descriptors, and every store names the driver otherwise
                let kind = match (&image.descriptor, &image.graph_driver) {
                    (Some(_), _) => Some(Kind::Manifest),
                    (None, Some(driver)) if !driver.name.is_empty() && driver.name != "overlayfs" => Some(Kind::Config),
                    _ => None,
                };
                if let Some(kind) = kind {
                    self.kind.get_or_init(|| kind);
                }
                Ok(Some(image))
            }
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(engine_error(&self.address, &error)),
        }
    }
}

/// Returns the name as the engine takes it.
fn engine_name(name: &ImageName) -> String {
    match name {
        ImageName::Engine(repository) => repository.as_written().to_owned(),
        other => other.to_string(),
    }
}

impl ImageStore for EngineStore {
    async fn base(&self, name: &ImageName, platform: Option<&Platform>) -> Result<Base, StoreError> {
        base::read(self, &engine_name(name), platform).await
    }

    async fn entries(&self, name: &ImageName, _base: &Base, paths: &BTreeSet<String>) -> Result<Tree, StoreError> {
        entries::look_up(self, &engine_name(name), paths).await
    }

    async fn current(&self, name: &ImageName) -> Result<Option<Digest>, StoreError> {
        let image = self.inspect(&engine_name(name)).await?;
        self.kind().await?;
        Ok(image.and_then(|image| Digest::parse(image.id.as_deref().unwrap_or_default())))
    }

    fn identity(&self, image: &Image) -> Digest {
        match self.kind.get() {
            Some(Kind::Manifest) => image.manifest_digest(),
            _ => image.config_digest(),
        }
    }

    async fn write(&self, image: &Image, tags: &[&ImageName]) -> Result<Written, StoreError> {
        write::write(self, image, tags).await
    }
}
