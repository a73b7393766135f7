//! Owns the pipeline of a bake: resolve, append, store. It contains no rules of its own; other modules do each step.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::{Pin, pin};
use std::sync::PoisonError;

use futures_util::future::{Either, Fuse, LocalBoxFuture, Shared, join, join_all, ready, select};
use futures_util::{FutureExt as _, StreamExt as _, stream};

use crate::diagnostic::Diagnostic;
use crate::image::access::Access;
use crate::image::append::{Additions, Launcher, Misfit, append, place_file, requirements};
use crate::image::config::volume_of;
use crate::image::digest::Digest;
use crate::image::index::BaseIndex;
use crate::image::name::ImageName;
use crate::image::platform::Platforms;
use crate::image::recipe::RecipeText;
use crate::image::reseal::is_same_but_for_the_seal;
use crate::image::tree::{PathQuery, Tree, TreeRequirements};
use crate::image::{Base, Image, ImageError, KnownBase, NewImage};
use crate::ops::contents::contents;
use crate::ops::report::{BakedImage, BakedTag, FailedImage, Outcome, Outcomes};
use crate::org::Org;
use crate::plan::recipe::recipe;
use crate::plan::{FilePlaces, ImagePlan, PlacedName, Plan};
use crate::runtime::progress::{Counted, Progress};
use crate::secrets::Provider;
use crate::secrets::resolve::{Resolution, resolve};
use crate::secrets::values::{Answers, ImageValues, image_values};
use crate::store::any::Stores;
use crate::store::{BaseSource, ImageStore, Put, StoreError, TagStates};

/// What a bake needs besides the plan.
pub struct Bake<'a, P> {
    pub plan: &'a Plan,
    pub org: &'a Org,
    /// By credential index; `None` for a credential that no read uses.
    pub providers: &'a [Option<P>],
    pub stores: &'a Stores,
    /// One for each architecture.
    pub launchers: Vec<Launcher>,
    /// Replaces the images' `created`, RFC 3339.
    pub created: Option<String>,
    /// How many images to write at once.
    pub jobs: usize,
    /// Whether the engine pushes its tags.
    pub push: bool,
    /// Whether to find out what the pushed tags pointed to in their registries, so that it can be pruned.
    pub prunes: bool,
    pub progress: Progress,
}

/// What registries say of an image's tags, by place: asked while the secrets are read, and waited for when the image is written.
type TagsAhead<'a> = Shared<LocalBoxFuture<'a, StatesByPlace>>;

/// By place; `None` for tags that are not in a registry.
type StatesByPlace = BTreeMap<String, Result<Option<TagStates>, StoreError>>;

/// The bases of a plan, by name.
pub(super) type BasesByName<'a> = BTreeMap<&'a ImageName, Result<Bases, Diagnostic>>;

/// The bases of one name: one image, or one for each platform of an index.
pub(super) struct Bases {
    index: Option<BaseIndex>,
    bases: Vec<BaseWithTree>,
}

/// A base, with what all images that are baked onto it need to know of its tree.
struct BaseWithTree {
    known: KnownBase,
    /// Why the tree is incomplete.
    unread: Option<Diagnostic>,
}

impl Bases {
    /// Takes bases of whose trees everything is known.
    pub(super) fn known(index: Option<BaseIndex>, bases: Vec<KnownBase>) -> Self {
        let bases = bases.into_iter().map(|known| BaseWithTree { known, unread: None }).collect();
        Bases { index, bases }
    }

    fn digest(&self) -> Option<Digest> {
        let one = || self.bases.first().and_then(|base| base.known.base.digest.clone());
        self.index.as_ref().map(BaseIndex::digest).or_else(one)
    }
}

impl<P: Provider + Sync> Bake<'_, P> {
    /// Bakes all images of the plan and returns how many secrets were read. One failure does not stop the others. Reads all secrets
    /// before it sends anything of an image; uploads to new tags may be started by then, empty.
    ///
    /// Inserts each outcome as soon as it is known, and an unfinished one after each tag, so a caller that drops this future knows what
    /// was done.
    pub async fn run(&self, outcomes: &Outcomes) -> usize {
        self.run_on(self.bases(), outcomes).await
    }

    /// Like [`Bake::run`], with bases that are read in another way.
    pub(super) async fn run_on(&self, bases: impl Future<Output = BasesByName<'_>>, outcomes: &Outcomes) -> usize {
        let tags: Vec<TagsAhead> = self.plan.images.iter().map(|image| self.tags_ahead(image)).collect();
        let ask = stream::iter(tags.clone()).buffer_unordered(self.jobs.max(1)).for_each(|_| ready(()));
        let mut ask = pin!(ask.fuse());
        let resolve = resolve(self.plan, self.providers, &self.progress);
        let (bases, Resolution { answers, secrets_read }) = while_asking(join(bases, resolve), ask.as_mut()).await;
        tracing::info!(read = secrets_read, of = answers.len(), "read the secrets");
        self.progress.expect(Counted::Images, self.plan.images.len() as u64);
        let (answers, bases) = (&answers, &bases);
        let images = self.plan.images.iter().zip(tags).enumerate();
        let images = images.map(|(index, (image, tags))| async move {
            let put = |result, finished| {
                let (file, base, tags) = (
                    image.file.clone(),
                    image.base.as_ref().map(|base| base.name.clone()),
                    image.tag_names().cloned().collect(),
                );
                let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                outcomes.insert(index, Outcome { file, base, tags, result, finished });
            };
            let so_far = |baked: &BakedImage| put(Err(in_part(image, baked)), false);
            self.progress.now(Counted::Images, &image.file);
            put(self.image(image, &bases[base_of(image)], answers, tags, &so_far).await, true);
            self.progress.done(Counted::Images, 1);
        });
        let write = stream::iter(images).buffer_unordered(self.jobs.max(1)).collect::<()>();
        while_asking(write, ask).await;
        secrets_read
    }

    /// Asks the registries of an image's tags what they point to, and starts the uploads to new ones. The answer stays if it is not waited
    /// for at once.
    fn tags_ahead<'a>(&'a self, image: &'a ImagePlan) -> TagsAhead<'a> {
        // the config and the layer with the secrets
        let blobs = 1 + usize::from(files_of(image).next().is_some());
        let ask = async move {
            let places = places(image).into_iter();
            let asked =
                places.map(|(place, tags)| async move { (place, self.stores.tags_ahead(&names(&tags), blobs).await) });
            join_all(asked).await.into_iter().collect()
        };
        ask.boxed_local().shared()
    }

    /// Reads each distinct base once, however many images use it.
    async fn bases(&self) -> BasesByName<'_> {
        let mut images: BTreeMap<&ImageName, Vec<&ImagePlan>> = BTreeMap::new();
        for image in &self.plan.images {
            images.entry(base_of(image)).or_default().push(image);
        }
        let bases = images.into_iter().map(|(name, images)| async move { (name, self.bases_of(name, &images).await) });
        stream::iter(bases).buffer_unordered(self.jobs.max(1)).collect().await
    }

    /// Reads a base (for an index, one per platform) and what its images need to know of its tree.
    async fn bases_of(&self, name: &ImageName, images: &[&ImagePlan]) -> Result<Bases, Diagnostic> {
        tracing::info!(base = %name, images = images.len(), "reading the base");
        let store = self.stores.open(name).await.map_err(diagnosis)?;
        let (index, bases) = store.read(name, &self.plan.platforms).await.map_err(diagnosis)?.into_parts();
        let known = bases.into_iter().map(|base| learn(name, &store, base, images));
        Ok(Bases { index, bases: join_all(known).await })
    }

    /// Bakes one image; calls `so_far` with it after every tag that has it.
    async fn image(
        &self,
        image: &ImagePlan,
        bases: &Result<Bases, Diagnostic>,
        answers: &Answers,
        tags: TagsAhead<'_>,
        so_far: &impl Fn(&BakedImage),
    ) -> Result<BakedImage, FailedImage> {
        let values = image_values(self.plan, image, self.org, answers);
        match (bases, values) {
            (Ok(bases), Ok(values)) => self.compose_and_write(image, bases, values, tags, so_far).await,
            (bases, values) => {
                let base = bases.as_ref().err().map(|problem| at(image.base.as_ref(), problem.clone()));
                let problems = base.into_iter().chain(values.err().unwrap_or_default());
                Err(problems.collect::<Vec<_>>().into())
            }
        }
    }

    async fn compose_and_write(
        &self,
        plan: &ImagePlan,
        bases: &Bases,
        values: ImageValues<'_>,
        tags: TagsAhead<'_>,
        so_far: &impl Fn(&BakedImage),
    ) -> Result<BakedImage, FailedImage> {
        let name = base_of(plan);
        let recipe = recipe(self.plan, plan, self.org);
        let (contents, large) = contents(plan, &values, &self.launchers, &recipe)?;
        let mut images = Vec::new();
        for base in &bases.bases {
            images.push(self.compose(plan, base, &contents)?);
        }
        let refuse = |error| vec![image_problem(plan, &error)];
        let new = match (&bases.index, images.pop()) {
            (None, Some(image)) => NewImage::Image(image),
            (index, last) => {
                images.extend(last);
                let index = index.as_ref().ok_or_else(|| refuse(ImageError::Malformed("index")))?;
                NewImage::Index(index.with(images).map_err(refuse)?)
            }
        };
        let base = bases.digest();
        let provenance = values.origins.on_base(base.as_ref());
        let mut warnings: Vec<_> =
            bases.index.as_ref().and_then(|index| left_out(plan, name, index)).into_iter().collect();
        warnings.extend(in_volumes(plan, bases).map_err(refuse)?);
        warnings.extend(values.warnings.iter().cloned().chain(large));
        let mut baked = BakedImage {
            base,
            tags: Vec::new(),
            changed: false,
            displaced: Vec::new(),
            warnings,
            provenance,
            baked_again: None,
        };
        // what the image does not say of its manifest cannot be compared
        let untold = baked.provenance.untold().or_else(|| (!recipe.withheld.is_empty()).then(|| withheld(&recipe)));
        let mut refused = self.store(plan, &new, tags.await, untold.as_deref(), &mut baked, so_far).await;
        if self.push {
            refused.extend(self.push(plan, &mut baked, so_far).await);
        }
        if refused.is_empty() {
            return Ok(baked);
        }
        Err(FailedImage {
            tags: baked.tags,
            displaced: baked.displaced,
            problems: baked.warnings.into_iter().chain(refused).collect(),
        })
    }

    fn compose(
        &self,
        plan: &ImagePlan,
        base: &BaseWithTree,
        contents: &Additions<'_>,
    ) -> Result<Image, Vec<Diagnostic>> {
        let refuse = |error| vec![image_problem(plan, &error)];
        requirements(&base.known.base, [].into_iter(), [].into_iter()).map_err(refuse)?;
        let problems = misfits(plan, &base.known, contents);
        if !problems.is_empty() {
            return Err(problems);
        }
        if let (false, Some(unread)) = (missing_of(plan, &base.known).needed.is_empty(), &base.unread) {
            return Err(vec![at(plan.base.as_ref(), unread.clone())]);
        }
        append(&base.known, contents, self.created.as_deref()).map_err(refuse)
    }

    /// Writes the image under its tags, one store after the other. One failure does not stop the others. Returns the failures. `untold` is
    /// why a sealed image that seems to be there may hold other values.
    async fn store(
        &self,
        plan: &ImagePlan,
        new: &NewImage,
        mut before: StatesByPlace,
        untold: Option<&str>,
        baked: &mut BakedImage,
        so_far: &impl Fn(&BakedImage),
    ) -> Vec<Diagnostic> {
        let mut refused = Vec::new();
        for (place, tags) in places(plan) {
            let before = before.remove(&place).unwrap_or(Ok(None));
            match self.store_in(&names(&tags), base_of(plan), new, before, untold, baked).await {
                Ok(()) => so_far(baked),
                Err(error) => refused.push(at(tags.first().copied(), diagnosis(error))),
            }
        }
        refused
    }

    /// Writes the image under its tags in one store, unless all of them already name this image.
    async fn store_in(
        &self,
        tags: &[&ImageName],
        base: &ImageName,
        new: &NewImage,
        before: Result<Option<TagStates>, StoreError>,
        untold: Option<&str>,
        baked: &mut BakedImage,
    ) -> Result<(), StoreError> {
        let before = before?;
        let (store, base_store) = (self.stores.open(tags[0]).await?, self.stores.open(base).await?);
        let layers = BaseSource { store: &base_store, name: base, progress: Some(&self.progress) };
        let is_there = match &baked.provenance.seal {
            Some(_) => sealed_before(&store, new, tags, before.as_ref()).await?,
            None => None,
        };
        let put = match (is_there, untold) {
            (Some(identity), None) => Put { identity, changed: false, displaced: Vec::new(), warnings: Vec::new() },
            (is_there, untold) => {
                let why = untold.filter(|_| is_there.is_some()).map(str::to_owned);
                baked.baked_again = baked.baked_again.take().or(why);
                store.put_after(new, tags, layers, before).await?
            }
        };
        tracing::info!(tag = %tags[0], tags = tags.len(), changed = put.changed, "wrote the image");
        baked.changed |= put.changed;
        baked.displaced.extend(put.displaced);
        baked.warnings.extend(put.warnings);
        let tag = |name: &&ImageName| BakedTag { name: (*name).clone(), digest: put.identity.clone(), pushed: None };
        baked.tags.extend(tags.iter().map(tag));
        Ok(())
    }

    /// Pushes every tag that is not in a registry yet. Removes the tags that could not be pushed and returns the failures.
    async fn push(&self, plan: &ImagePlan, baked: &mut BakedImage, so_far: &impl Fn(&BakedImage)) -> Vec<Diagnostic> {
        let mut refused = Vec::new();
        let names: Vec<ImageName> = baked.tags.iter().map(|tag| tag.name.clone()).collect();
        for name in names {
            match self.stores.push(&name, self.prunes, &self.progress).await {
                Ok(None) => {}
                Ok(Some(pushed)) => {
                    for tag in baked.tags.iter_mut().filter(|tag| tag.name == name) {
                        tag.pushed = Some(pushed.digest.clone());
                    }
                    baked.displaced.extend(pushed.displaced);
                    baked.warnings.extend(pushed.warning);
                    so_far(baked);
                }
                Err(error) => {
                    baked.tags.retain(|tag| tag.name != name);
                    refused.push(at(plan.tags.iter().find(|tag| tag.name == name), diagnosis(error)));
                }
            }
        }
        refused
    }
}

/// Waits for `work`, and polls `ask` as long: a request that nobody polls runs into its time limit.
async fn while_asking<T>(work: impl Future<Output = T>, ask: Pin<&mut Fuse<impl Future<Output = ()>>>) -> T {
    match select(pin!(work), ask).await {
        Either::Left((done, _)) => done,
        Either::Right(((), work)) => work.await,
    }
}

/// Returns the tags of an image by the place that they are in.
fn places(plan: &ImagePlan) -> BTreeMap<String, Vec<&PlacedName>> {
    let mut places: BTreeMap<String, Vec<&PlacedName>> = BTreeMap::new();
    for tag in &plan.tags {
        places.entry(tag.name.place()).or_default().push(tag);
    }
    places
}

fn names<'a>(tags: &[&'a PlacedName]) -> Vec<&'a ImageName> {
    tags.iter().map(|tag| &tag.name).collect()
}

/// Returns the identity of the sealed image that every tag names, if it is the new one but for the random bytes of its seal.
async fn sealed_before(
    store: &impl ImageStore,
    new: &NewImage,
    tags: &[&ImageName],
    before: Option<&TagStates>,
) -> Result<Option<Digest>, StoreError> {
    let mut states: BTreeSet<_> = before.into_iter().flatten().cloned().collect();
    if before.is_none() {
        for tag in tags {
            states.insert(store.tag_state(tag).await?);
        }
    }
    let (Some(Some(state)), None) = (states.pop_first(), states.pop_first()) else { return Ok(None) };
    // if it cannot be read, write it again
    let Ok(earlier) = store.read(tags[0], &Platforms::All).await else { return Ok(None) };
    let (_, earlier) = earlier.into_parts();
    Ok(is_same_but_for_the_seal(new, &earlier, &state).then_some(state))
}

/// Returns why a sealed image that does not say all of its manifest is baked again.
fn withheld(recipe: &RecipeText) -> String {
    format!("the image does not say {}", recipe.withheld.join(" and "))
}

fn base_of(image: &ImagePlan) -> &ImageName {
    image.base.as_ref().map_or(&ImageName::Scratch, |base| &base.name)
}

/// Returns the outcome of an image if the run ends now.
fn in_part(plan: &ImagePlan, baked: &BakedImage) -> FailedImage {
    let tags: Vec<String> = baked.tags.iter().map(|tag| tag.name.to_string()).collect();
    let what = format!("{} is not finished: the new image is at {}", plan.file, tags.join(" and "));
    let problems = baked.warnings.iter().cloned().chain([Diagnostic::error("baked-in-part", what)]);
    FailedImage { tags: baked.tags.clone(), displaced: baked.displaced.clone(), problems: problems.collect() }
}

/// Looks up what the images need to know of their base's tree.
async fn learn(name: &ImageName, store: &impl ImageStore, base: Base, images: &[&ImagePlan]) -> BaseWithTree {
    let known = KnownBase { base, name: name.pullable(), tree: Tree::new(), replaced: BTreeSet::new() };
    let mut base = BaseWithTree { known, unread: None };
    let mut asked = BTreeSet::new();
    while base.unread.is_none() {
        let mut missing = PathQuery::default();
        missing.extend(images.iter().map(|image| missing_of(image, &base.known)));
        missing.likely.retain(|path| asked.insert(path.clone()));
        if missing == PathQuery::default() {
            break;
        }
        match store.look_up(name, &base.known.base, &missing).await {
            Ok(tree) => base.known.tree.extend(tree),
            Err(error) => base.unread = Some(diagnosis(error)),
        }
    }
    base
}

/// Returns what still has to be looked up in the base before the image can be composed. A file that does not fit the base fails later, when
/// it is composed.
fn missing_of(image: &ImagePlan, known: &KnownBase) -> PathQuery {
    let (paths, access) = (files_of(image).map(|file| file.path), files_of(image).map(|file| file.access));
    let mut all = PathQuery::default();
    if let Ok(TreeRequirements { files, owners }) = requirements(&known.base, paths, access) {
        let each = files.into_iter().map(|path| TreeRequirements { files: vec![path], owners: Vec::new() });
        let needs = each.chain([TreeRequirements { files: Vec::new(), owners }]);
        all.extend(needs.filter_map(|needs| needs.missing(&known.tree).ok()));
    }
    all
}

/// A file of an image, and where the manifest speaks of it.
struct PlacedFile<'p> {
    path: &'p str,
    access: &'p Access,
    places: &'p FilePlaces,
}

/// Returns the env file of an image, and its other files.
fn files_of(image: &ImagePlan) -> impl Iterator<Item = PlacedFile<'_>> {
    let env_file = image.env_file.iter();
    let env_file = env_file.map(|file| PlacedFile { path: &file.path, access: &file.access, places: &file.places });
    let files = image.files.iter();
    env_file.chain(files.map(|file| PlacedFile { path: &file.path, access: &file.access, places: &file.places }))
}

/// Returns every problem of a file that does not fit the base, each at its place in the manifest.
fn misfits(plan: &ImagePlan, known: &KnownBase, contents: &Additions<'_>) -> Vec<Diagnostic> {
    let env_file = contents.env_file.iter().map(|file| file.path);
    let there: BTreeSet<&str> = contents.files.iter().map(|file| file.path).chain(env_file).collect();
    let mut taken = BTreeSet::new();
    let mut problems: Vec<Diagnostic> = Vec::new();
    for file in files_of(plan).filter(|file| there.contains(file.path)) {
        let (place, error) = match place_file(known, file.path, file.access) {
            Ok(Some(path)) if !taken.insert(path.clone()) => (&file.places.path, ImageError::SamePlace(path)),
            Ok(_) => continue,
            Err(Misfit::Path(error)) => (&file.places.path, error),
            Err(Misfit::Owner(error)) => (&file.places.owner, error),
        };
        let problem = image_problem(plan, &error);
        let problem = Diagnostic { place: place.clone().or(problem.place.clone()), ..problem };
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}

fn diagnosis(error: StoreError) -> Diagnostic {
    *error.0
}

/// Warns that the base's attestations are not in the new index.
fn left_out(plan: &ImagePlan, name: &ImageName, index: &BaseIndex) -> Option<Diagnostic> {
    let what = match index.others {
        0 => return None,
        1 => format!("an attestation of {name} was left out"),
        others => format!("{others} attestations of {name} were left out"),
    };
    let warning = Diagnostic::warning("attestations-left-out", what);
    Some(at(plan.base.as_ref(), warning.cause("they describe the images of the base, not the baked ones")))
}

/// Warns about files in a volume of the base: a container with an existing volume does not see the new file.
fn in_volumes(plan: &ImagePlan, bases: &Bases) -> Result<Vec<Diagnostic>, ImageError> {
    let mut volumes = BTreeSet::new();
    for base in &bases.bases {
        volumes.extend(base.known.base.config.volumes()?);
    }
    // what the launcher writes at start is never an old one
    let files = plan.files.iter().filter(|_| !plan.opens_files());
    let warnings = files.filter_map(|file| {
        let volume = volume_of(&volumes, &file.path)?;
        let what = format!("the file is in the base's volume {volume}, which keeps what a container first found there");
        let warning = Diagnostic::warning("file-in-volume", what).at(file.source.place().clone());
        Some(warning.hint("choose a path outside of the volume, or a rotated secret does not take effect there"))
    });
    Ok(warnings.collect())
}

fn image_problem(plan: &ImagePlan, error: &ImageError) -> Diagnostic {
    let problem = Diagnostic::error("base", format!("cannot bake onto {}: {error}", base_of(plan)));
    at(plan.base.as_ref(), problem.hint(error.hint()))
}

/// Adds the place of an image's name to a problem with the image.
fn at(name: Option<&PlacedName>, problem: Diagnostic) -> Diagnostic {
    let place = problem.place.clone().or_else(|| name.map(|name| name.place.clone()));
    Diagnostic { place, ..problem }
}
