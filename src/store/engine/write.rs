//! Owns the writing of an image: load, check, and on any failure the tags as they were.

use std::time::Duration;

use super::error::{EngineError, is_disk_full};
use super::inspect::{Summary, TagState};
use super::load_all::{self, LoadError};
use super::{EngineStore, Kind, demands, load, look_up};
use crate::diagnostic::Diagnostic;
use crate::image::Image;
use crate::image::digest::Digest;
use crate::image::name::{ImageName, Repository};
use crate::store::oci::archive::{ArchiveFormat, ArchiveName, NewArchive};
use crate::store::oci::parts::ImageParts;
use crate::store::{BaseSource, Displaced, LayerSource, Put, StoreError};

const DOING: &str = "cannot write the image";

/// How long Podman is left alone before it is asked again.
const PODMAN_WAITS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(150)];

/// One tag to write.
struct Target {
    /// `HOST/PATH:TAG`, under which it is loaded.
    full: String,
    /// `NAME:TAG` as the engine shows it.
    familiar: String,
    /// What it pointed to before.
    before: Option<TagState>,
}

impl Target {
    /// Chooses the names of a tag. Podman keeps a name without a host under `localhost/` or under `docker.io/`: an existing one stays.
    fn new(tag: &Repository, before: Option<TagState>, kind: Kind) -> Result<Self, StoreError> {
        let (Some(mut full), Some(mut familiar)) = (tag.tagged(), tag.familiar()) else {
            let what = format!("{} is not a tag to write", tag.as_written());
            return Err(Diagnostic::error("not-a-tag", what).hint("write NAME:TAG").into());
        };
        if kind == Kind::Podman {
            let local = format!("localhost/{familiar}");
            if before.as_ref().is_some_and(|before| before.tags.contains(&local)) {
                full = local;
            }
            familiar.clone_from(&full);
        }
        Ok(Target { full, familiar, before })
    }

    /// Returns the names in the archive that the engine loads.
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

/// An image on its way to the engine.
struct Write<'a> {
    store: &'a EngineStore,
    image: &'a Image,
    kind: Kind,
    id: Digest,
    targets: Vec<Target>,
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
    if before.iter().all(|state| state.as_ref().is_some_and(|state| state.is_whole && state.id == id)) {
        return Ok(Put::unchanged(id));
    }
    demands::check_layers(store, kind, image)?;
    let targets = tags.iter().zip(before).map(|(tag, before)| Target::new(tag, before, kind));
    let targets = targets.collect::<Result<_, StoreError>>()?;
    let write = Write { store, image, kind, id: id.clone(), targets };
    // every tag is the old image or the new one
    let _whole = store.whole().await;
    match write.write(base).await {
        Ok(checked) => Ok(Put {
            changed: true,
            displaced: write.displaced(&checked),
            warnings: overtaken(&checked),
            ..Put::unchanged(id)
        }),
        Err(error) => {
            write.restore().await;
            let is_here = matches!(base.name, ImageName::Engine(_));
            let way_around = (is_here && error.is_of_the_layers()).then(|| way_around(base.name));
            let uneven = error.is_of_the_layers().then(|| demands::uneven_history(image)).flatten();
            let mut error = error.into_diagnosis(store);
            match uneven {
                Some(uneven) => error.0.hints = vec![uneven],
                None => error.0.hints.extend(way_around),
            }
            Err(error)
        }
    }
}

/// Returns the way that needs nothing of an engine but that it loads whole images.
fn way_around(base: &ImageName) -> String {
    format!(
        "if the engine does not take new layers by themselves, have all of them sent: `docker save -o base.tar {base}`, then bake \
         with --base docker-archive:base.tar"
    )
}

/// Why the engine does not have what was composed.
enum WriteError {
    /// The layers of a base that is elsewhere could not be read.
    Base(StoreError),
    /// The request itself failed.
    Engine(EngineError),
    /// The engine took it without an error, and has something else.
    Mismatch { what: &'static str, remarks: Vec<String> },
}

impl WriteError {
    fn mismatch(what: &'static str) -> Self {
        WriteError::Mismatch { what, remarks: Vec::new() }
    }

    /// Leaves the engine's own words out.
    fn wordless(self) -> Self {
        match self {
            WriteError::Engine(error) => WriteError::Engine(error.wordless()),
            WriteError::Mismatch { what, .. } => WriteError::mismatch(what),
            WriteError::Base(error) => WriteError::Base(error),
        }
    }

    /// Tells whether the engine answered and refused the layers, so that another way may work.
    fn is_of_the_layers(&self) -> bool {
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
                diagnostic.hint("the tags point to what they pointed to before; pull or build the base again").into()
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

/// What the engine has after a load.
struct Checked {
    /// The tags that other runs have moved since, with what they point to now.
    moved: Vec<(String, Digest)>,
    /// Whether the engine has the image without a tag.
    is_untagged: bool,
}

impl Write<'_> {
    /// Loads the new layers; where the engine refuses them and the base is elsewhere, all layers.
    async fn write<S: LayerSource>(&self, base: BaseSource<'_, S>) -> Result<Checked, WriteError> {
        let loaded = self.load::<S>(None).await;
        let is_elsewhere = !matches!(base.name, ImageName::Engine(_) | ImageName::Scratch);
        match loaded {
            Err(error) if is_elsewhere && error.is_of_the_layers() => {
                self.restore().await;
                self.load(Some(base)).await
            }
            loaded => loaded,
        }
    }

    /// Loads the new layers, with a `base` its layers too, and checks what the engine then has.
    async fn load<S: LayerSource>(&self, base: Option<BaseSource<'_, S>>) -> Result<Checked, WriteError> {
        // Podman reads one image from an archive and takes a second name as a second image
        let at_once = if self.kind == Kind::Podman { self.targets.len().min(1) } else { self.targets.len() };
        let (loaded, later) = self.targets.split_at(at_once);
        let names: Vec<ArchiveName> = loaded.iter().map(Target::name).collect();
        let parts = ImageParts::from_image(self.image).map_err(WriteError::Base)?;
        let archive = NewArchive { format: ArchiveFormat::Docker, parts: &parts, names: &names };
        let taken = match base {
            Some(base) => load_all::load(&self.store.wire, &archive, base).await.map_err(WriteError::from),
            None => self.load_new(&archive).await,
        };
        let remarks = match self.image.config_has_values {
            false => taken?,
            true => taken.map(|_| Vec::new()).map_err(WriteError::wordless)?,
        };
        for target in later {
            tag(self.store, self.id.as_str(), &target.full).await?;
        }
        self.check().await.map_err(|error| match error {
            WriteError::Mismatch { what, .. } => WriteError::Mismatch { what, remarks },
            other => other,
        })
    }

    /// Loads the new layers by themselves.
    async fn load_new(&self, archive: &NewArchive<'_>) -> Result<Vec<String>, WriteError> {
        let archive = archive.without_base().await.map_err(WriteError::Base)?;
        let mut waits = PODMAN_WAITS.into_iter();
        loop {
            match (load::load(&self.store.wire, archive.clone()).await, waits.next()) {
                // it does so when another client changes its storage in that moment
                (Err(EngineError::Status { code: 500, .. }), Some(wait)) if self.kind == Kind::Podman => {
                    tokio::time::sleep(wait).await;
                }
                (answer, _) => return Ok(answer?),
            }
        }
    }

    /// Compares what the engine has with what was composed.
    async fn check(&self) -> Result<Checked, WriteError> {
        let seen = self.store.inspect(self.id.as_str()).await?;
        if let Some(seen) = &seen {
            if seen.layers != self.image.diff_ids {
                return Err(WriteError::mismatch("the engine lists other layers than were composed"));
            }
            if self.kind == Kind::Containerd && !seen.is_whole() {
                return Err(WriteError::mismatch("the engine lacks layers of the base"));
            }
        }
        let missing = self.targets.iter().filter(|target| !seen.as_ref().is_some_and(|seen| target.is_in(&seen.tags)));
        let (mut moved, mut is_named_again) = (Vec::new(), false);
        for target in missing {
            let now = self.store.inspect(&target.full).await?.map(|now| now.id);
            let before = target.before.as_ref().map(|before| &before.id);
            match now {
                // it came back between the two looks
                Some(now) if now == self.id => is_named_again = true,
                // another run's bake of the same tag came after this one
                Some(now) if Some(&now) != before => moved.push((target.familiar.clone(), now)),
                // Podman may lose a name that several clients write at once, and another run may have put the old image back
                _ if seen.is_some() => {
                    tag(self.store, self.id.as_str(), &target.full).await?;
                    is_named_again = true;
                }
                _ => return Err(WriteError::mismatch("the engine took it without an error and does not have it")),
            }
        }
        // other runs have moved all of its tags and removed it since
        let Some(seen) = seen else { return Ok(Checked { moved, is_untagged: false }) };
        let is_unpacked = seen.own_manifest().is_some_and(Summary::is_unpacked);
        if self.kind == Kind::Containerd && !is_unpacked && !self.can_start().await? {
            return Err(WriteError::mismatch("the engine could not unpack it"));
        }
        Ok(Checked { moved, is_untagged: seen.tags.is_empty() && !is_named_again })
    }

    /// Tells whether a container can be made of the image, which unpacks it: a load does not do so for another platform than the
    /// engine's, and before API 1.48 no engine tells whether it did.
    async fn can_start(&self) -> Result<bool, EngineError> {
        match look_up::create(self.store, self.id.as_str(), Some(&self.image.platform)).await {
            Ok(container) => container.guard.remove().await.map(|()| true),
            Err(EngineError::Status { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes every tag point to what it pointed to, and takes the new image away, as far as the engine answers.
    async fn restore(&self) {
        for target in &self.targets {
            let Ok(Some(now)) = self.store.inspect(&target.full).await else { continue };
            match &target.before {
                // another run has moved it since
                _ if now.id != self.id => {}
                Some(before) if before.id == now.id => {}
                Some(before) => drop(tag(self.store, before.id.as_str(), &target.full).await),
                None => drop(remove(self.store, &target.full).await),
            }
        }
        // only if nothing else names it
        if let Ok(Some(seen)) = self.store.inspect(self.id.as_str()).await
            && seen.tags.is_empty()
            && self.targets.iter().all(|target| target.before.as_ref().is_none_or(|before| before.id != self.id))
        {
            drop(remove(self.store, self.id.as_str()).await);
        }
    }

    /// Returns the baked images that lost their last tag to this write, or this one if others were faster.
    fn displaced(&self, checked: &Checked) -> Vec<Displaced> {
        let mut displaced: Vec<Displaced> = Vec::new();
        let is_ours = |name: &String| self.targets.iter().any(|target| target.is_called(name));
        for before in self.targets.iter().filter_map(|target| target.before.as_ref()) {
            let is_known = displaced.iter().any(|displaced| displaced.id == before.id);
            if before.id != self.id && before.is_baked && before.tags.iter().all(is_ours) && !is_known {
                displaced.push(Displaced { id: before.id.clone(), base: before.base.clone() });
            }
        }
        if checked.is_untagged {
            displaced.push(Displaced { id: self.id.clone(), base: None });
        }
        displaced
    }
}

/// Returns a warning for each tag that another run has moved.
fn overtaken(checked: &Checked) -> Vec<Diagnostic> {
    let warning = |(tag, now): &(String, Digest)| {
        let what = format!("another run has moved {tag} since: it names {now}, not this image");
        let hint =
            "if this image is the one to deploy, run the same command again; bake a tag from one place at a time";
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
