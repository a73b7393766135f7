//! Owns the choice of a store by an image's name.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::OnceLock;

use tokio::sync::OnceCell;

use super::archive::ArchiveStore;
use super::engine::{
    Endpoint, EndpointSettings, EngineImage, EngineStore, InspectedContainer, RunningContainer, Timeouts,
};
use super::layout::LayoutStore;
use super::login;
use super::registry::RegistryStore;
use super::scratch::ScratchStore;
use super::{
    BaseNow, BaseSource, Blob, Displaced, ImageStore, LabelReads, LayerSource, Pruned, Put, StoreError, TagHolder,
    TagStates, prune,
};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::labels::{ImageLabels, NamedBase};
use crate::image::name::{ImageName, Repository};
use crate::image::platform::Platforms;
use crate::image::tree::{PathQuery, Tree};
use crate::image::{Base, BaseImage, NewImage};
use crate::runtime::progress::Progress;
use crate::runtime::unfinished::Unfinished;

/// The stores of a run; each is opened at its first use.
pub struct Stores {
    engine_settings: EndpointSettings,
    insecure_registries: Vec<String>,
    cache: Option<PathBuf>,
    cleanup: Unfinished,
    engine: OnceCell<EngineStore>,
    registry: OnceLock<RegistryStore>,
    archives: ArchiveStore,
}

/// The result of a push by the engine.
pub struct Pushed {
    /// The digest of the manifest in the registry.
    pub digest: Digest,
    /// What lost the tag there.
    pub displaced: Option<Displaced>,
    /// Why that is not known.
    pub warning: Option<Diagnostic>,
}

/// Any of the stores.
pub enum AnyStore<'a> {
    Archive(&'a ArchiveStore),
    Layout(LayoutStore),
    Scratch(ScratchStore),
    Engine(&'a EngineStore),
    Registry(&'a RegistryStore),
}

impl Stores {
    /// Takes the settings of the engine, the registries (`HOST[:PORT]`) that may be asked in plain HTTP, the cache directory, and the work
    /// that must be finished before the process ends.
    pub fn new(
        engine_settings: EndpointSettings,
        insecure_registries: Vec<String>,
        cache: Option<PathBuf>,
        cleanup: Unfinished,
    ) -> Self {
        Stores {
            engine_settings,
            insecure_registries,
            cache,
            cleanup,
            engine: OnceCell::new(),
            registry: OnceLock::new(),
            archives: ArchiveStore::default(),
        }
    }

    async fn engine(&self) -> Result<&EngineStore, StoreError> {
        let connect = async || {
            let endpoint = Endpoint::resolve(&self.engine_settings)?;
            EngineStore::connect(&endpoint, self.cache.clone(), Timeouts::default(), self.cleanup.clone()).await
        };
        self.engine.get_or_try_init(connect).await
    }

    /// Returns the name of the command-line client of the engine that this run used.
    pub fn engine_client(&self) -> &'static str {
        if self.engine.get().is_some_and(EngineStore::is_podman) { "podman" } else { "docker" }
    }

    /// Removes baked images that this run displaced and that nothing names any more, and in the engine every untagged image that was
    /// baked from one of `bases` (digests).
    pub async fn prune(&self, displaced: &[Displaced], bases: &BTreeSet<String>) -> Pruned {
        let mut pruned = match self.engine.get() {
            Some(engine) => engine.prune(displaced, bases).await,
            None => Pruned::default(),
        };
        if let Some(registry) = self.registry.get() {
            pruned.extend(registry.prune(displaced).await);
        }
        pruned
    }

    /// Asks a registry what each of some tags of one place points to, so that [`AnyStore::put_after`] need not wait for it; `None` for
    /// tags that are not in a registry. Also starts `blobs` uploads if one of the tags is new.
    pub async fn tags_ahead(&self, tags: &[&ImageName], blobs: usize) -> Result<Option<TagStates>, StoreError> {
        let [ImageName::Registry(repository), ..] = tags else { return Ok(None) };
        let registry = self.registry()?;
        let states = super::tag_states(registry, tags).await?;
        if states.iter().any(Option::is_none) {
            registry.start_uploads(repository, blobs).await;
        }
        Ok(Some(states))
    }

    /// Makes the engine push a tag, with the login of Docker's configuration; `None` if the name is not in the engine. Before, it asks the
    /// registry what the tag points to, if `finds_displaced`.
    pub async fn push(
        &self,
        name: &ImageName,
        finds_displaced: bool,
        progress: &Progress,
    ) -> Result<Option<Pushed>, StoreError> {
        let ImageName::Engine(tag) = name else { return Ok(None) };
        let login = login::find(self.engine_settings.docker_config().as_deref(), tag.host()).await?;
        let before = match finds_displaced {
            true => self.in_registry(tag).await,
            false => Ok(None),
        };
        let digest = self.engine().await?.push(tag, login.as_ref(), progress).await?;
        let (displaced, warning) = match before {
            Ok(before) => (before.filter(|before| *before != digest), None),
            Err(error) => (None, Some(prune::unknown(tag, error))),
        };
        let displaced = displaced.map(|id| Displaced { id, held_by: TagHolder::Registry(tag.clone()) });
        Ok(Some(Pushed { digest, displaced, warning }))
    }

    /// Returns what a tag of the engine points to in the registry that it is pushed to.
    async fn in_registry(&self, tag: &Repository) -> Result<Option<Digest>, StoreError> {
        self.registry()?.tag_state(&ImageName::Registry(tag.clone())).await
    }

    /// Inspects a container of the engine by name or ID.
    pub async fn container(&self, name: &str) -> Result<InspectedContainer, StoreError> {
        self.engine().await?.container(name).await
    }

    /// Lists every baked image of the engine.
    pub async fn baked_images(&self) -> Result<Vec<EngineImage>, StoreError> {
        self.engine().await?.baked_images().await
    }

    /// Lists the running containers of the engine.
    pub async fn running(&self) -> Result<Vec<RunningContainer>, StoreError> {
        self.engine().await?.running().await
    }

    /// Lists the images of a repository of a registry, by tag.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<Repository>, StoreError> {
        self.registry()?.tags(repository).await
    }

    /// Reads the labels of one of many images, of the platform asked for or of this machine's.
    pub async fn labels(
        &self,
        name: &ImageName,
        platforms: &Platforms,
        reads: &LabelReads,
    ) -> Result<ImageLabels, StoreError> {
        if let ImageName::Registry(_) = name {
            return self.registry()?.labels(name, platforms, reads).await;
        }
        let _permit = reads.manifest().await;
        let (_, mut bases) = self.open(name).await?.read(name, platforms).await?.into_parts();
        let base = bases.pop().ok_or_else(|| super::error::internal(format!("no image of `{name}` was read")))?;
        Ok(ImageLabels::from_config(&base.config))
    }

    /// Asks a registry what the tag of a base points to now.
    pub async fn base_now(&self, base: &NamedBase, reads: &LabelReads) -> Result<BaseNow, StoreError> {
        let name = ImageName::parse(&format!("docker://{}", base.name));
        let (Ok(name @ ImageName::Registry(_)), Some(was)) = (name, Digest::parse(&base.digest)) else {
            let what = "an image's labels name a base that no registry can have";
            return Err(Diagnostic::error("bad-base", what).hint("bake the image again").into());
        };
        self.registry()?.base_now(&name, &was, reads).await
    }

    fn registry(&self) -> Result<&RegistryStore, StoreError> {
        if let Some(registry) = self.registry.get() {
            return Ok(registry);
        }
        let registry = RegistryStore::new(
            self.engine_settings.docker_config(),
            self.insecure_registries.clone(),
            self.cache.clone(),
            self.cleanup.clone(),
        )?;
        Ok(self.registry.get_or_init(|| registry))
    }

    /// Opens the store of a name.
    pub async fn open(&self, name: &ImageName) -> Result<AnyStore<'_>, StoreError> {
        match name {
            ImageName::Scratch => Ok(AnyStore::Scratch(ScratchStore)),
            ImageName::Layout { .. } => Ok(AnyStore::Layout(LayoutStore)),
            ImageName::Engine(_) => Ok(AnyStore::Engine(self.engine().await?)),
            ImageName::OciArchive { .. } | ImageName::DockerArchive { .. } => Ok(AnyStore::Archive(&self.archives)),
            ImageName::Registry(_) => Ok(AnyStore::Registry(self.registry()?)),
        }
    }
}

impl AnyStore<'_> {
    /// Like [`ImageStore::put`], with what [`Stores::tags_ahead`] said of the tags.
    pub async fn put_after<S: LayerSource>(
        &self,
        image: &NewImage,
        tags: &[&ImageName],
        base: BaseSource<'_, S>,
        before: Option<TagStates>,
    ) -> Result<Put, StoreError> {
        match (self, before) {
            (AnyStore::Registry(store), Some(before)) => store.put_after(image, tags, base, before).await,
            _ => self.put(image, tags, base).await,
        }
    }
}

/// Calls the same method of whichever store it is.
macro_rules! each {
    ($self:expr, $store:ident => $call:expr) => {
        match $self {
            AnyStore::Archive($store) => $call,
            AnyStore::Layout($store) => $call,
            AnyStore::Scratch($store) => $call,
            AnyStore::Engine($store) => $call,
            AnyStore::Registry($store) => $call,
        }
    };
}

impl ImageStore for AnyStore<'_> {
    async fn read(&self, name: &ImageName, platforms: &Platforms) -> Result<BaseImage, StoreError> {
        each!(self, store => store.read(name, platforms).await)
    }

    async fn look_up(&self, name: &ImageName, base: &Base, paths: &PathQuery) -> Result<Tree, StoreError> {
        each!(self, store => store.look_up(name, base, paths).await)
    }

    async fn tag_state(&self, name: &ImageName) -> Result<Option<Digest>, StoreError> {
        each!(self, store => store.tag_state(name).await)
    }

    async fn put<S: LayerSource>(
        &self,
        image: &NewImage,
        tags: &[&ImageName],
        base: BaseSource<'_, S>,
    ) -> Result<Put, StoreError> {
        each!(self, store => store.put(image, tags, base).await)
    }
}

impl LayerSource for AnyStore<'_> {
    async fn layer(&self, name: &ImageName, digest: &Digest) -> Result<Blob, StoreError> {
        match self {
            AnyStore::Archive(store) => store.layer(name, digest).await,
            AnyStore::Layout(store) => store.layer(name, digest).await,
            AnyStore::Registry(store) => store.layer(name, digest).await,
            // scratch has no layer
            AnyStore::Engine(_) | AnyStore::Scratch(_) => Err(super::error::layers_not_given(name, digest)),
        }
    }
}
