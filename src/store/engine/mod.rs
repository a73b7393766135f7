//! Owns the container engine as an image store: Docker with either of its stores, and Podman. The only code that imports bollard.
//!
//! A bake costs a few small requests, none of which grows with the base: see `write`. `tests/it/engine/counts.rs` counts them for each
//! engine.

mod alias;
mod answer;
mod base;
mod commit;
mod containers;
mod context;
mod dial;
mod endpoint;
mod entries;
mod export;
mod failure;
mod inspect;
mod load;
mod owner;
mod prune;
mod push;
mod rebuild;
mod ssh;
mod temporary;
mod tls;
mod whole;
mod wire;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use bollard::{ClientVersion, Docker};

pub use endpoint::{DEFAULT_SOCKET, Endpoint, EndpointSettings, Ssh, TlsFiles};
pub use prune::Pruned;
pub use wire::Limits;

use super::cache::Cache;
use super::{ImageStore, Source, StoreError, Written};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};
use crate::image::platform::Platform;
use crate::image::tree::{Lookup, Tree};
use crate::image::{Base, Image};
use crate::runtime::unfinished::{Held, Unfinished};
use failure::Trouble;
use inspect::Inspect;
use prune::Replaced;
use temporary::Pending;
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
    /// The bases that were read, by their diff IDs.
    bases: Mutex<HashMap<Vec<Digest>, KnownBase>>,
    /// What the tags stood for when they were last looked at.
    standing: Mutex<HashMap<String, Option<Standing>>>,
    /// The baked images that writes left without a tag.
    replaced: Mutex<Vec<Replaced>>,
    /// What the images that the tags stood for were baked from.
    families: Mutex<BTreeSet<String>>,
    cache: Cache,
    /// What is under way and may not be left half done: writes, and the making and removal of temporary things.
    pending: Pending,
    /// Whether this run has looked for what a killed one left behind.
    swept_images: AtomicBool,
    swept_containers: AtomicBool,
    /// Whether this run has said that the way to the engine can be read.
    said_clear: AtomicBool,
}

/// How a base that was read is named to the engine.
#[derive(Debug, Clone)]
struct KnownBase {
    /// What identifies the base.
    digest: Digest,
    /// The image ID.
    id: Digest,
    /// The platform, where the ID alone does not say which.
    platform: Option<Platform>,
}

/// What a tag stands for.
#[derive(Debug, Clone)]
struct Standing {
    id: Digest,
    /// Every name of that image.
    tags: Vec<String>,
    baked: bool,
    /// Whether all of it is there, so that a container can start.
    whole: bool,
}

impl Standing {
    fn of(seen: &Inspect) -> Self {
        Standing { id: seen.id.clone(), tags: seen.tags.clone(), baked: seen.is_baked(), whole: seen.is_whole() }
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
        let diagnose = |trouble: Trouble| StoreError::from(trouble.diagnose(endpoint, "cannot connect"));
        let dialer = dial::Dialer::new(endpoint, limits.connect).map_err(|error| diagnose(error.into()))?;
        let wire = Wire::new(dialer.clone(), limits);
        let pong = match wire.get("/_ping").await {
            Ok(pong) => pong,
            Err(trouble) => {
                let mut diagnostic = trouble.diagnose(endpoint, "cannot connect");
                if let Some(said) = dialer.said().await {
                    diagnostic.causes.push(format!("ssh said: {said}"));
                }
                return Err(diagnostic.into());
            }
        };
        let header = |name: &str| pong.headers().get(name).and_then(|value| value.to_str().ok());
        let minor = header("api-version").and_then(|version| version.strip_prefix("1.")?.parse::<u32>().ok());
        let (Some(api), true) = (minor, pong.status().is_success()) else {
            return Err(diagnose(Trouble::Garbled("an answer without the Engine API's version")));
        };
        let kind = OnceLock::new();
        if header("libpod-api-version").is_some() {
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
            bases: Mutex::default(),
            standing: Mutex::default(),
            replaced: Mutex::default(),
            families: Mutex::default(),
            cache: Cache::new(cache),
            pending,
            swept_images: AtomicBool::new(false),
            swept_containers: AtomicBool::new(false),
            said_clear: AtomicBool::new(false),
        };
        temporary::remove_noted(&store).await;
        Ok(store)
    }

    /// Inspects an image by name or ID; `None` if there is none.
    async fn inspect(&self, reference: &str) -> Result<Option<Inspect>, Trouble> {
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
    async fn kind_of(&self, seen: &Inspect) -> Result<Kind, Trouble> {
        match seen.driver.as_deref() {
            _ if seen.target.is_some() => Ok(Kind::Containerd),
            _ if self.api >= 48 => Ok(Kind::GraphDriver),
            Some("overlay2" | "vfs" | "aufs" | "devicemapper") => Ok(Kind::GraphDriver),
            _ => self.kind_by_info().await,
        }
    }

    async fn kind_by_info(&self) -> Result<Kind, Trouble> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Info {
            driver_status: Option<Vec<(String, String)>>,
        }
        const WRONG: Trouble = Trouble::Garbled("a description of itself that is not the Engine API's");
        let bytes = self.wire.get_json("/info").await?.ok_or(WRONG)?;
        let info: Info = serde_json::from_slice(&bytes).map_err(|_| WRONG)?;
        let containerd = info
            .driver_status
            .unwrap_or_default()
            .iter()
            .any(|(key, value)| key == "driver-type" && value == "io.containerd.snapshotter.v1");
        Ok(if containerd { Kind::Containerd } else { Kind::GraphDriver })
    }

    async fn kind(&self) -> Result<Kind, Trouble> {
        if let Some(kind) = self.kind.get() {
            return Ok(*kind);
        }
        let kind = self.kind_by_info().await?;
        Ok(*self.kind.get_or_init(|| kind))
    }

    /// Looks a tag up and remembers what it stands for.
    async fn look_up(&self, reference: &str) -> Result<Option<Standing>, Trouble> {
        let seen = self.inspect(reference).await?;
        lock(&self.families).extend(seen.as_ref().and_then(Inspect::baked_from));
        let standing = seen.as_ref().map(Standing::of);
        lock(&self.standing).insert(reference.to_owned(), standing.clone());
        Ok(standing)
    }

    /// Returns how a base that was read is named to the engine.
    fn known(&self, base: &Base) -> Option<KnownBase> {
        let digest = base.digest.as_ref()?;
        lock(&self.bases).values().find(|known| known.digest == *digest).cloned()
    }

    fn diagnose(&self, trouble: &Trouble, doing: &str) -> StoreError {
        trouble.diagnose(&self.endpoint, doing).into()
    }
}

impl ImageStore for EngineStore {
    async fn base(&self, name: &ImageName, platform: Option<&Platform>) -> Result<Base, StoreError> {
        base::read(self, engine_name(name)?, platform).await
    }

    async fn entries(&self, name: &ImageName, base: &Base, paths: &Lookup) -> Result<Tree, StoreError> {
        let reference = engine_name(name)?.as_written();
        let found = entries::look_up(self, reference, base, paths).await;
        found.map_err(|trouble| self.diagnose(&trouble, &format!("cannot look into {name}")))
    }

    async fn current(&self, name: &ImageName) -> Result<Option<Digest>, StoreError> {
        let reference = engine_name(name)?.as_written();
        let standing = self.look_up(reference).await;
        let standing = standing.map_err(|trouble| self.diagnose(&trouble, &format!("cannot look {name} up")))?;
        if standing.is_none() {
            // the identity of what is baked next depends on the kind
            self.kind().await.map_err(|trouble| self.diagnose(&trouble, &format!("cannot look {name} up")))?;
        }
        // a killed run may leave an image that the engine has in part: it is written again
        Ok(standing.filter(|standing| standing.whole).map(|standing| standing.id))
    }

    /// Before anything was asked of the engine its kind may be unknown; then it is taken to keep no manifests.
    fn identity(&self, image: &Image) -> Digest {
        match self.kind.get() {
            Some(Kind::Containerd) => image.manifest_digest(),
            _ => image.config_digest(),
        }
    }

    async fn write(&self, image: &Image, tags: &[&ImageName]) -> Result<Written, StoreError> {
        self.write_when_allowed::<EngineStore>(image, tags, None).await
    }

    async fn write_from<S: ImageStore>(
        &self,
        image: &Image,
        tags: &[&ImageName],
        base: Source<'_, S>,
    ) -> Result<Written, StoreError> {
        let is_elsewhere = !matches!(base.name, ImageName::Engine(_) | ImageName::Scratch);
        self.write_when_allowed(image, tags, is_elsewhere.then_some(base)).await
    }
}

impl EngineStore {
    async fn write_when_allowed<S: ImageStore>(
        &self,
        image: &Image,
        tags: &[&ImageName],
        base: Option<Source<'_, S>>,
    ) -> Result<Written, StoreError> {
        let tags = tags.iter().map(|tag| engine_name(tag)).collect::<Result<Vec<_>, _>>()?;
        // every tag is the old image or the new one
        let _whole = self.whole().await;
        let mut written = write::write(self, image, &tags, base).await?;
        if self.endpoint.is_in_the_clear() && !self.said_clear.swap(true, Ordering::Relaxed) {
            let what = format!("the image went to {} without encryption, its secrets with it", self.endpoint);
            let hint =
                "reach the engine by ssh://, or by TLS: DOCKER_TLS_VERIFY=1, with the certificates in DOCKER_CERT_PATH";
            written.warnings.push(Diagnostic::warning("engine-in-the-clear", what).hint(hint));
        }
        Ok(written)
    }

    /// Begins what may not be left half done: the end of the run waits until the token is dropped. Where the run is ending already,
    /// nothing begins any more.
    async fn whole(&self) -> Held {
        self.pending.begin().await
    }
}

/// Makes bollard use the same connections and versions.
fn shared(wire: &Wire, api: u32) -> Result<Docker, Trouble> {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
