//! Owns the container engine as an image store: Docker with either of its stores, and Podman. The only code that imports bollard.
//!
//! A bake costs a few small requests, none of which grows with the base: see `write`. `tests/it/engine/counts.rs` counts them for each
//! engine.

mod alias;
mod base;
mod containers;
mod context;
mod demands;
mod dial;
mod endpoint;
mod error;
mod export;
mod inspect;
mod load;
mod load_all;
mod look_up;
mod prune;
mod push;
mod rebuild;
mod run_id;
mod settings;
mod ssh;
mod stream;
mod temp;
mod tls;
mod wire;
mod write;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bollard::{ClientVersion, Docker};

pub use containers::InspectedContainer;
pub use endpoint::{DEFAULT_SOCKET, Endpoint, Ssh, TlsFiles};
pub use prune::Pruned;
pub use settings::EndpointSettings;
pub use wire::Limits;

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
use inspect::{Inspect, TagState};
use temp::Pending;
use wire::Wire;

/// How an engine keeps images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Docker's own store: unpacked layers, no manifests.
    GraphDriver,
    /// Docker on containerd's store: manifests and blobs as in a registry.
    Containerd,
    Podman,
}

/// A container engine's images.
pub struct EngineStore {
    endpoint: Endpoint,
    wire: Wire,
    docker: Docker,
    /// The minor number of API 1.x that the engine speaks.
    api: u32,
    kind: OnceLock<Kind>,
    /// The major and minor version of Podman.
    podman: Option<(u32, u32)>,
    cache: Cache,
    /// What is under way and may not be left half done: writes, and the making and removal of temporary things.
    pending: Pending,
    /// Whether this run has looked for what a killed one left behind.
    swept_images: AtomicBool,
    swept_containers: AtomicBool,
    /// Whether this run has said that the way to the engine can be read.
    said_clear: AtomicBool,
}

impl Kind {
    /// Returns the ID that the engine gives an image.
    fn identity(self, image: &Image) -> Digest {
        match self {
            Kind::Containerd => image.manifest_digest(),
            Kind::GraphDriver | Kind::Podman => image.config_digest(),
        }
    }
}

impl EngineStore {
    /// Connects and asks the engine for its version and kind: one `/_ping`.
    ///
    /// `cache` is a directory of the user's for what never changes (manifests by digest); nothing secret is put there, and without it
    /// everything works, slower. `pending` has what an interrupt may not leave half done, once it has begun: whoever ends the run
    /// closes it and waits.
    ///
    /// # Errors
    /// The diagnosis: not running, not permitted, not an engine, no answer.
    pub async fn connect(
        endpoint: &Endpoint,
        cache: Option<PathBuf>,
        limits: Limits,
        pending: Unfinished,
    ) -> Result<Self, StoreError> {
        let diagnose = |error: EngineError| StoreError::from(error.diagnose(endpoint, "cannot connect"));
        let dialer = dial::Dialer::new(endpoint, limits.connect).map_err(|error| diagnose(error.into()))?;
        let wire = Wire::new(dialer.clone(), limits);
        let pong = match wire.get("/_ping").await {
            Ok(pong) => pong,
            Err(error) => {
                let mut diagnostic = error.diagnose(endpoint, "cannot connect");
                if let Some(said) = dialer.said().await {
                    diagnostic.causes.push(format!("ssh said: {said}"));
                }
                return Err(diagnostic.into());
            }
        };
        let header = |name: &str| pong.headers().get(name).and_then(|value| value.to_str().ok());
        let minor = header("api-version").and_then(|version| version.strip_prefix("1.")?.parse::<u32>().ok());
        let (Some(api), true) = (minor, pong.status().is_success()) else {
            return Err(diagnose(EngineError::Malformed("an answer without the Engine API's version")));
        };
        let kind = OnceLock::new();
        let podman = header("libpod-api-version").map(demands::version);
        if podman.is_some() {
            let _ = kind.set(Kind::Podman);
        } else if api < 42 {
            let _ = kind.set(Kind::GraphDriver);
        }
        wire.collect(pong.into_body()).await.map_err(diagnose)?;
        // newer than what was tested changes nothing here; the engine answers as that version did
        let api = api.min(51);
        wire.speak(&format!("1.{api}"));
        let docker = shared(&wire, api).map_err(diagnose)?;
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
            said_clear: AtomicBool::new(false),
        };
        temp::remove_noted(&store).await;
        Ok(store)
    }

    /// Inspects an image by name or ID; `None` if there is none.
    async fn inspect(&self, reference: &str) -> Result<Option<Inspect>, EngineError> {
        let path = if self.kind.get() == Some(&Kind::Podman) {
            // the compatible endpoint has neither the health check nor the history
            format!("/v4.0.0/libpod/images/{reference}/json")
        } else {
            format!("/images/{reference}/json?manifests=1")
        };
        let Some(bytes) = self.wire.get_json(&path).await? else { return Ok(None) };
        let seen = Inspect::parse(&bytes)?;
        if self.kind.get().is_none() {
            let _ = self.kind.set(self.kind_of(&seen).await?);
        }
        Ok(Some(seen))
    }

    /// Tells the store's kind by an image: from API 1.48 the containerd store shows what the name stands for; before, only the names
    /// of the drivers differ, and not always.
    async fn kind_of(&self, seen: &Inspect) -> Result<Kind, EngineError> {
        match seen.driver.as_deref() {
            _ if seen.target.is_some() => Ok(Kind::Containerd),
            _ if self.api >= 48 => Ok(Kind::GraphDriver),
            Some("overlay2" | "vfs" | "aufs" | "devicemapper") => Ok(Kind::GraphDriver),
            _ => self.kind_by_info().await,
        }
    }

    async fn kind_by_info(&self) -> Result<Kind, EngineError> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Info {
            driver_status: Option<Vec<(String, String)>>,
        }
        const WRONG: EngineError = EngineError::Malformed("a description of itself that is not the Engine API's");
        let bytes = self.wire.get_json("/info").await?.ok_or(WRONG)?;
        let info: Info = serde_json::from_slice(&bytes).map_err(|_| WRONG)?;
        let containerd = info
            .driver_status
            .unwrap_or_default()
            .iter()
            .any(|(key, value)| key == "driver-type" && value == "io.containerd.snapshotter.v1");
        Ok(if containerd { Kind::Containerd } else { Kind::GraphDriver })
    }

    async fn kind(&self) -> Result<Kind, EngineError> {
        if let Some(kind) = self.kind.get() {
            return Ok(*kind);
        }
        let kind = self.kind_by_info().await?;
        Ok(*self.kind.get_or_init(|| kind))
    }

    /// Returns what a tag points to now; `None` if the engine does not have it.
    async fn look_up_tag(&self, tag: &Repository) -> Result<Option<TagState>, StoreError> {
        let failed = |error: EngineError| self.diagnose(&error, &format!("cannot look up {}", tag.as_written()));
        let seen = self.inspect(tag.as_written()).await.map_err(failed)?;
        Ok(seen.as_ref().map(Inspect::tag_state))
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
        found.map_err(|error| self.diagnose(&error, &format!("cannot look into {name}")))
    }

    async fn tag_state(&self, name: &ImageName) -> Result<Option<Digest>, StoreError> {
        let state = self.look_up_tag(engine_name(name)?).await?;
        // a killed run may leave an image that the engine has in part: it is written again
        Ok(state.filter(|state| state.is_whole).map(|state| state.id))
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
        if put.changed && self.endpoint.is_in_the_clear() && !self.said_clear.swap(true, Ordering::Relaxed) {
            let what = format!("the image went to {} without encryption, its secrets with it", self.endpoint);
            let hint =
                "reach the engine by ssh://, or by TLS: DOCKER_TLS_VERIFY=1, with the certificates in DOCKER_CERT_PATH";
            put.warnings.push(Diagnostic::warning("engine-in-the-clear", what).hint(hint));
        }
        Ok(put)
    }
}

impl EngineStore {
    /// Begins what may not be left half done: the end of the run waits until the token is dropped. Where the run is ending already,
    /// nothing begins any more.
    async fn whole(&self) -> Held {
        self.pending.begin().await
    }
}

/// Makes bollard use the same connections and versions.
fn shared(wire: &Wire, api: u32) -> Result<Docker, EngineError> {
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
            let what = format!("{other} is not an image of the container engine");
            Err(Diagnostic::error("not-an-engine-image", what).hint("write NAME:TAG").into())
        }
    }
}
