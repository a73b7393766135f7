//! Owns the pipeline of a rebake: read images, take their bakes off, plan each, tell which are due, and plan and bake those again together.
//!
//! It reads no manifest and no base: an image holds what is needed of both (`image::recipe`). The bake itself is `bake`'s.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::bake::{Bake, Bases, BasesByName};
use super::drift::describe::Described;
use super::drift::{State, findings};
use super::report::{ImageNeed, Need, Outcomes, Reseal};
use crate::diagnostic::{Diagnostic, Severity};
use crate::image::index::BaseIndex;
use crate::image::name::ImageName;
use crate::image::platform::{Platform, Platforms};
use crate::image::provenance::{Provenance, SealOrigin};
use crate::image::recipe::{RecipeError, TakenOff, take_off};
use crate::image::{Base, KnownBase};
use crate::manifest::yaml::{Position, Positioned};
use crate::manifest::{self, Manifest, is_target};
use crate::org::Org;
use crate::plan::{ENGINE_BASE, Overrides, Plan, SEAL_IN_CONFIG, SEAL_REQUIRED, plan};
use crate::secrets::Provider;
use crate::store::ImageStore as _;
use crate::store::any::Stores;
use futures_util::{StreamExt as _, stream};

/// An image without its bake, and how it is baked again.
pub struct BakedAgain {
    pub name: ImageName,
    index: Option<BaseIndex>,
    bases: Vec<KnownBase>,
    /// Of each platform.
    provenances: Vec<Provenance>,
    /// With the names of the image as base and tag.
    manifest: Manifest,
}

impl BakedAgain {
    /// Returns what was baked into the image of each platform.
    pub fn provenances(&self) -> impl Iterator<Item = &Provenance> {
        self.provenances.iter()
    }

    /// Returns whether the image has to be baked again, and why. `plan` is the image's own; without `described` it has to be.
    pub fn need(&self, plan: &Plan, described: Option<&Described>) -> ImageNeed {
        let mut need = match described {
            Some(described) => self.need_of_secrets(described),
            None => ImageNeed { need: Need::Due, ..ImageNeed::default() },
        };
        need.reseal = self.reseal(plan);
        if need.reseal.is_some() {
            need.need = Need::Due;
        }
        need
    }

    /// Returns for whom the image is to be sealed, if it is not sealed for them.
    fn reseal(&self, plan: &Plan) -> Option<Reseal> {
        let wanted = plan.images.iter().find_map(|image| image.seal.as_deref()).map(SealOrigin::new)?;
        let other = self.provenances.iter().find(|one| one.seal.as_ref() != Some(&wanted))?;
        Some(Reseal { recipients: wanted.recipients, was_sealed: other.seal.is_some() })
    }

    /// Returns what was found of the first platform that is not current.
    fn need_of_secrets(&self, described: &Described) -> ImageNeed {
        let mut all = self.provenances.iter().map(|one| {
            let found = findings(one, &described.known, &described.below);
            let has = |wanted: fn(State) -> bool| found.iter().any(|finding| wanted(finding.state));
            let need = match () {
                () if has(State::drifted) => Need::Due,
                () if has(|state| state == State::Unknown) => Need::Unknown,
                () if has(|state| state == State::Untracked) => Need::Due,
                () => Need::Current,
            };
            let findings = found.into_iter().filter(|one| one.state != State::Current).collect();
            ImageNeed { need, findings, reseal: None }
        });
        all.find(|one| one.need != Need::Current).unwrap_or_default()
    }
}

/// Reads images, `jobs` at once, and takes their bakes off: of an index all images, or the one for `platform`. `tags` replace the images'
/// own names.
pub async fn read_all(
    stores: &Stores,
    names: &[ImageName],
    platform: Option<&Platform>,
    tags: &[ImageName],
    jobs: usize,
) -> Vec<Result<BakedAgain, Vec<Diagnostic>>> {
    let platforms = &platform.cloned().map_or(Platforms::All, Platforms::One);
    stream::iter(names).map(|name| read(stores, name, platforms, tags)).buffered(jobs.max(1)).collect().await
}

async fn read(
    stores: &Stores,
    name: &ImageName,
    platforms: &Platforms,
    tags: &[ImageName],
) -> Result<BakedAgain, Vec<Diagnostic>> {
    let tags = if tags.is_empty() { vec![own_tag(name).map_err(|problem| vec![problem])?] } else { tags.to_vec() };
    let refuse = |error: crate::store::StoreError| vec![*error.0];
    let store = stores.open(name).await.map_err(refuse)?;
    let (index, images) = store.read(name, platforms).await.map_err(refuse)?.into_parts();
    let index = index.filter(|index| !index.is_front_of(&images));
    let taken = images.into_iter().map(|image: Base| take_off(image));
    let taken = taken.collect::<Result<Vec<TakenOff>, _>>().map_err(|error| vec![refused(name, &error)])?;
    let Some(text) = taken.first().map(|first| first.manifest.clone()) else {
        return Err(vec![refused(name, &RecipeError::Malformed)]);
    };
    if taken.iter().any(|other| other.manifest != text) {
        let what = format!("cannot rebake {name}: its platforms were baked from different manifests");
        return Err(vec![Diagnostic::error("not-one-bake", what).hint("rebake each platform's image by its digest")]);
    }
    let (manifest, problems) = manifest::read(&name.to_string(), text.as_bytes());
    let is_wrong = problems.iter().any(|problem| problem.severity == Severity::Error);
    let Some(mut manifest) = manifest.filter(|_| !is_wrong) else {
        return Err(vec![refused(name, &RecipeError::Malformed)]);
    };
    let named = |name: ImageName| Positioned { value: name, at: Position { line: 1, column: 1, offset: 0 } };
    manifest.image.base = Some(named(name.clone()));
    manifest.image.tags = tags.into_iter().map(named).collect();
    let (mut bases, mut provenances) = (Vec::new(), Vec::new());
    for TakenOff { base, provenance, .. } in taken {
        bases.push(base);
        provenances.push(provenance);
    }
    Ok(BakedAgain { name: name.clone(), index, bases, provenances, manifest })
}

fn refused(name: &ImageName, error: &RecipeError) -> Diagnostic {
    let what = format!("cannot rebake {name}: {error}");
    Diagnostic::error("not-rebakeable", what).hint(error.hint(&name.to_string()))
}

/// Returns the name under which an image is replaced.
pub fn own_tag(name: &ImageName) -> Result<ImageName, Diagnostic> {
    let has_tag = match name {
        ImageName::Layout { tag, .. } | ImageName::OciArchive { tag, .. } => tag.is_some(),
        ImageName::DockerArchive { name, .. } => name.is_some(),
        _ => true,
    };
    let why = match is_target(name) {
        Ok(()) if has_tag => return Ok(name.clone()),
        Ok(()) => "it has no tag to move",
        Err(why) => why,
    };
    let problem = Diagnostic::error("no-tag", format!("cannot rebake {name} in its place: {why}"));
    let by_tag = name.without_digest();
    Err(match by_tag == *name {
        true => problem.hint("name the tag to write with --tag"),
        false => problem.hint(format!("write {by_tag}, or name the tag to write with --tag")),
    })
}

/// Plans images: what each secret of theirs is read for, once for all of them.
pub fn plan_all<'a>(
    images: impl IntoIterator<Item = &'a BakedAgain>,
    org: &Org,
    overrides: &Overrides,
) -> Result<Plan, Vec<Diagnostic>> {
    let manifests: Vec<Manifest> = images.into_iter().map(|image| image.manifest.clone()).collect();
    plan(&manifests, org, overrides, true).map_err(|mut problems| {
        for problem in &mut problems {
            without_line(problem);
            without_manifest(problem);
        }
        problems
    })
}

/// Replaces a next step that needs the manifest, which is not at hand.
fn without_manifest(problem: &mut Diagnostic) {
    let hint = match problem.code {
        SEAL_REQUIRED => Some("give the recipients: --seal-to AGE1|FILE"),
        SEAL_IN_CONFIG => Some("bake it from its manifest with `inject: launcher` or `inject: file`"),
        // the image itself is the base
        ENGINE_BASE => None,
        _ => return,
    };
    if let Some(hint) = hint {
        problem.hints = vec![hint.to_owned()];
    }
    if let Some(place) = &mut problem.place {
        place.path.clear();
    }
}

/// Takes the line and column from a problem's place: they are those of a label.
fn without_line(problem: &mut Diagnostic) {
    if let Some(place) = &mut problem.place {
        (place.line, place.column) = (0, 0);
    }
}

/// Bakes the images of a plan onto what is left of them. Returns how many secrets were read.
pub async fn rebake<P: Provider + Sync>(bake: &Bake<'_, P>, images: Vec<BakedAgain>, outcomes: &Outcomes) -> usize {
    let mut left: BTreeMap<ImageName, Bases> = BTreeMap::new();
    for BakedAgain { name, index, bases, .. } in images {
        left.insert(name, Bases::known(index, bases));
    }
    let names = bake.plan.images.iter().filter_map(|image| Some(&image.base.as_ref()?.name));
    let bases: BasesByName<'_> = names.filter_map(|name| Some((name, Ok(left.remove(name)?)))).collect();
    let read = bake.run_on(std::future::ready(bases), outcomes).await;
    let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
    for problem in outcomes.values_mut().flat_map(|outcome| outcome.problems_mut().iter_mut()) {
        without_line(problem);
    }
    read
}
