//! Owns the pipeline of a bake: resolve, append, store. It holds no rule of its own; each step is another module's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use futures_util::future::{join, join_all};
use futures_util::{StreamExt as _, stream};

use crate::diagnostic::Diagnostic;
use crate::image::append::{Contents, EnvFile, FileContent, Launcher, append, questions};
use crate::image::config::{Config, volume_of};
use crate::image::digest::Digest;
use crate::image::env_file::{self, Format};
use crate::image::index::BaseIndex;
use crate::image::name::ImageName;
use crate::image::platform::Platforms;
use crate::image::provenance::Provenance;
use crate::image::tree::{Lookup, Tree};
use crate::image::{Base, Image, ImageError, ImageIndex};
use crate::manifest::Inject;
use crate::ops::report::{Baked, BakedTag, Failed, Outcome, Outcomes};
use crate::org::Org;
use crate::plan::{ImagePlan, Plan};
use crate::runtime::progress::{Counted, Progress};
use crate::secret::SecretBytes;
use crate::secrets::Provider;
use crate::secrets::resolve::resolve;
use crate::secrets::values::{Answers, Values, values};
use crate::store::any::Stores;
use crate::store::watched::Watched;
use crate::store::{ImageStore, Source, StoreError};

/// What a bake needs besides the plan.
pub struct Bake<'a, P> {
    pub plan: &'a Plan,
    pub org: &'a Org,
    /// By the credential's index; `None` for a credential that no read uses.
    pub providers: &'a [Option<P>],
    pub stores: &'a Stores,
    /// One for each architecture.
    pub launchers: Vec<Launcher>,
    /// Replaces the images' `created`, RFC 3339.
    pub created: Option<String>,
    /// How many images are written at once.
    pub jobs: usize,
    /// Whether the engine pushes its tags.
    pub push: bool,
    pub progress: Progress,
}

/// What the images of one name are baked from: one base, or with an index one for each platform.
struct Ground {
    index: Option<BaseIndex>,
    bases: Vec<Known>,
}

/// A base, and what is known of its tree for all images that are baked onto it.
struct Known {
    base: Base,
    tree: Tree,
    /// Why the tree does not answer every question.
    unread: Option<Diagnostic>,
}

impl Ground {
    fn digest(&self) -> Option<Digest> {
        let one = || self.bases.first().and_then(|known| known.base.digest.clone());
        self.index.as_ref().map(BaseIndex::digest).or_else(one)
    }
}

/// What a bake makes.
enum New {
    Image(Image),
    Index(ImageIndex),
}

impl<P: Provider + Sync> Bake<'_, P> {
    /// Bakes every image of the plan; one failure does not stop the others. Nothing is written before every secret is read.
    ///
    /// Each outcome is put in as soon as there is one, and before, with every tag that has the image, one that is not finished: who drops
    /// this knows what was done.
    pub async fn run(&self, outcomes: &Outcomes) {
        let (answers, grounds) = join(resolve(self.plan, self.providers, &self.progress), self.grounds()).await;
        self.progress.expect(Counted::Images, self.plan.images.len() as u64);
        let (answers, grounds) = (&answers, &grounds);
        let images = self.plan.images.iter().enumerate();
        let images = images.map(|(index, image)| async move {
            let put = |result, finished| {
                let (file, base, tags) = (image.file.clone(), image.base.clone(), image.tags.clone());
                let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                outcomes.insert(index, Outcome { file, base, tags, result, finished });
            };
            let so_far = |baked: &Baked| put(Err(in_part(image, baked)), false);
            put(self.image(image, &grounds[base_of(image)], answers, &so_far).await, true);
            self.progress.done(Counted::Images, 1);
        });
        stream::iter(images).buffer_unordered(self.jobs.max(1)).collect().await
    }

    /// Reads each distinct base once, however many images have it.
    async fn grounds(&self) -> BTreeMap<&ImageName, Result<Ground, Diagnostic>> {
        let mut images: BTreeMap<&ImageName, Vec<&ImagePlan>> = BTreeMap::new();
        for image in &self.plan.images {
            images.entry(base_of(image)).or_default().push(image);
        }
        let grounds = images.into_iter().map(|(name, images)| async move { (name, self.ground(name, &images).await) });
        stream::iter(grounds).buffer_unordered(self.jobs.max(1)).collect().await
    }

    /// Reads the base, or each of several platforms, and what its images must know of its tree.
    async fn ground(&self, name: &ImageName, images: &[&ImagePlan]) -> Result<Ground, Diagnostic> {
        let store = self.stores.open(name).await.map_err(diagnosis)?;
        let (all, platform) = match &self.plan.platforms {
            Platforms::Own => (None, None),
            Platforms::One(platform) => (None, Some(platform)),
            Platforms::All => (store.bases(name).await.map_err(diagnosis)?, None),
        };
        let (index, bases) = match all {
            Some((index, bases)) => (Some(index), bases),
            None => (None, vec![store.base(name, platform).await.map_err(diagnosis)?]),
        };
        let known = bases.into_iter().map(|base| learn(name, &store, base, images));
        Ok(Ground { index, bases: join_all(known).await })
    }

    /// Bakes one image; `so_far` is told of it with every tag that has it.
    async fn image(
        &self,
        image: &ImagePlan,
        ground: &Result<Ground, Diagnostic>,
        answers: &Answers,
        so_far: &impl Fn(&Baked),
    ) -> Result<Baked, Failed> {
        let values = values(self.plan, image, self.org, answers);
        match (ground, values) {
            (Ok(ground), Ok(values)) => self.compose_and_write(image, ground, values, so_far).await,
            (ground, values) => {
                let problems = ground.as_ref().err().cloned().into_iter().chain(values.err().unwrap_or_default());
                Err(problems.collect::<Vec<_>>().into())
            }
        }
    }

    async fn compose_and_write(
        &self,
        plan: &ImagePlan,
        ground: &Ground,
        values: Values<'_>,
        so_far: &impl Fn(&Baked),
    ) -> Result<Baked, Failed> {
        let name = base_of(plan);
        let contents = self.contents(plan, &values)?;
        let mut images = Vec::new();
        for known in &ground.bases {
            images.push(self.compose(plan, known, &contents)?);
        }
        let refuse = |error| vec![image_problem(name, &error)];
        let new = match (&ground.index, images.pop()) {
            (None, Some(image)) => New::Image(image),
            (index, last) => {
                images.extend(last);
                let index = index.as_ref().ok_or_else(|| refuse(ImageError::Malformed("index")))?;
                New::Index(index.with(images).map_err(refuse)?)
            }
        };
        let base = ground.digest();
        let provenance = Provenance { base: base.as_ref().map(Digest::to_string), ..contents.provenance };
        let mut warnings: Vec<_> = ground.index.as_ref().and_then(|index| left_out(name, index)).into_iter().collect();
        warnings.extend(in_volumes(plan, ground).map_err(refuse)?);
        warnings.extend(values.warnings.iter().cloned());
        let mut baked = Baked { base, tags: Vec::new(), changed: false, warnings, provenance };
        let mut refused = self.store(plan, &new, &mut baked, so_far).await;
        if self.push {
            refused.extend(self.push(&mut baked, so_far).await);
        }
        if refused.is_empty() {
            return Ok(baked);
        }
        Err(Failed { tags: baked.tags, problems: baked.warnings.into_iter().chain(refused).collect() })
    }

    fn compose(&self, plan: &ImagePlan, known: &Known, contents: &Contents<'_>) -> Result<Image, Vec<Diagnostic>> {
        let refuse = |error| vec![image_problem(base_of(plan), &error)];
        let missing = missing_of(plan, known).map_err(refuse)?;
        if let (false, Some(unread)) = (missing.needed.is_empty(), &known.unread) {
            return Err(vec![unread.clone()]);
        }
        append(&known.base, contents, &known.tree, self.created.as_deref()).map_err(refuse)
    }

    fn contents<'v>(&'v self, plan: &'v ImagePlan, values: &'v Values<'_>) -> Result<Contents<'v>, Vec<Diagnostic>> {
        let in_file = |secret: bool| match plan.inject {
            Inject::Launcher => secret,
            Inject::Config => false,
            Inject::File => true,
        };
        let (filed, configured): (Vec<_>, Vec<_>) = values.variables.iter().partition(|value| in_file(value.secret));
        let config_env = configured
            .iter()
            .map(|value| match std::str::from_utf8(value.bytes.expose()) {
                Ok(text) => Ok((value.name, text)),
                Err(_) => Err(refused(plan, value.name, "it is not UTF-8 text")),
            })
            .collect::<Result<_, _>>()
            .map_err(|problem| vec![problem])?;
        let pairs: Vec<(&str, &SecretBytes)> = filed.iter().map(|value| (value.name, &value.bytes)).collect();
        let format = if plan.inject == Inject::File { plan.format } else { Format::Env0 };
        let env_file = match (plan.inject, &pairs[..]) {
            (Inject::Launcher, []) | (Inject::Config, _) => None,
            _ => Some(EnvFile {
                path: &plan.env_path,
                content: env_file::write(format, &pairs)
                    .map_err(|names| names.iter().map(|(name, why)| refused(plan, name, why)).collect::<Vec<_>>())?,
                access: &plan.access,
                launch: (plan.inject == Inject::Launcher)
                    .then(|| (&self.launchers[..], filed.iter().map(|value| value.name).collect())),
            }),
        };
        let files = values
            .files
            .iter()
            .map(|(index, content)| {
                let file = &plan.files[*index];
                FileContent { path: &file.path, content, access: &file.access }
            })
            .collect();
        Ok(Contents { config_env, env_file, files, provenance: values.provenance.clone() })
    }

    /// Writes the image under its tags, place by place: one failure does not stop the others. Returns why a place does not have it.
    async fn store(&self, plan: &ImagePlan, new: &New, baked: &mut Baked, so_far: &impl Fn(&Baked)) -> Vec<Diagnostic> {
        let mut places: BTreeMap<String, Vec<&ImageName>> = BTreeMap::new();
        for tag in &plan.tags {
            places.entry(tag.place()).or_default().push(tag);
        }
        let mut refused = Vec::new();
        for tags in places.values() {
            match self.store_in(tags, base_of(plan), new, baked).await {
                Ok(()) => so_far(baked),
                Err(error) => refused.push(diagnosis(error)),
            }
        }
        refused
    }

    /// Writes the image under tags of one place, unless every one of them already is this image.
    async fn store_in(
        &self,
        tags: &[&ImageName],
        base: &ImageName,
        new: &New,
        baked: &mut Baked,
    ) -> Result<(), StoreError> {
        let store = self.stores.open(tags[0]).await?;
        let mut current = Vec::new();
        for tag in tags {
            current.push(store.current(tag).await?);
        }
        let mut identity = match new {
            New::Image(image) => store.identity(image),
            New::Index(index) => index.digest(),
        };
        if current.iter().any(|current| current.as_ref() != Some(&identity)) {
            let opened = self.stores.open(base).await?;
            let source = Watched { store: &opened, progress: &self.progress };
            let source = Source { store: &source, name: base };
            let written = match new {
                New::Image(image) => store.write_from(image, tags, source).await?,
                New::Index(index) => store.write_index(index, tags, source).await?,
            };
            baked.changed = true;
            baked.warnings.extend(written.warnings);
            identity = written.identity.unwrap_or(identity);
        }
        let tag = |name: &&ImageName| BakedTag { name: (*name).clone(), digest: identity.clone(), pushed: None };
        baked.tags.extend(tags.iter().map(tag));
        Ok(())
    }

    /// Pushes every tag that is not in a registry yet. Those that could not be are taken out; returns why.
    async fn push(&self, baked: &mut Baked, so_far: &impl Fn(&Baked)) -> Vec<Diagnostic> {
        let mut refused = Vec::new();
        let names: Vec<ImageName> = baked.tags.iter().map(|tag| tag.name.clone()).collect();
        for name in names {
            match self.stores.push(&name, &self.progress).await {
                Ok(digest) => {
                    for tag in baked.tags.iter_mut().filter(|tag| tag.name == name) {
                        tag.pushed.clone_from(&digest);
                    }
                    so_far(baked);
                }
                Err(error) => {
                    baked.tags.retain(|tag| tag.name != name);
                    refused.push(diagnosis(error));
                }
            }
        }
        refused
    }
}

fn base_of(image: &ImagePlan) -> &ImageName {
    image.base.as_ref().unwrap_or(&ImageName::Scratch)
}

/// Returns what an image is if the run ends now.
fn in_part(plan: &ImagePlan, baked: &Baked) -> Failed {
    let tags: Vec<String> = baked.tags.iter().map(|tag| tag.name.to_string()).collect();
    let what = format!("{} is not finished: the new image is at {}", plan.file, tags.join(" and "));
    let problems = baked.warnings.iter().cloned().chain([Diagnostic::error("baked-in-part", what)]);
    Failed { tags: baked.tags.clone(), problems: problems.collect() }
}

/// Looks up what the images must know of their base's tree.
async fn learn(name: &ImageName, store: &impl ImageStore, base: Base, images: &[&ImagePlan]) -> Known {
    let mut known = Known { base, tree: Tree::new(), unread: None };
    let mut asked = BTreeSet::new();
    while known.unread.is_none() {
        // an image that the base does not suit says so when it is composed
        let mut missing = Lookup::default();
        missing.extend(images.iter().filter_map(|image| missing_of(image, &known).ok()));
        missing.likely.retain(|path| asked.insert(path.clone()));
        if missing == Lookup::default() {
            break;
        }
        match store.entries(name, &known.base, &missing).await {
            Ok(tree) => known.tree.extend(tree),
            Err(error) => known.unread = Some(diagnosis(error)),
        }
    }
    known
}

/// Returns what must still be looked up in the base before the image can be composed.
fn missing_of(image: &ImagePlan, known: &Known) -> Result<Lookup, ImageError> {
    let env_path = (image.inject == Inject::File).then_some(image.env_path.as_str());
    let paths = image.files.iter().map(|file| file.path.as_str()).chain(env_path);
    let access = image.files.iter().map(|file| &file.access).chain([&image.access]);
    questions(&known.base, paths, access)?.missing(&known.tree)
}

fn diagnosis(error: StoreError) -> Diagnostic {
    *error.0
}

/// Says that what describes the base's images is not in the new index.
fn left_out(name: &ImageName, index: &BaseIndex) -> Option<Diagnostic> {
    let what = match index.others {
        0 => return None,
        1 => format!("an attestation of {name} was left out"),
        others => format!("{others} attestations of {name} were left out"),
    };
    Some(
        Diagnostic::warning("attestations-left-out", what)
            .cause("they describe the images of the base, not the baked ones"),
    )
}

/// Warns of files in a volume of the base: a container that has the volume already does not see the new one.
fn in_volumes(plan: &ImagePlan, ground: &Ground) -> Result<Vec<Diagnostic>, ImageError> {
    let mut volumes = BTreeSet::new();
    for known in &ground.bases {
        volumes.extend(Config::parse(&known.base.config)?.volumes()?);
    }
    let warnings = plan.files.iter().filter_map(|file| {
        let volume = volume_of(&volumes, &file.path)?;
        let what = format!("the file is in the base's volume {volume}, which keeps what a container first found there");
        let warning = Diagnostic::warning("file-in-volume", what).at(file.source.place.clone());
        Some(warning.hint("choose a path outside of the volume, or a rotated secret does not take effect there"))
    });
    Ok(warnings.collect())
}

fn image_problem(name: &ImageName, error: &ImageError) -> Diagnostic {
    Diagnostic::error("base", format!("cannot bake onto {name}: {error}")).hint(error.hint())
}

fn refused(plan: &ImagePlan, name: &str, why: env_file::Refusal) -> Diagnostic {
    let place = plan.variables.iter().find(|variable| variable.name == name).map(|variable| variable.place.clone());
    Diagnostic { place, ..env_file::refused(why) }
}
