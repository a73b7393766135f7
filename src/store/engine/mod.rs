//! Owns the container engine as an image store: Docker with either of its image stores, and Podman. Only this folder imports bollard.
//!
//! A bake takes a few small requests whose size does not depend on the base (see `write`). `tests/it/engine/counts.rs` counts them for
//! each engine.

mod alias;
pub mod base;
mod containers;
mod context;
mod demands;
mod dial;
mod endpoint;
pub mod error;
pub mod export;
mod fleet;
pub mod inspect;
pub mod load;
mod load_all;
pub mod look_up;
mod prune;
pub mod push;
pub mod rebuild;
mod run_id;
mod settings;
mod ssh;
pub mod stream;
mod temp;
mod tls;
mod wire;
mod write;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bollard::{ClientVersion, Docker};

pub use containers::InspectedContainer;
pub use endpoint::{Endpoint, TlsFiles};
pub use fleet::{EngineImage, RunningContainer};
pub use settings::EndpointSettings;
pub use wire::Timeouts;

use super::cache::Cache;
use super::{BaseSource, ImageStore, LayerSource, Put, StoreError};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};
use crate::image::platform::Platforms;
use crate::image::tree::{PathQuery, Tree};
use crate::image::{Base, BaseImage, Image, NewImage};
use crate::runtime::unfinished::{Held, Unfinished};
use error::EngineError;
use inspect::{InspectedImage, TagState};
use wire::Wire;

/// How an engine stores images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EngineKind {
    /// Docker's overlay2 store: unpacked layers, no manifests.
    GraphDriver,
    /// Docker's containerd store: manifests and blobs, like a registry.
    Containerd,
    Podman,
}

/// The images of a container engine.
pub struct EngineStore {
    endpoint: Endpoint,
    wire: Wire,
    docker: Docker,
    /// The minor version of the Engine API (1.x) in use.
    api: u32,
    kind: OnceLock<EngineKind>,
    /// The major and minor version, if the engine is Podman.
    podman: Option<(u32, u32)>,
    cache: Cache,
    /// Work that must finish before the run ends: writes, and creating and removing temporary resources.
    pending: Unfinished,
    /// Whether this run has removed the temporary resources of killed runs.
    swept_images: AtomicBool,
    swept_containers: AtomicBool,
    /// Whether this run has warned about an unencrypted connection.
    warned_unencrypted: AtomicBool,
}

impl EngineKind {
    /// Returns the ID that the engine assigns to an image.
    fn identity(self, image: &Image) -> Digest {
        match self {
            EngineKind::Containerd => image.manifest_digest(),
            EngineKind::GraphDriver | EngineKind::Podman => image.config_digest(),
        }
    }
}

impl EngineStore {
    /// Connects and reads the engine's version and kind from one `/_ping`.
    ///
    /// `cache` is a directory for immutable data such as manifests by digest. It never holds secrets; without it, bakes are slower.
    /// `pending` tracks work that an interrupt must not cut short: close it and wait for it before the run ends.
    pub async fn connect(
        endpoint: &Endpoint,
        cache: Option<PathBuf>,
        limits: Timeouts,
        pending: Unfinished,
    ) -> Result<Self, StoreError> {
        let diagnose = |error: EngineError| StoreError::from(error.diagnose(endpoint, "cannot connect"));
        let dialer = dial::Dialer::new(endpoint, limits.connect).map_err(|error| diagnose(error.into()))?;
        let wire = Wire::new(dialer.clone(), limits);
        let pong = match wire.get("/_ping").await {
            Ok(pong) => pong,
            Err(error) => {
                let mut diagnostic = error.diagnose(endpoint, "cannot connect");
                if let Some(said) = dialer.ssh_error().await {
                    diagnostic.causes.push(format!("ssh said: {said}"));
                }
                return Err(diagnostic.into());
            }
        };
        let header = |name: &str| pong.headers().get(name).and_then(|value| value.to_str().ok());
        let minor = header("api-version").and_then(|version| version.strip_prefix("1.")?.parse::<u32>().ok());
        let (Some(api), true) = (minor, pong.status().is_success()) else {
            return Err(diagnose(EngineError::Malformed("an answer without an Engine API version")));
        };
        let kind = OnceLock::new();
        let podman = header("libpod-api-version").map(demands::version);
        if podman.is_some() {
            let _ = kind.set(EngineKind::Podman);
        } else if api < 42 {
            let _ = kind.set(EngineKind::GraphDriver);
        }
        wire.collect(pong.into_body()).await.map_err(diagnose)?;
        // a newer engine still speaks the newest version that was tested
        let api = api.min(51);
        wire.set_api_version(&format!("1.{api}"));
        let docker = bollard_client(&wire, api).map_err(diagnose)?;
        let store = EngineStore {
            endpoint: endpoint.clone(),
            wire,
            docker,
            api,
            kind,
            podman: podman.flatten(),
            cache: Cache::new(cache),
            pending,
            swept_images: AtomicBool::new(false),
            swept_containers: AtomicBool::new(false),
            warned_unencrypted: AtomicBool::new(false),
        };
        temp::remove_noted(&store).await;
        Ok(store)
    }

    /// Tells whether the engine is Podman.
    pub fn is_podman(&self) -> bool {
        self.kind.get() == Some(&EngineKind::Podman)
    }

    /// Inspects an image by name or ID; `None` if it does not exist.
    async fn inspect(&self, reference: &str) -> Result<Option<InspectedImage>, EngineError> {
        let path = if self.kind.get() == Some(&EngineKind::Podman) {
            // the Docker-compatible endpoint omits the health check and the history
            format!("/v4.0.0/libpod/images/{reference}/json")
        } else {
            format!("/images/{reference}/json?manifests=1")
        };
        let Some(bytes) = self.wire.get_json(&path).await? else { return Ok(None) };
        let seen = InspectedImage::parse(&bytes)?;
        if self.kind.get().is_none() {
            let _ = self.kind.set(self.kind_from_image(&seen).await?);
        }
        Ok(Some(seen))
    }

    /// Detects the kind from an inspected image. From API 1.48 on, only the containerd store returns a descriptor; older engines differ
    /// only in the driver's name, and not always.
    async fn kind_from_image(&self, seen: &InspectedImage) -> Result<EngineKind, EngineError> {
        match seen.driver.as_deref() {
            _ if seen.target.is_some() => Ok(EngineKind::Containerd),
            _ if self.api >= 48 => Ok(EngineKind::GraphDriver),
            Some("overlay2" | "vfs" | "aufs" | "devicemapper") => Ok(EngineKind::GraphDriver),
            _ => self.kind_from_info().await,
        }
    }

    async fn kind_from_info(&self) -> Result<EngineKind, EngineError> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Info {
            driver_status: Option<Vec<(String, String)>>,
        }
        const WRONG: EngineError = EngineError::Malformed("an invalid `/info` answer");
        let bytes = self.wire.get_json("/info").await?.ok_or(WRONG)?;
        let info: Info = serde_json::from_slice(&bytes).map_err(|_| WRONG)?;
        let containerd = info
            .driver_status
            .unwrap_or_default()
            .iter()
            .any(|(key, value)| key == "driver-type" && value == "io.containerd.snapshotter.v1");
        Ok(if containerd { EngineKind::Containerd } else { EngineKind::GraphDriver })
    }

    async fn kind(&self) -> Result<EngineKind, EngineError> {
        if let Some(kind) = self.kind.get() {
            return Ok(*kind);
        }
        let kind = self.kind_from_info().await?;
        Ok(*self.kind.get_or_init(|| kind))
    }

    /// Returns what a tag points to now; `None` if the engine does not have it.
    async fn look_up_tag(&self, tag: &Repository) -> Result<Option<TagState>, StoreError> {
        let failed = |error: EngineError| self.diagnose(&error, &format!("cannot look up {}", tag.as_written()));
        let seen = self.inspect(tag.as_written()).await.map_err(failed)?;
        Ok(seen.as_ref().map(InspectedImage::tag_state))
    }

    fn diagnose(&self, error: &EngineError, doing: &str) -> StoreError {
        error.diagnose(&self.endpoint, doing).into()
    }
}

impl ImageStore for EngineStore {
    async fn read(&self, name: &ImageName, platforms: &Platforms) -> Result<BaseImage, StoreError> {
        base::read(self, engine_name(name)?, platforms.asked()).await.map(BaseImage::One)
    }

    async fn look_up(&self, name: &ImageName, base: &Base, paths: &PathQuery) -> Result<Tree, StoreError> {
        let reference = engine_name(name)?.as_written();
        let found = look_up::look_up(self, reference, base, paths).await;
        found.map_err(|error| self.diagnose(&error, &format!("cannot read the file tree of {name}")))
    }

    async fn tag_state(&self, name: &ImageName) -> Result<Option<Digest>, StoreError> {
        let state = self.look_up_tag(engine_name(name)?).await?;
        // a killed run may leave an incomplete image, which must be written again
        Ok(state.filter(|state| state.is_complete).map(|state| state.id))
    }

    async fn put<S: LayerSource>(
        &self,
        image: &NewImage,
        tags: &[&ImageName],
        base: BaseSource<'_, S>,
    ) -> Result<Put, StoreError> {
        let NewImage::Image(image) = image else { return Err(super::error::one_platform(tags)) };
        let tags = tags.iter().map(|tag| engine_name(tag)).collect::<Result<Vec<_>, _>>()?;
        let mut put = write::put(self, image, &tags, base).await?;
        if put.changed && self.endpoint.is_unencrypted() && !self.warned_unencrypted.swap(true, Ordering::Relaxed) {
            let what = format!("the image and its secrets were sent to {} without encryption", self.endpoint);
            let hint = "connect over ssh://, or over TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH";
            put.warnings.push(Diagnostic::warning("engine-in-the-clear", what).hint(hint));
        }
        Ok(put)
    }
}

impl EngineStore {
    /// Starts work that must not be interrupted: the run waits to end until the token is dropped. Never returns if the run is ending.
    async fn begin_uninterrupted(&self) -> Held {
        self.pending.begin().await
    }
}

/// Returns a bollard client that uses the connections and the API version of `wire`.
fn bollard_client(wire: &Wire, api: u32) -> Result<Docker, EngineError> {
    let transport = {
        let wire = wire.clone();
        move |request| {
            let wire = wire.clone();
            async move { wire.send(request).await.map_err(|err| bollard::errors::Error::IOError { err }) }
        }
    };
    let version = ClientVersion { major_version: 1, minor_version: api as usize };
    let seconds = wire.limits.answer.as_secs();
    Ok(Docker::connect_with_custom_transport(transport, Some("http://engine"), seconds, &version)?)
}

fn engine_name(name: &ImageName) -> Result<&Repository, StoreError> {
    match name {
        ImageName::Engine(repository) => Ok(repository),
        other => {
            let what = format!("{other} is not an image in a container engine");
            Err(Diagnostic::error("not-an-engine-image", what).hint("write NAME:TAG").into())
        }
    }
}
