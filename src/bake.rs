//! Owns the pipeline of a bake: resolve, append, store. It holds no rule of its own; each step is another module's.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join;
use futures_util::{StreamExt as _, stream};

use crate::error::Diagnostic;
use crate::image::append::{Contents, EnvFile, FileContent, Launcher, append, questions};
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::image::platform::Platform;
use crate::image::tree::Tree;
use crate::image::{Base, Image, ImageError};
use crate::manifest::{Format, Inject};
use crate::org::Org;
use crate::plan::{ImagePlan, Plan};
use crate::progress::{Counted, Progress};
use crate::provider::Provider;
use crate::report::{Baked, BakedTag, Outcome};
use crate::resolve::resolve;
use crate::secret::SecretBytes;
use crate::store::any::Stores;
use crate::store::watched::Watched;
use crate::store::{ImageStore, Source, StoreError};
use crate::value::env_file;
use crate::value::{Answers, Values, values};

/// What a bake needs besides the plan.
pub struct Bake<'a, P> {
    pub plan: &'a Plan,
    pub org: &'a Org,
    /// By the credential's index; `None` for a credential that no read uses.
    pub providers: &'a [Option<P>],
    pub stores: &'a Stores,
    pub launcher: Launcher,
    pub platform: Option<Platform>,
    /// Replaces the images' `created`, RFC 3339.
    pub created: Option<String>,
    /// How many images are written at once.
    pub jobs: usize,
    /// Whether the engine pushes its tags.
    pub push: bool,
    pub progress: Progress,
}

/// A base, and what is known of its tree for all images that are baked onto it.
struct Ground {
    base: Base,
    tree: Tree,
    /// Why the tree does not answer every question.
    unread: Option<Diagnostic>,
}

impl<P: Provider + Sync> Bake<'_, P> {
    /// Bakes every image of the plan; one failure does not stop the others. Nothing is written before every secret is read.
    pub async fn run(&self) -> Vec<Outcome> {
        let (answers, grounds) = join(resolve(self.plan, self.providers, &self.progress), self.grounds()).await;
        self.progress.expect(Counted::Images, self.plan.images.len() as u64);
        let images = self.plan.images.iter().map(|image| self.image(image, &grounds[base_of(image)], &answers));
        stream::iter(images).buffered(self.jobs.max(1)).collect().await
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

    /// Reads the base, and what its images must know of its tree.
    async fn ground(&self, name: &ImageName, images: &[&ImagePlan]) -> Result<Ground, Diagnostic> {
        let store = self.stores.open(name).await.map_err(diagnosis)?;
        let base = store.base(name, self.platform.as_ref()).await.map_err(diagnosis)?;
        let mut ground = Ground { base, tree: Tree::new(), unread: None };
        while ground.unread.is_none() {
            // an image that the base does not suit says so when it is composed
            let missing: BTreeSet<String> =
                images.iter().filter_map(|image| missing(image, &ground).ok()).flatten().collect();
            if missing.is_empty() {
                break;
            }
            match store.entries(name, &ground.base, &missing).await {
                Ok(tree) => ground.tree.extend(tree),
                Err(error) => ground.unread = Some(diagnosis(error)),
            }
        }
        Ok(ground)
    }

    async fn image(&self, image: &ImagePlan, ground: &Result<Ground, Diagnostic>, answers: &Answers) -> Outcome {
        let values = values(self.plan, image, self.org, answers);
        let result = match (ground, values) {
            (Ok(ground), Ok(values)) => self.compose_and_write(image, ground, values).await,
            (ground, values) => {
                Err(ground.as_ref().err().cloned().into_iter().chain(values.err().unwrap_or_default()).collect())
            }
        };
        self.progress.done(Counted::Images, 1);
        Outcome { file: image.file.clone(), base: image.base.clone(), tags: image.tags.clone(), result }
    }

    async fn compose_and_write(
        &self,
        plan: &ImagePlan,
        ground: &Ground,
        values: Values<'_>,
    ) -> Result<Baked, Vec<Diagnostic>> {
        let name = base_of(plan);
        let missing = missing(plan, ground).map_err(|error| vec![image_problem(name, &error)])?;
        if let (false, Some(unread)) = (missing.is_empty(), &ground.unread) {
            return Err(vec![unread.clone()]);
        }
        let contents = self.contents(plan, ground, &values)?;
        let image = append(&ground.base, &contents, &ground.tree, self.created.as_deref())
            .map_err(|error| vec![image_problem(name, &error)])?;
        let mut baked = Baked {
            base: ground.base.digest.clone(),
            tags: Vec::new(),
            changed: false,
            warnings: Vec::new(),
            provenance: contents.provenance,
        };
        self.store(plan, &image, &mut baked).await.map_err(|error| vec![diagnosis(error)])?;
        let refused = if self.push { self.push(&mut baked.tags).await } else { Vec::new() };
        if refused.is_empty() { Ok(baked) } else { Err(baked.warnings.into_iter().chain(refused).collect()) }
    }

    fn contents<'v>(
        &'v self,
        plan: &'v ImagePlan,
        ground: &Ground,
        values: &'v Values<'_>,
    ) -> Result<Contents<'v>, Vec<Diagnostic>> {
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
                    .then(|| (&self.launcher, filed.iter().map(|value| value.name).collect())),
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
        let mut provenance = values.provenance.clone();
        provenance.base = ground.base.digest.as_ref().map(Digest::to_string);
        Ok(Contents { config_env, env_file, files, provenance })
    }

    /// Writes the image under its tags, place by place; a place where every tag already is this image is left alone.
    async fn store(&self, plan: &ImagePlan, image: &Image, baked: &mut Baked) -> Result<(), StoreError> {
        let mut places: BTreeMap<String, Vec<&ImageName>> = BTreeMap::new();
        for tag in &plan.tags {
            places.entry(Stores::place(tag)).or_default().push(tag);
        }
        let base = base_of(plan);
        let opened = self.stores.open(base).await?;
        let source = Watched { store: &opened, progress: &self.progress };
        for tags in places.values() {
            let store = self.stores.open(tags[0]).await?;
            let mut current = Vec::new();
            for tag in tags {
                current.push(store.current(tag).await?);
            }
            let mut identity = store.identity(image);
            if current.iter().any(|current| current.as_ref() != Some(&identity)) {
                let written = store.write_from(image, tags, Source { store: &source, name: base }).await?;
                baked.changed = true;
                baked.warnings.extend(written.warnings);
                identity = written.identity.unwrap_or(identity);
            }
            baked.tags.extend(tags.iter().map(|tag| BakedTag {
                name: (*tag).clone(),
                digest: identity.clone(),
                pushed: None,
            }));
        }
        Ok(())
    }

    /// Pushes every tag that is not in a registry yet; returns why one could not be.
    async fn push(&self, tags: &mut [BakedTag]) -> Vec<Diagnostic> {
        let mut refused = Vec::new();
        for tag in tags {
            match self.stores.push(&tag.name, &self.progress).await {
                Ok(digest) => tag.pushed = digest,
                Err(error) => refused.push(diagnosis(error)),
            }
        }
        refused
    }
}

fn base_of(image: &ImagePlan) -> &ImageName {
    image.base.as_ref().unwrap_or(&ImageName::Scratch)
}

/// Returns the paths that must still be looked up in the base before the image can be composed.
fn missing(image: &ImagePlan, ground: &Ground) -> Result<BTreeSet<String>, ImageError> {
    let env_path = (image.inject == Inject::File).then_some(image.env_path.as_str());
    let paths = image.files.iter().map(|file| file.path.as_str()).chain(env_path);
    let access = image.files.iter().map(|file| &file.access).chain([&image.access]);
    questions(&ground.base, paths, access)?.missing(&ground.tree)
}

fn diagnosis(error: StoreError) -> Diagnostic {
    *error.0
}

fn image_problem(name: &ImageName, error: &ImageError) -> Diagnostic {
    Diagnostic::error("base", format!("cannot bake onto {name}: {error}")).hint(error.hint())
}

fn refused(plan: &ImagePlan, name: &str, why: &str) -> Diagnostic {
    let place = plan.variables.iter().find(|variable| variable.name == name).map(|variable| variable.place.clone());
    let diagnostic = Diagnostic::error("cannot-carry", format!("the format cannot carry the value: {why}"))
        .hint("choose another `format:` (env0, shell and json carry every text), or `inject: launcher`");
    Diagnostic { place, ..diagnostic }
}
