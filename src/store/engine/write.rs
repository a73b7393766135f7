//! Owns writing an image to an engine: it loads the image, checks the result, and restores the tags after a failure.

use std::time::Duration;

use super::error::{EngineError, is_disk_full};
use super::inspect::{ManifestSummary, TagState};
use super::load_all::{self, LoadError};
use super::{EngineKind, EngineStore, demands, load, look_up};
use crate::diagnostic::Diagnostic;
use crate::image::Image;
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};
use crate::store::oci::archive::{ArchiveFormat, ArchiveName, NewArchive};
use crate::store::oci::parts::ImageParts;
use crate::store::{BaseSource, Displaced, LayerSource, Put, StoreError, TagHolder};

const DOING: &str = "cannot write the image";

/// How long to wait before each retry of a load that Podman or containerd refused.
const WAITS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(150)];

/// One tag to write.
struct TagToWrite {
    /// The name in the loaded archive: `HOST/PATH:TAG`.
    full: String,
    /// `NAME:TAG`, like the engine shows it.
    familiar: String,
    /// What the tag pointed to before the write.
    before: Option<TagState>,
}

impl TagToWrite {
    /// Chooses the names of a tag. Podman stores a name without a host under `localhost/` or `docker.io/`: an existing tag keeps its name.
    fn new(tag: &Repository, before: Option<TagState>, kind: EngineKind) -> Result<Self, StoreError> {
        let (Some(mut full), Some(mut familiar)) = (tag.tagged(), tag.familiar()) else {
            let what = format!("{} is not a tag", tag.as_written());
            return Err(Diagnostic::error("not-a-tag", what).hint("write NAME:TAG").into());
        };
        if kind == EngineKind::Podman {
            let local = format!("localhost/{familiar}");
            if before.as_ref().is_some_and(|before| before.tags.contains(&local)) {
                full = local;
            }
            familiar.clone_from(&full);
        }
        Ok(TagToWrite { full, familiar, before })
    }

    /// Returns the tag's name in the archive to load.
    fn name(&self) -> ArchiveName {
        let tag = self.full.rsplit_once(':').map(|(_, tag)| tag.to_owned());
        ArchiveName { tag, full: Some(self.full.clone()) }
    }

    fn is_called(&self, name: &str) -> bool {
        [self.full.as_str(), &self.familiar].contains(&name)
    }

    fn is_in(&self, tags: &[String]) -> bool {
        tags.iter().any(|tag| self.is_called(tag))
    }
}

/// The write of one image.
struct ImageWrite<'a> {
    store: &'a EngineStore,
    image: &'a Image,
    kind: EngineKind,
    id: Digest,
    targets: Vec<TagToWrite>,
}

/// Writes the image, unless every tag points to it already.
pub(super) async fn put<S: LayerSource>(
    store: &EngineStore,
    image: &Image,
    tags: &[&Repository],
    base: BaseSource<'_, S>,
) -> Result<Put, StoreError> {
    let mut before = Vec::new();
    for tag in tags {
        before.push(store.look_up_tag(tag).await?);
    }
    let kind = store.kind().await.map_err(|error| store.diagnose(&error, DOING))?;
    let id = kind.identity(image);
    if before.iter().all(|state| state.as_ref().is_some_and(|state| state.is_complete && state.id == id)) {
        return Ok(Put::unchanged(id));
    }
    demands::check_layers(store, kind, image)?;
    let targets = tags.iter().zip(before).map(|(tag, before)| TagToWrite::new(tag, before, kind));
    let targets = targets.collect::<Result<_, StoreError>>()?;
    let write = ImageWrite { store, image, kind, id: id.clone(), targets };
    // every tag must end up at the old image or at the new one
    let _uninterrupted = store.begin_uninterrupted().await;
    match write.write(base).await {
        Ok(checked) => Ok(Put {
            changed: true,
            displaced: write.displaced(&checked).await,
            warnings: moved_tag_warnings(&checked),
            ..Put::unchanged(id)
        }),
        Err(error) => {
            write.restore().await;
            let leftovers = (kind == EngineKind::Podman && error.breaks_off()).then(|| PODMAN_LEFTOVERS.to_owned());
            let workaround = match base.name {
                _ if !error.refuses_layers() => None,
                ImageName::Scratch => None,
                ImageName::Engine(_) => Some(workaround(base.name)),
                _ => Some(REFUSED_BASE.to_owned()),
            };
            let uneven = error.refuses_layers().then(|| demands::uneven_history(image)).flatten();
            let mut error = error.into_diagnosis(store);
            match uneven {
                Some(uneven) => error.0.hints = vec![uneven],
                None => error.0.hints.extend(workaround),
            }
            error.0.hints.extend(leftovers);
            Err(error)
        }
    }
}

/// The hint for an engine that refuses even all layers of a base that is elsewhere.
const REFUSED_BASE: &str = "the engine was sent the base's layers too: if it does not load the base either, build the base again, \
                            for example with `docker build`";

/// The hint for a load of Podman without an end: Podman removes its temporary files whatever the client does, but not those of a Podman that
/// was stopped before.
const PODMAN_LEFTOVERS: &str = "if Podman was stopped meanwhile, remove what it left in its TMPDIR (/var/tmp) as `api_load.tar*` and \
                                `storage*`: it may hold the secrets";

/// Returns the hint that works with every engine that can load complete images.
fn workaround(base: &ImageName) -> String {
    format!(
        "if the engine does not accept new layers alone, send it all layers: run `docker save -o base.tar {base}`, then bake \
         with --base docker-archive:base.tar"
    )
}

/// Why a write failed.
enum WriteError {
    /// The layers of a base in another store cannot be read.
    Base(StoreError),
    /// A request failed.
    Engine(EngineError),
    /// The engine reported success, but its image differs.
    Mismatch { what: &'static str, remarks: Vec<String> },
}

impl WriteError {
    fn mismatch(what: &'static str) -> Self {
        WriteError::Mismatch { what, remarks: Vec::new() }
    }

    /// Returns whether the engine broke off or did not answer.
    fn breaks_off(&self) -> bool {
        matches!(self, WriteError::Engine(EngineError::Io(_) | EngineError::NoAnswer))
    }

    /// Removes the engine's messages.
    fn without_message(self) -> Self {
        match self {
            WriteError::Engine(error) => WriteError::Engine(error.without_message()),
            WriteError::Mismatch { what, .. } => WriteError::mismatch(what),
            WriteError::Base(error) => WriteError::Base(error),
        }
    }

    /// Returns whether the engine refused the layers, so that sending all layers may work.
    fn refuses_layers(&self) -> bool {
        match self {
            WriteError::Engine(EngineError::Status { message, .. }) => !is_disk_full(message),
            WriteError::Engine(_) | WriteError::Base(_) => false,
            WriteError::Mismatch { .. } => true,
        }
    }

    fn into_diagnosis(self, store: &EngineStore) -> StoreError {
        match self {
            WriteError::Engine(error) => store.diagnose(&error, DOING),
            WriteError::Base(error) => error,
            WriteError::Mismatch { what, remarks } => {
                let mut diagnostic = Diagnostic::error("engine-mismatch", format!("{DOING}: {what}"));
                diagnostic.causes = remarks;
                diagnostic.hint("the tags are unchanged; pull or build the base again").into()
            }
        }
    }
}

impl From<EngineError> for WriteError {
    fn from(error: EngineError) -> Self {
        WriteError::Engine(error)
    }
}

impl From<LoadError> for WriteError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Engine(error) => WriteError::Engine(error),
            LoadError::Base(error) => WriteError::Base(error),
        }
    }
}

/// The state of the engine after a load.
struct LoadedState {
    /// The tags that other runs have moved, and the IDs that they point to now.
    moved: Vec<(String, Digest)>,
    /// Whether the image has no tag.
    is_untagged: bool,
}

impl ImageWrite<'_> {
    /// Loads the new layers. If the engine refuses them and the base is in another store, loads all layers.
    async fn write<S: LayerSource>(&self, base: BaseSource<'_, S>) -> Result<LoadedState, WriteError> {
        let loaded = self.load::<S>(None).await;
        let is_elsewhere = !matches!(base.name, ImageName::Engine(_) | ImageName::Scratch);
        match loaded {
            Err(error) if is_elsewhere && error.refuses_layers() => {
                self.restore().await;
                self.load(Some(base)).await
            }
            loaded => loaded,
        }
    }

    /// Loads the new layers, and those of `base` if given, and checks the result.
    async fn load<S: LayerSource>(&self, base: Option<BaseSource<'_, S>>) -> Result<LoadedState, WriteError> {
        // Podman reads one image from an archive, and treats a second name like a second image
        let at_once = if self.kind == EngineKind::Podman { self.targets.len().min(1) } else { self.targets.len() };
        let (loaded, later) = self.targets.split_at(at_once);
        let names: Vec<ArchiveName> = loaded.iter().map(TagToWrite::name).collect();
        let parts = ImageParts::from_image(self.image).map_err(WriteError::Base)?;
        let archive = NewArchive { format: ArchiveFormat::Docker, parts: &parts, names: &names };
        let taken = match base {
            Some(base) => load_all::load(&self.store.wire, &archive, base).await.map_err(WriteError::from),
            None => self.load_new(&archive).await,
        };
        let remarks = match self.image.config_has_values {
            false => taken?,
            true => taken.map(|_| Vec::new()).map_err(WriteError::without_message)?,
        };
        for target in later {
            tag(self.store, self.id.as_str(), &target.full).await?;
        }
        self.check().await.map_err(|error| match error {
            WriteError::Mismatch { what, .. } => WriteError::Mismatch { what, remarks },
            other => other,
        })
    }

    /// Loads only the new layers.
    async fn load_new(&self, archive: &NewArchive<'_>) -> Result<Vec<String>, WriteError> {
        let archive = archive.without_base().await.map_err(WriteError::Base)?;
        let mut waits = WAITS.into_iter();
        loop {
            let error = match load::load(&self.store.wire, archive.clone()).await {
                Err(error) if self.may_be_a_conflict(&error) => error,
                answer => return Ok(answer?),
            };
            let Some(wait) = waits.next() else { return Err(error.into()) };
            tokio::time::sleep(wait).await;
        }
    }

    /// Tells whether a load may have been refused because another client changes the same storage at the same time. Podman then answers
    /// 500; containerd says of what another load has just written that it exists, with several codes.
    fn may_be_a_conflict(&self, error: &EngineError) -> bool {
        match (self.kind, error) {
            (EngineKind::Podman, EngineError::Status { code, .. }) => *code == 500,
            (EngineKind::Containerd, EngineError::Status { message, .. }) => !is_disk_full(message),
            _ => false,
        }
    }

    /// Compares the image in the engine with the image that was sent.
    async fn check(&self) -> Result<LoadedState, WriteError> {
        let seen = self.store.inspect(self.id.as_str()).await?;
        if let Some(seen) = &seen {
            if seen.layers != self.image.diff_ids {
                return Err(WriteError::mismatch("the engine has different layers"));
            }
            if self.kind == EngineKind::Containerd && !seen.is_complete() {
                return Err(WriteError::mismatch("the engine is missing layers of the base"));
            }
        }
        let missing = self.targets.iter().filter(|target| !seen.as_ref().is_some_and(|seen| target.is_in(&seen.tags)));
        let (mut moved, mut is_named_again) = (Vec::new(), false);
        for target in missing {
            let now = self.store.inspect(&target.full).await?.map(|now| now.id);
            let before = target.before.as_ref().map(|before| &before.id);
            match now {
                // the tag came back between the two requests
                Some(now) if now == self.id => is_named_again = true,
                // another run has baked the same tag since
                Some(now) if Some(&now) != before => moved.push((target.familiar.clone(), now)),
                // Podman may lose a name that several clients write at once, and another run may have restored the old image
                _ if seen.is_some() => {
                    tag(self.store, self.id.as_str(), &target.full).await?;
                    is_named_again = true;
                }
                _ => return Err(WriteError::mismatch("the engine reported success, but does not have the image")),
            }
        }
        // other runs have moved all its tags and removed it
        let Some(seen) = seen else { return Ok(LoadedState { moved, is_untagged: false }) };
        let is_unpacked = seen.own_manifest().is_some_and(ManifestSummary::is_unpacked);
        if self.kind == EngineKind::Containerd && !is_unpacked && !self.can_start().await? {
            return Err(WriteError::mismatch("the engine could not unpack it"));
        }
        Ok(LoadedState { moved, is_untagged: seen.tags.is_empty() && !is_named_again })
    }

    /// Returns whether a container can be created from the image, which unpacks it. A load unpacks only the engine's own platform, and
    /// before API 1.48 no engine reports whether it did.
    async fn can_start(&self) -> Result<bool, EngineError> {
        match look_up::create(self.store, self.id.as_str(), Some(&self.image.platform)).await {
            Ok(container) => container.guard.remove().await.map(|()| true),
            Err(EngineError::Status { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Restores every tag and removes the new image. Ignores errors.
    async fn restore(&self) {
        for target in &self.targets {
            let Ok(Some(now)) = self.store.inspect(&target.full).await else { continue };
            match &target.before {
                // another run has moved it
                _ if now.id != self.id => {}
                Some(before) if before.id == now.id => {}
                Some(before) => drop(tag(self.store, before.id.as_str(), &target.full).await),
                None => drop(remove(self.store, &target.full).await),
            }
        }
        // only if it has no other tag
        if let Ok(Some(seen)) = self.store.inspect(self.id.as_str()).await
            && seen.tags.is_empty()
            && self.targets.iter().all(|target| target.before.as_ref().is_none_or(|before| before.id != self.id))
        {
            drop(remove(self.store, self.id.as_str()).await);
        }
    }

    /// Tells whether an image is there and has no tag. If that cannot be asked, it is taken to have one.
    async fn is_untagged_now(&self, id: &Digest) -> bool {
        matches!(self.store.inspect(id.as_str()).await, Ok(Some(seen)) if seen.tags.is_empty())
    }

    /// Returns the baked images that lost their last tag: to this write, or this image itself to another run.
    async fn displaced(&self, checked: &LoadedState) -> Vec<Displaced> {
        let mut displaced: Vec<Displaced> = Vec::new();
        let is_ours = |name: &String| self.targets.iter().any(|target| target.is_called(name));
        for before in self.targets.iter().filter_map(|target| target.before.as_ref()) {
            let is_known = displaced.iter().any(|displaced| displaced.id == before.id);
            if before.id == self.id || !before.is_baked || is_known {
                continue;
            }
            // other bakes of this run may have moved its other tags meanwhile
            if before.tags.iter().all(is_ours) || self.is_untagged_now(&before.id).await {
                displaced.push(Displaced {
                    id: before.id.clone(),
                    held_by: TagHolder::Engine { base: before.base.clone(), holds_secrets: before.holds_secrets },
                });
            }
        }
        if checked.is_untagged {
            displaced.push(Displaced {
                id: self.id.clone(),
                held_by: TagHolder::Engine { base: None, holds_secrets: true },
            });
        }
        displaced
    }
}

/// Returns a warning for each tag that another run has moved.
fn moved_tag_warnings(checked: &LoadedState) -> Vec<Diagnostic> {
    let warning = |(tag, now): &(String, Digest)| {
        let what = format!("another run moved {tag}: it now points to {now}, not to this image");
        let hint = "to deploy this image, run the same command again; do not bake a tag in several runs at once";
        Diagnostic::warning("tag-moved", what).hint(hint)
    };
    checked.moved.iter().map(warning).collect()
}

async fn tag(store: &EngineStore, id: &str, full: &str) -> Result<(), EngineError> {
    let (repo, tag) = full.rsplit_once(':').unwrap_or((full, "latest"));
    let options = bollard::query_parameters::TagImageOptionsBuilder::new().repo(repo).tag(tag).build();
    super::wire::within(store.wire.limits.answer, store.docker.tag_image(id, Some(options))).await
}

pub(super) async fn remove(store: &EngineStore, reference: &str) -> Result<(), EngineError> {
    let none = None::<bollard::query_parameters::RemoveImageOptions>;
    let work = store.docker.remove_image(reference, none, None);
    super::wire::within(store.wire.limits.answer, work).await.map(drop)
}
