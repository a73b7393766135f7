//! Finds the images of a fleet, and reads what their labels say: each image once, whatever names or uses it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _, stream};

use crate::diagnostic::{Diagnostic, ForeignText};
use crate::image::labels::ImageLabels;
use crate::image::name::{ImageName, Repository};
use crate::image::platform::Platforms;
use crate::image::provenance::ProvenanceError;
use crate::ops::import::images::UsedImage;
use crate::store::any::Stores;
use crate::store::{LabelReads, NOT_FOUND, StoreError};

/// How many repositories are listed at once.
const LISTS_AT_ONCE: usize = 8;

/// Where images of a fleet come from.
pub enum Source {
    /// One image, which the user names.
    Named(ImageName),
    /// The tags of a repository that match a pattern.
    Repository(Repository, TagPattern),
    /// Every baked image of the engine.
    Engine,
    /// The images of the engine's running containers.
    Running,
    /// The images that other tools' files name.
    Used(Vec<UsedImage>),
}

/// A pattern for tags: `*` matches any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPattern(String);

impl TagPattern {
    /// Parses a pattern; `None` if no tag can match it.
    pub fn parse(text: &str) -> Option<Self> {
        let is_tag = |c: char| c.is_ascii_alphanumeric() || "_.-*".contains(c);
        ((1..=256).contains(&text.len()) && text.chars().all(is_tag)).then(|| TagPattern(text.to_owned()))
    }

    fn matches(&self, tag: &str) -> bool {
        crate::org::allow::matches(&self.0, tag)
    }
}

/// An image of a fleet.
pub struct FleetImage {
    /// Its place among all that were found.
    pub place: usize,
    name: ImageName,
    /// As the user or the fleet names it.
    pub shown: String,
    /// What runs it, such as `Deployment prod/web (api)`.
    pub used_by: Vec<String>,
    /// Whether no tag of the engine names it.
    pub is_untagged: bool,
    /// What its labels say; `None` if secretbake did not bake it and the user did not name it.
    pub labels: Option<Result<ImageLabels, Diagnostic>>,
}

/// An image that is not read yet.
pub struct Found {
    name: ImageName,
    shown: String,
    used_by: Vec<String>,
    is_named: bool,
    is_untagged: bool,
    labels: Option<ImageLabels>,
}

/// The images in the order in which they were found, without repetitions.
#[derive(Default)]
struct FoundImages {
    all: Vec<Found>,
    by_name: HashMap<(ImageName, String), usize>,
}

impl FoundImages {
    fn add(&mut self, found: Found) {
        match self.by_name.entry((found.name.clone(), found.shown.clone())) {
            Entry::Vacant(vacant) => {
                vacant.insert(self.all.len());
                self.all.push(found);
            }
            Entry::Occupied(occupied) => {
                let known = &mut self.all[*occupied.get()];
                known.is_named |= found.is_named;
                known.used_by.extend(found.used_by);
            }
        }
    }

    /// Adds an image that has to be read.
    fn name(&mut self, name: ImageName, used_by: Option<String>, is_named: bool) {
        let shown = name.to_string();
        let used_by = used_by.map(|user| ForeignText::name(user).into()).into_iter().collect();
        self.add(Found { name, shown, used_by, is_named, is_untagged: false, labels: None });
    }
}

/// Finds the images of the sources. Returns why a source could not be listed, too.
pub async fn find(stores: &Stores, sources: Vec<Source>) -> (Vec<Found>, Vec<Diagnostic>) {
    let mut found = FoundImages::default();
    let mut problems = Vec::new();
    let listed = sources.into_iter().map(|source| list(stores, source));
    let listed: Vec<_> = stream::iter(listed).buffered(LISTS_AT_ONCE).collect().await;
    for source in listed {
        match source {
            Ok(images) => images.all.into_iter().for_each(|image| found.add(image)),
            Err(error) => problems.push(*error.0),
        }
    }
    (found.all, problems)
}

/// Reads the labels of images, `jobs` manifests and as many configs at a time, and returns each image as soon as it is read.
pub fn read(stores: &Stores, found: Vec<Found>, platforms: &Platforms, jobs: usize) -> impl Stream<Item = FleetImage> {
    // some wait for each kind while others are read
    let at_once = jobs.saturating_mul(4);
    let reads = Arc::new(LabelReads::new(jobs));
    let read = found.into_iter().enumerate().map(move |(place, image)| {
        let reads = Arc::clone(&reads);
        async move { labelled(stores, place, image, platforms, &reads).await }
    });
    stream::iter(read).buffer_unordered(at_once)
}

async fn list(stores: &Stores, source: Source) -> Result<FoundImages, StoreError> {
    let mut found = FoundImages::default();
    match source {
        Source::Named(name) => found.name(name, None, true),
        Source::Repository(repository, pattern) => {
            let mut tags = stores.tags(&repository).await?;
            // some registries list them in no order
            tags.sort();
            let matching = tags.into_iter().filter(|image| image.tag().is_some_and(|tag| pattern.matches(tag)));
            matching.for_each(|image| found.name(ImageName::Registry(image), None, false));
            if found.all.is_empty() {
                let what = format!("no tag of docker://{} matches {}", repository.bare(), pattern.0);
                let problem = Diagnostic::error("no-tag-matches", what);
                return Err(problem
                    .hint("check the pattern: `*` is any characters, and alone matches every tag")
                    .into());
            }
        }
        Source::Engine => {
            for image in stores.baked_images().await? {
                for shown in image.names {
                    let Ok(name) = ImageName::parse(&shown) else { continue };
                    let (is_untagged, labels) = (shown.starts_with("sha256:"), Some(image.labels.clone()));
                    found.add(Found { name, shown, used_by: Vec::new(), is_named: false, is_untagged, labels });
                }
            }
        }
        Source::Running => {
            for container in stores.running().await? {
                let Ok(name) = ImageName::parse(container.image_id.as_str()) else { continue };
                let used_by = vec![format!("container {}", ForeignText::name(&container.name))];
                let shown = ForeignText::name(&container.image).into();
                found.add(Found { name, shown, used_by, is_named: false, is_untagged: false, labels: None });
            }
        }
        Source::Used(images) => {
            images.into_iter().for_each(|image| found.name(image.name, Some(image.used_by), false));
        }
    }
    Ok(found)
}

async fn labelled(
    stores: &Stores,
    place: usize,
    found: Found,
    platforms: &Platforms,
    reads: &LabelReads,
) -> FleetImage {
    let Found { name, shown, used_by, is_named, is_untagged, labels } = found;
    let labels = match labels {
        Some(labels) => Ok(labels),
        None => stores.labels(&name, platforms, reads).await,
    };
    let labels = match labels {
        Ok(ImageLabels { provenance: Err(ProvenanceError::NotBaked), .. }) if !is_named => None,
        Ok(ImageLabels { provenance: Err(error), .. }) => Some(Err(not_baked(&shown, error))),
        Ok(labels) => Some(Ok(labels)),
        Err(error) => Some(Err(with_tags_hint(*error.0, &name))),
    };
    FleetImage { place, name, shown, used_by, is_untagged, labels }
}

impl FleetImage {
    /// Tells whether something was built on top of the baked image. If the engine's list gave the labels, the image is read now.
    pub async fn is_built_on_top(&self, stores: &Stores, platforms: &Platforms) -> bool {
        let known = self.labels.as_ref().and_then(|labels| labels.as_ref().ok()).map(|labels| labels.is_built_on_top);
        match known {
            Some(None) => {
                let read = stores.labels(&self.name, platforms, &LabelReads::new(1)).await;
                read.is_ok_and(|labels| labels.is_built_on_top == Some(true))
            }
            known => known.flatten() == Some(true),
        }
    }
}

/// Adds to the problem of a repository without the tag `latest` how to check its other tags.
fn with_tags_hint(problem: Diagnostic, name: &ImageName) -> Diagnostic {
    match name {
        ImageName::Registry(repository) if repository.is_bare() && problem.code == NOT_FOUND => {
            problem.hint("to check all tags of the repository, add --tags '*'")
        }
        _ => problem,
    }
}

/// Says why an image does not tell what was baked into it.
pub fn not_baked(shown: &str, error: ProvenanceError) -> Diagnostic {
    Diagnostic::error("not-baked", format!("cannot tell what was baked into {shown}: {error}")).hint(error.hint())
}
