//! Owns the outcome of each image in a run, and the versioned JSON report. It contains no values.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::Serialize;

use crate::diagnostic::Diagnostic;
use crate::diagnostic::json::{Problem, json};
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::image::provenance::Provenance;
use crate::ops::drift::Finding;
use crate::store::Displaced;

/// The result of baking one manifest.
pub struct Outcome {
    /// The manifest's file name.
    pub file: String,
    pub base: Option<ImageName>,
    pub tags: Vec<ImageName>,
    pub result: Result<BakedImage, FailedImage>,
    /// Whether the work is finished; if not, the run was interrupted.
    pub finished: bool,
}

impl Outcome {
    /// Returns the images that lost a tag to it.
    pub fn displaced(&self) -> &[Displaced] {
        self.result.as_ref().map_or_else(|failed| &failed.displaced[..], |baked| &baked.displaced)
    }

    /// Returns the tags that name the new image.
    pub fn baked_tags(&self) -> &[BakedTag] {
        self.result.as_ref().map_or_else(|failed| &failed.tags[..], |baked| &baked.tags)
    }

    /// Returns its problems and warnings.
    pub fn problems(&self) -> &[Diagnostic] {
        self.result.as_ref().map_or_else(|failed| &failed.problems[..], |baked| &baked.warnings)
    }

    /// Returns its problems and warnings, mutable.
    pub fn problems_mut(&mut self) -> &mut Vec<Diagnostic> {
        self.result.as_mut().map_or_else(|failed| &mut failed.problems, |baked| &mut baked.warnings)
    }
}

/// The outcomes of a run so far, by the image's index in the plan.
pub type Outcomes = Mutex<BTreeMap<usize, Outcome>>;

/// An image that does not have all of its tags.
#[derive(Default)]
pub struct FailedImage {
    /// The tags that it has.
    pub tags: Vec<BakedTag>,
    pub displaced: Vec<Displaced>,
    /// Why it lacks the others, and warnings.
    pub problems: Vec<Diagnostic>,
}

impl From<Vec<Diagnostic>> for FailedImage {
    fn from(problems: Vec<Diagnostic>) -> Self {
        FailedImage { problems, ..FailedImage::default() }
    }
}

/// An image that has all of its tags.
pub struct BakedImage {
    /// The digest of the base.
    pub base: Option<Digest>,
    pub tags: Vec<BakedTag>,
    /// Whether anything was written.
    pub changed: bool,
    pub displaced: Vec<Displaced>,
    pub warnings: Vec<Diagnostic>,
    pub provenance: Provenance,
    /// Why a sealed image was baked again although nothing that can be compared has changed.
    pub baked_again: Option<String>,
}

/// A tag that names the baked image.
#[derive(Clone)]
pub struct BakedTag {
    pub name: ImageName,
    /// The image's digest or ID there.
    pub digest: Digest,
    /// Its digest in the registry that the engine pushed it to.
    pub pushed: Option<Digest>,
}

impl BakedTag {
    /// Returns the digest to use from other machines: the registry's, if it was pushed.
    pub fn published(&self) -> &Digest {
        self.pushed.as_ref().unwrap_or(&self.digest)
    }
}

/// The JSON report, version 1.
#[derive(Serialize)]
pub struct Report {
    version: u32,
    images: Vec<ImageReport>,
    /// The images that `--prune-replaced` removed: the ID in the engine, or `docker://HOST/REPO@DIGEST`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<String>,
    /// Problems that belong to no image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<Problem>,
}

#[derive(Serialize)]
struct ImageReport {
    manifest: String,
    /// `baked`, `unchanged` or `failed`.
    status: &'static str,
    base: Option<BaseReport>,
    tags: Vec<TagReport>,
    /// Why a sealed image was baked again although nothing that can be compared has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    baked_again: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<Provenance>,
    diagnostics: Vec<Problem>,
}

#[derive(Serialize)]
struct BaseReport {
    name: String,
    digest: Option<String>,
}

#[derive(Serialize)]
struct TagReport {
    name: String,
    /// `null` if the tag does not name the image.
    digest: Option<String>,
    /// Only for a tag that was pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pushed: Option<String>,
}

impl Report {
    /// Makes the report of a run; `others` are the problems that belong to no outcome.
    pub fn new(outcomes: &[Outcome], removed: &[String], others: &[Diagnostic]) -> Self {
        Report {
            version: 1,
            images: outcomes.iter().map(image).collect(),
            removed: removed.to_vec(),
            diagnostics: others.iter().map(Problem::from).collect(),
        }
    }

    /// Makes the report of a run that baked nothing because of invalid input; `files` are the manifests' names.
    pub fn refused(files: &[String], problems: &[Diagnostic]) -> Self {
        let file_of = |problem: &Diagnostic| problem.place.as_ref().map(|place| place.file.clone());
        let refused = |file: &String| ImageReport {
            manifest: file.clone(),
            status: "failed",
            base: None,
            tags: Vec::new(),
            baked_again: None,
            provenance: None,
            diagnostics: problems.iter().filter(|one| file_of(one).as_ref() == Some(file)).map(Problem::from).collect(),
        };
        let others = problems.iter().filter(|one| file_of(one).is_none_or(|file| !files.contains(&file)));
        Report {
            version: 1,
            images: files.iter().map(refused).collect(),
            removed: Vec::new(),
            diagnostics: others.map(Problem::from).collect(),
        }
    }

    /// Returns the report's text.
    pub fn to_json(&self) -> String {
        json(self)
    }
}

/// Whether an image has to be baked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// A version has drifted, or the provider gives its versions no IDs, so that only reading tells; or other recipients are to open it.
    Due,
    /// Every version is current.
    #[default]
    Current,
    /// A secret could not be described.
    Unknown,
}

/// Whether an image has to be baked again, and why.
#[derive(Debug, Default)]
pub struct ImageNeed {
    pub need: Need,
    /// What is not current.
    pub findings: Vec<Finding>,
    pub reseal: Option<Reseal>,
}

/// That an image is not sealed for those who are to open it.
#[derive(Debug, PartialEq, Eq)]
pub struct Reseal {
    /// The public keys of those who are.
    pub recipients: Vec<String>,
    /// Whether it is sealed for others.
    pub was_sealed: bool,
}

/// The JSON report of a rebake, version 1.
#[derive(Serialize)]
pub struct RebakeReport<'a> {
    version: u32,
    images: Vec<RebakedImage<'a>>,
    /// The images that `--prune-replaced` removed.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    removed: &'a [String],
    /// Problems that belong to no image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<Problem>,
}

#[derive(Serialize)]
struct RebakedImage<'a> {
    image: String,
    /// `rebaked`, `unchanged`, `failed`, or of an image that was left: `due`, `current` or `unknown`.
    status: &'static str,
    findings: &'a [Finding],
    /// The recipients, if it is not sealed for them yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    seal_for: Option<&'a [String]>,
    tags: Vec<TagReport>,
    /// Why a sealed image was rebaked although nothing that can be compared has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    baked_again: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<Provenance>,
    diagnostics: Vec<Problem>,
}

impl RebakedImage<'_> {
    /// Returns an image that was not written.
    fn untouched(image: String, status: &'static str) -> Self {
        RebakedImage {
            image,
            status,
            findings: &[],
            seal_for: None,
            tags: Vec::new(),
            baked_again: None,
            provenance: None,
            diagnostics: Vec::new(),
        }
    }
}

impl<'a> RebakeReport<'a> {
    /// Makes the report of a run, in the order of `needs`; `others` are the problems that belong to no image.
    pub fn new(
        needs: &'a [(ImageName, Option<ImageNeed>)],
        outcomes: &[Outcome],
        removed: &'a [String],
        others: &[Diagnostic],
    ) -> Self {
        let images = needs.iter().map(|(name, need)| {
            let name = name.to_string();
            let findings = need.as_ref().map_or(&[][..], |need| &need.findings);
            let seal_for = need.as_ref().and_then(|need| Some(&need.reseal.as_ref()?.recipients[..]));
            if let Some(outcome) = outcomes.iter().find(|outcome| outcome.file == name) {
                let ImageReport { status, tags, baked_again, provenance, diagnostics, .. } = image(outcome);
                let status = if status == "baked" { "rebaked" } else { status };
                return RebakedImage {
                    image: name,
                    status,
                    findings,
                    seal_for,
                    tags,
                    baked_again,
                    provenance,
                    diagnostics,
                };
            }
            let status = match need.as_ref().map(|need| need.need) {
                Some(Need::Due) => "due",
                Some(Need::Current) => "current",
                Some(Need::Unknown) | None => "unknown",
            };
            RebakedImage { findings, seal_for, ..RebakedImage::untouched(name, status) }
        });
        let diagnostics = others.iter().map(Problem::from).collect();
        RebakeReport { version: 1, images: images.collect(), removed, diagnostics }
    }

    /// Makes the report of a run that rebaked nothing because of invalid input.
    pub fn refused(names: &[ImageName], problems: &[Diagnostic]) -> RebakeReport<'static> {
        let images = names.iter().map(|name| RebakedImage::untouched(name.to_string(), "failed"));
        let diagnostics = problems.iter().map(Problem::from).collect();
        RebakeReport { version: 1, images: images.collect(), removed: &[], diagnostics }
    }

    /// Returns the report's text.
    pub fn to_json(&self) -> String {
        json(self)
    }
}

fn image(outcome: &Outcome) -> ImageReport {
    let baked = outcome.result.as_ref().ok();
    let status = match baked {
        Some(baked) if baked.changed => "baked",
        Some(_) => "unchanged",
        None => "failed",
    };
    let digest = baked.and_then(|baked| baked.base.as_ref());
    let tag = |name: &ImageName| {
        let baked = outcome.baked_tags().iter().find(|tag| tag.name == *name);
        TagReport {
            name: name.to_string(),
            digest: baked.map(|tag| tag.digest.to_string()),
            pushed: baked.and_then(|tag| tag.pushed.as_ref()).map(Digest::to_string),
        }
    };
    ImageReport {
        manifest: outcome.file.clone(),
        status,
        base: outcome
            .base
            .as_ref()
            .map(|name| BaseReport { name: name.to_string(), digest: digest.map(Digest::to_string) }),
        tags: outcome.tags.iter().map(tag).collect(),
        baked_again: baked.filter(|baked| baked.changed).and_then(|baked| baked.baked_again.clone()),
        provenance: baked.map(|baked| baked.provenance.clone()),
        diagnostics: outcome.problems().iter().map(Problem::from).collect(),
    }
}
