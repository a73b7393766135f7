//! Owns the writing of an image: load, check, and on any failure the tags as they were.

use std::time::Duration;

use super::entries::{self, Command};
use super::failure::{Trouble, is_disk_full};
use super::inspect::{Inspect, Summary};
use super::prune::Replaced;
use super::{EngineStore, Kind, KnownBase, Standing, commit, load, lock, whole};
use crate::diagnostic::Diagnostic;
use crate::image::Image;
use crate::image::digest::Digest;
use crate::image::load_archive::{self, LoadName};
use crate::image::name::Repository;
use crate::image::provenance::Provenance;
use crate::store::{ImageStore, Source, StoreError, Written};

/// One tag to write.
struct Tag {
    name: LoadName,
    /// What it stood for before.
    before: Option<Standing>,
}

const DOING: &str = "cannot write the image";
const UNTAGGED: &str = "the engine did not give it every tag";
/// The way that needs nothing of an engine but its own save and load.
const AROUND: &str = "or go around the engine: `docker save -o base.tar BASE`, then bake with --base docker-archive:base.tar and \
                      -t docker-archive:baked.tar:NAME, and `docker load -i baked.tar`";

/// How long Podman is left alone before it is asked again.
const PODMAN_WAITS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(150)];

/// Writes the image. `base`: where its base is, if not in this engine, which may then lack layers of it.
pub(super) async fn write<S: ImageStore>(
    store: &EngineStore,
    image: &Image,
    tags: &[&Repository],
    base: Option<Source<'_, S>>,
) -> Result<Written, StoreError> {
    let failed = |trouble: Trouble| store.diagnose(&trouble, DOING);
    let kind = store.kind().await.map_err(failed)?;
    let mut targets = Vec::new();
    for tag in tags {
        let before = lock(&store.standing).get(tag.as_written()).cloned();
        let before = match before {
            Some(before) => before,
            None => store.look_up(tag.as_written()).await.map_err(failed)?,
        };
        let name = load_name(tag, before.as_ref(), kind)?;
        targets.push(Tag { name, before });
    }
    // whatever happens now, what is remembered of the tags no longer holds
    lock(&store.standing).clear();
    let id = store.identity(image);
    let mut loaded = load::<S>(store, image, kind, &targets, None).await;
    if base.is_some() && loaded.as_ref().is_err_and(Refused::is_of_the_layers) {
        restore(store, &id, &targets).await;
        loaded = load(store, image, kind, &targets, base).await;
    }
    let Err(refused) = loaded else {
        return Ok(Written { identity: None, warnings: replaced(store, &targets, &id) });
    };
    restore(store, &id, &targets).await;
    // Podman's commit takes the container's config and not the one it is given
    let may_commit = refused.is_of_the_layers() && kind != Kind::Podman;
    let Some(base) = may_commit.then(|| base_of(store, image)).flatten() else {
        let is_final = refused.is_of_the_layers();
        let mut error = refused.into_error(store);
        error.0.hints.extend(is_final.then(|| AROUND.to_owned()));
        return Err(error);
    };
    let announced = refused.announce();
    match committed(store, image, base, &targets).await {
        Ok(id) => {
            let mut warnings = vec![announced];
            warnings.extend(replaced(store, &targets, &id));
            Ok(Written { identity: Some(id), warnings })
        }
        Err(second) => {
            let mut error = refused.into_error(store);
            let second = second.into_error(store).0;
            error.0.causes.push(format!("committing a container instead failed too: {}", second.what));
            error.0.causes.extend(second.causes);
            error.0.hints.push(AROUND.to_owned());
            Err(error)
        }
    }
}

/// Returns the base of the image, if this store read it.
fn base_of(store: &EngineStore, image: &Image) -> Option<KnownBase> {
    let below = image.diff_ids.len().checked_sub(image.layers.len())?;
    lock(&store.bases).get(&image.diff_ids[..below]).cloned()
}

/// Writes the image by a commit; on a failure the tags are as they were.
async fn committed(store: &EngineStore, image: &Image, base: KnownBase, tags: &[Tag]) -> Result<Digest, Refused> {
    let Some(first) = tags.first() else { return Err(Refused::mismatch("there is no tag to write")) };
    if let Some((path, volume)) = commit::in_volume(image) {
        return Err(Refused::InVolume { path, volume });
    }
    let below = image.diff_ids.len().saturating_sub(image.layers.len());
    let made = commit::commit(store, image, base, &first.name).await;
    let checked = async {
        let id = made?;
        let seen = store.inspect(&id).await?;
        let seen = seen.ok_or(Refused::mismatch("the engine committed it without an error and does not have it"))?;
        for later in &tags[1..] {
            tag(store, seen.id.as_str(), &later.name.full).await?;
        }
        // a tag that came later is told by a later look only
        let seen = store.inspect(seen.id.as_str()).await?.unwrap_or(seen);
        if !commit::same(&image.config, &seen.whole_config()) {
            return Err(Refused::mismatch("the engine changed its config"));
        }
        // whatever the number of new layers, a commit makes one of them
        if seen.layers.len() != below + 1 || !seen.layers.starts_with(&image.diff_ids[..below]) {
            return Err(Refused::mismatch("the engine lists other layers than the base's and one more"));
        }
        if !has_every_tag(&seen, tags.iter().map(|tag| &tag.name)) {
            return Err(Refused::mismatch(UNTAGGED));
        }
        Ok(seen.id)
    };
    let checked = checked.await;
    if checked.is_err()
        && let Ok(Some(seen)) = store.inspect(&first.name.full).await
    {
        restore(store, &seen.id, tags).await;
    }
    checked
}

/// Why a load did not give what was composed.
enum Refused {
    /// The layers of a base that is elsewhere could not be read.
    Base(StoreError),
    /// The request itself failed.
    Trouble(Trouble),
    /// A container keeps the file apart from what a commit takes.
    InVolume { path: String, volume: String },
    /// The engine took it and has something else; what it remarked.
    Mismatch { what: &'static str, remarks: Vec<String> },
}

impl Refused {
    fn mismatch(what: &'static str) -> Self {
        Refused::Mismatch { what, remarks: Vec::new() }
    }

    /// Leaves the engine's own words out.
    fn wordless(self) -> Self {
        match self {
            Refused::Trouble(trouble) => Refused::Trouble(trouble.wordless()),
            Refused::Mismatch { what, .. } => Refused::mismatch(what),
            other @ (Refused::Base(_) | Refused::InVolume { .. }) => other,
        }
    }

    /// Tells whether the engine answered and would not have the layers, so that another way may work.
    fn is_of_the_layers(&self) -> bool {
        match self {
            Refused::Trouble(Trouble::Status { message, .. }) => !is_disk_full(message),
            Refused::Trouble(_) | Refused::Base(_) | Refused::InVolume { .. } => false,
            Refused::Mismatch { .. } => true,
        }
    }

    fn announce(&self) -> Diagnostic {
        let what = "the engine did not take the new layers by themselves: the image was committed from a container, which is slow";
        let warning = Diagnostic::warning("engine-commit", what);
        let warning = match self {
            Refused::Trouble(Trouble::Status { message, .. }) => warning.cause(message.clone()),
            Refused::Trouble(_) | Refused::Base(_) | Refused::InVolume { .. } => warning,
            Refused::Mismatch { what, .. } => warning.cause(*what),
        };
        warning.hint("its ID differs in each run, so no later bake finds it unchanged")
    }

    fn into_error(self, store: &EngineStore) -> StoreError {
        match self {
            Refused::Trouble(trouble) => store.diagnose(&trouble, DOING),
            Refused::Base(error) => error,
            Refused::InVolume { path, volume } => {
                let what = format!("`{path}` lies in the base's volume {volume}, which a commit leaves out");
                Diagnostic::error("engine-commit-volume", what).hint("choose a path outside of the volume").into()
            }
            Refused::Mismatch { what, remarks } => {
                let mut diagnostic = Diagnostic::error("engine-mismatch", format!("{DOING}: {what}"));
                diagnostic.causes = remarks;
                diagnostic.hint("the tags stand for what they stood for before; pull or build the base again").into()
            }
        }
    }
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        Refused::Trouble(trouble)
    }
}

impl From<whole::Failure> for Refused {
    fn from(failure: whole::Failure) -> Self {
        match failure {
            whole::Failure::Engine(trouble) => Refused::Trouble(trouble),
            whole::Failure::Base(error) => Refused::Base(error),
        }
    }
}

/// Loads the new layers, with a `base` its layers too, and checks what the engine then has.
async fn load<S: ImageStore>(
    store: &EngineStore,
    image: &Image,
    kind: Kind,
    tags: &[Tag],
    base: Option<Source<'_, S>>,
) -> Result<(), Refused> {
    let names: Vec<LoadName> = tags.iter().map(|tag| tag.name.clone()).collect();
    // Podman reads one image from an archive and takes a second name as a second image
    let (loaded, later) = if kind == Kind::Podman { names.split_at(names.len().min(1)) } else { (&names[..], &[][..]) };
    let taken = match base {
        Some(base) => whole::load(&store.wire, image, loaded, base).await.map_err(Refused::from),
        None => load_new(store, image, kind, loaded).await.map_err(Refused::from),
    };
    let remarks = match (taken, has_values_in_config(image)) {
        (taken, false) => taken?,
        (taken, true) => taken.map(|_| Vec::new()).map_err(Refused::wordless)?,
    };
    let id = store.identity(image);
    for name in later {
        tag(store, id.as_str(), &name.full).await?;
    }
    let Some(seen) = store.inspect(id.as_str()).await? else {
        return Err(Refused::Mismatch { what: "the engine took it without an error and does not have it", remarks });
    };
    if let Err(what) = check(&seen, image, kind, &names) {
        return Err(Refused::Mismatch { what, remarks });
    }
    let is_unpacked = seen.own_manifest().is_some_and(Summary::is_unpacked);
    if kind == Kind::Containerd && !is_unpacked && !can_start(store, id, image).await? {
        return Err(Refused::Mismatch { what: "the engine could not unpack it", remarks });
    }
    Ok(())
}

/// Tells whether the config holds values, which an engine may repeat when it does not like it.
fn has_values_in_config(image: &Image) -> bool {
    Provenance::of(image.config.expose()).is_ok_and(|provenance| provenance.inject == "config")
}

/// Loads the new layers by themselves.
async fn load_new(store: &EngineStore, image: &Image, kind: Kind, names: &[LoadName]) -> Result<Vec<String>, Trouble> {
    let archive = load_archive::write(image, names).map_err(Trouble::Io)?;
    let mut waits = PODMAN_WAITS.into_iter();
    loop {
        match (load::load(&store.wire, archive.clone()).await, waits.next()) {
            // it does so when another client changes its storage in that moment
            (Err(Trouble::Status { code: 500, .. }), Some(wait)) if kind == Kind::Podman => {
                tokio::time::sleep(wait).await;
            }
            (answer, _) => return answer,
        }
    }
}

/// Tells whether a container can be made of the image, which unpacks it: a load does not do so for another platform than the engine's, and
/// before API 1.48 no engine tells whether it did.
async fn can_start(store: &EngineStore, id: Digest, image: &Image) -> Result<bool, Trouble> {
    let image = KnownBase { digest: id.clone(), id, platform: Some(image.platform.clone()) };
    match entries::create(store, "", Some(image), Command::harmless()).await {
        Ok(container) => container.guard.remove().await.map(|()| true),
        Err(Trouble::Status { .. }) => Ok(false),
        Err(trouble) => Err(trouble),
    }
}

/// Compares what the engine has with what was composed.
fn check(seen: &Inspect, image: &Image, kind: Kind, names: &[LoadName]) -> Result<(), &'static str> {
    if seen.layers != image.diff_ids {
        return Err("the engine lists other layers than were composed");
    }
    if kind == Kind::Containerd && !seen.is_whole() {
        return Err("the engine lacks layers of the base");
    }
    if has_every_tag(seen, names) { Ok(()) } else { Err(UNTAGGED) }
}

fn has_every_tag<'n>(seen: &Inspect, names: impl IntoIterator<Item = &'n LoadName>) -> bool {
    names.into_iter().all(|name| seen.tags.iter().any(|tag| *tag == name.full || *tag == name.familiar))
}

async fn tag(store: &EngineStore, id: &str, full: &str) -> Result<(), Trouble> {
    let (repo, tag) = full.rsplit_once(':').unwrap_or((full, "latest"));
    let options = bollard::query_parameters::TagImageOptionsBuilder::new().repo(repo).tag(tag).build();
    super::wire::within(store.wire.limits.answer, store.docker.tag_image(id, Some(options))).await
}

/// Makes every tag stand for what it stood for, and takes the new image away, as far as the engine answers.
async fn restore(store: &EngineStore, id: &Digest, tags: &[Tag]) {
    for target in tags {
        let Ok(Some(now)) = store.inspect(&target.name.full).await else { continue };
        match &target.before {
            // another process has moved it meanwhile
            _ if now.id != *id => {}
            Some(before) if before.id == now.id => {}
            Some(before) => drop(tag(store, before.id.as_str(), &target.name.full).await),
            None => drop(remove(store, &target.name.full).await),
        }
    }
    // only if nothing else names it
    if let Ok(Some(seen)) = store.inspect(id.as_str()).await
        && seen.tags.is_empty()
        && tags.iter().all(|tag| tag.before.as_ref().is_none_or(|before| before.id != *id))
    {
        drop(remove(store, id.as_str()).await);
    }
}

pub(super) async fn remove(store: &EngineStore, reference: &str) -> Result<(), Trouble> {
    let none = None::<bollard::query_parameters::RemoveImageOptions>;
    let work = store.docker.remove_image(reference, none, None);
    super::wire::within(store.wire.limits.answer, work).await.map(drop)
}

/// Returns a warning for each baked image that lost its last tag.
fn replaced(store: &EngineStore, tags: &[Tag], new: &Digest) -> Vec<Diagnostic> {
    let mut said: Vec<Replaced> = Vec::new();
    for before in tags.iter().filter_map(|tag| tag.before.as_ref()) {
        let taken = |name: &String| tags.iter().any(|tag| *name == tag.name.full || *name == tag.name.familiar);
        let is_said = || said.iter().any(|said| said.id == before.id);
        if before.id != *new && before.baked && before.tags.iter().all(taken) && !is_said() {
            let what = format!("previous baked image {} is now untagged and still holds the old secrets", before.id);
            let hint = format!("remove it with --prune-replaced, or with `docker rmi {}`", before.id);
            let warning = Diagnostic::warning("replaced-image", what).hint(hint);
            said.push(Replaced { id: before.id.clone(), warning });
        }
    }
    let warnings = said.iter().map(|said| said.warning.clone()).collect();
    lock(&store.replaced).append(&mut said);
    warnings
}

/// Chooses the names to load a tag under. Podman keeps a name without a host under `localhost/` or under `docker.io/`: an existing one stays.
fn load_name(tag: &Repository, before: Option<&Standing>, kind: Kind) -> Result<LoadName, StoreError> {
    let (Some(mut full), Some(mut familiar)) = (tag.tagged(), tag.familiar()) else {
        let what = format!("{} is not a tag to write", tag.as_written());
        return Err(Diagnostic::error("not-a-tag", what).hint("write NAME:TAG").into());
    };
    if kind == Kind::Podman {
        let local = format!("localhost/{familiar}");
        if before.is_some_and(|before| before.tags.contains(&local)) {
            full = local;
        }
        familiar.clone_from(&full);
    }
    Ok(LoadName { full, familiar })
}
