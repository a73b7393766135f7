//! Owns the plan: which secrets are read once for all manifests, and what goes where in each image.
//!
//! It is pure; `--dry-run` prints it, and everything after it only carries it out.

pub mod json;
pub mod text;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::diagnostic::{Diagnostic, Place};
use crate::image::access::Access;
use crate::image::env_file::{self, Format};
use crate::image::index;
use crate::image::name::ImageName;
use crate::image::platform::Platforms;
use crate::manifest::reference::{Reference, SecretId, Selector};
use crate::manifest::yaml::{Position, join, place};
use crate::manifest::{Encoding, Inject, Manifest, SecretUse, VariableSource, Version};
use crate::org::{NoCredential, Org, listed, without_org_file};
use crate::secret::SecretBytes;

/// What is done for all manifests of one run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Each distinct secret and version once, in the order of their first use.
    pub reads: Vec<Read>,
    /// In the order of the manifests.
    pub images: Vec<ImagePlan>,
    pub platforms: Platforms,
}

impl Plan {
    /// Returns every use of a secret, in the plan's order: images, their variables, their files.
    pub fn uses(&self) -> impl Iterator<Item = &Use> {
        self.images.iter().flat_map(|image| {
            let of_variables = image.variables.iter().filter_map(|variable| variable.source.secret());
            of_variables.chain(image.files.iter().map(|file| &file.source))
        })
    }
}

/// One read of one version of a secret with one credential.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Read {
    /// The credential's index in the org file.
    pub credential: usize,
    pub id: SecretId,
    pub version: Version,
}

/// What one manifest becomes.
#[derive(Debug, Clone)]
pub struct ImagePlan {
    /// The manifest's file name.
    pub file: String,
    /// `None` only where the plan is made for reading, not for baking.
    pub base: Option<ImageName>,
    pub tags: Vec<ImageName>,
    pub inject: Inject,
    pub format: Format,
    /// The env file's path in the image.
    pub env_path: String,
    pub access: Access,
    /// In the order of the manifest.
    pub variables: Vec<PlannedVariable>,
    /// In the order of the manifest.
    pub files: Vec<PlannedFile>,
}

/// A variable and where its value comes from.
#[derive(Debug, Clone)]
pub struct PlannedVariable {
    pub name: String,
    pub place: Place,
    pub source: PlannedSource,
}

/// A value in the clear, or a part of a read.
#[derive(Debug, Clone)]
pub enum PlannedSource {
    Plain(String),
    Secret(Use),
}

impl PlannedSource {
    /// Returns the use of a secret, where it is one.
    pub fn secret(&self) -> Option<&Use> {
        match self {
            PlannedSource::Secret(usage) => Some(usage),
            PlannedSource::Plain(_) => None,
        }
    }
}

/// A file and the read that its content is a part of.
#[derive(Debug, Clone)]
pub struct PlannedFile {
    pub path: String,
    pub source: Use,
    pub access: Access,
}

/// The use of a read.
#[derive(Debug, Clone)]
pub struct Use {
    /// The index in [`Plan::reads`].
    pub read: usize,
    pub selector: Selector,
    pub encoding: Encoding,
    pub optional: bool,
    /// The place of the reference, for diagnostics.
    pub place: Place,
}

/// What the invocation says over the manifests.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub base: Option<ImageName>,
    pub tags: Vec<ImageName>,
    pub platforms: Platforms,
    /// Whether the tags are pushed.
    pub push: bool,
}

/// Makes the plan.
///
/// `needs_images`: whether a missing base or tag is a problem, as it is for a bake.
///
/// # Errors
/// Every problem that only manifests, org file and invocation together show.
pub fn plan(
    manifests: &[Manifest],
    org: &Org,
    overrides: &Overrides,
    needs_images: bool,
) -> Result<Plan, Vec<Diagnostic>> {
    let mut planner = Planner { org, reads: Vec::new(), indices: HashMap::new(), problems: Vec::new() };
    let images = manifests.iter().map(|manifest| planner.image(manifest, overrides, needs_images)).collect();
    let mut plan = Plan { reads: planner.reads, images, platforms: overrides.platforms.clone() };
    let mut problems = planner.problems;
    if plan.platforms == Platforms::All {
        every_name_can_hold_an_index(&plan.images, &mut problems);
    }
    standard_input_has_one_use(&plan.images, org, &mut problems);
    plain_values_can_be_carried(&plan.images, &mut problems);
    if overrides.push {
        every_tag_can_be_pushed(&plan.images, &mut problems);
    }
    if manifests.len() > 1 && !overrides.tags.is_empty() {
        problems.push(
            Diagnostic::error("shared-tag", "--tag with more than one manifest: their images would replace each other")
                .hint("write the tags in the manifests, or bake one manifest at a time"),
        );
    } else {
        targets_are_distinct(&plan.images, &mut problems);
    }
    if problems.is_empty() {
        for image in &mut plan.images {
            let mut seen = BTreeSet::new();
            image.tags.retain(|tag| seen.insert(tag.clone()));
        }
        Ok(plan)
    } else {
        Err(problems)
    }
}

struct Planner<'a> {
    org: &'a Org,
    reads: Vec<Read>,
    indices: HashMap<Read, usize>,
    problems: Vec<Diagnostic>,
}

impl Planner<'_> {
    fn image(&mut self, manifest: &Manifest, overrides: &Overrides, needs_images: bool) -> ImagePlan {
        let image = &manifest.image;
        let base = overrides.base.clone().or_else(|| image.base.as_ref().map(|base| base.value.clone()));
        let tags = match &overrides.tags[..] {
            [] => image.tags.iter().map(|tag| tag.value.clone()).collect(),
            tags => tags.to_vec(),
        };
        let start = Position { line: 1, column: 1, offset: 0 };
        let mut missing = |path: &str, what: &str, hint: &str| {
            let place = place(&manifest.file, start, path.to_owned());
            self.problems.push(Diagnostic::error("no-image", what).at(place).hint(hint));
        };
        let needs_images = needs_images && !image.broken;
        if needs_images && base.is_none() {
            missing("image.base", "no base image", "write `base: NAME:TAG` under `image:`, or give --base");
        }
        if needs_images && tags.is_empty() {
            missing(
                "image.tags",
                "no tag for the baked image",
                "write `tags: [NAME:TAG]` under `image:`, or give --tag",
            );
        }
        let variables = manifest
            .env
            .iter()
            .filter_map(|variable| {
                let source = match &variable.source {
                    VariableSource::Plain(value) => PlannedSource::Plain(value.clone()),
                    VariableSource::Secret(secret) => {
                        let path = join("env", &variable.name);
                        PlannedSource::Secret(self.secret(manifest, &path, secret)?)
                    }
                };
                let place = place(&manifest.file, variable.at, join("env", &variable.name));
                Some(PlannedVariable { name: variable.name.clone(), place, source })
            })
            .collect();
        let files = manifest
            .files
            .iter()
            .filter_map(|file| {
                let path = join("files", &file.path);
                let source = self.secret(manifest, &path, &file.secret)?;
                Some(PlannedFile { path: file.path.clone(), source, access: file.access.clone() })
            })
            .collect();
        ImagePlan {
            file: manifest.file.clone(),
            base,
            tags,
            inject: image.inject,
            format: image.format,
            env_path: image.path.clone().unwrap_or_else(|| crate::manifest::ENV_PATH.to_owned()),
            access: image.access.clone(),
            variables,
            files,
        }
    }

    fn secret(&mut self, manifest: &Manifest, path: &str, secret: &SecretUse) -> Option<Use> {
        let Reference { id, selector } = &secret.reference.value;
        let at_reference = place(&manifest.file, secret.reference.at, path.to_owned());
        let name = secret.credential.as_ref().map(|name| name.value.as_str());
        let credential = match self.org.choose(name, secret.provider.as_ref().map(|provider| provider.value)) {
            Ok(credential) => credential,
            Err(unchosen) => {
                let at = secret.credential.as_ref().map_or(secret.reference.at, |name| name.at);
                let problem = self.unchosen(name, unchosen);
                self.problems.push(problem.at(place(&manifest.file, at, path.to_owned())));
                return None;
            }
        };
        let chosen = &self.org.credentials[credential];
        if let (Some(of_arn), Some(of_credential)) = (id.region(), chosen.region())
            && of_arn != of_credential
        {
            let what = format!("the secret is in {of_arn}, the credential `{}` reads {of_credential}", chosen.name);
            let hint = format!("name a credential with `region: {of_arn}`, or the secret's replica in {of_credential}");
            self.problems.push(Diagnostic::error("region-mismatch", what).at(at_reference).hint(hint));
            return None;
        }
        let read = Read { credential, id: id.clone(), version: secret.version.clone() };
        let next = self.reads.len();
        let index = *self.indices.entry(read.clone()).or_insert(next);
        if index == next {
            self.reads.push(read);
        }
        Some(Use {
            read: index,
            selector: selector.clone(),
            encoding: secret.encoding,
            optional: secret.optional,
            place: at_reference,
        })
    }

    fn unchosen(&self, name: Option<&str>, unchosen: NoCredential) -> Diagnostic {
        match unchosen {
            NoCredential::Unknown => self.org.unknown(name.unwrap_or_default()),
            NoCredential::OtherProvider { provider } => Diagnostic::error(
                "other-provider",
                format!("the credential `{}` is of provider {}", name.unwrap_or_default(), provider.name()),
            )
            .hint("leave `provider` out, or name a credential of that provider"),
            NoCredential::NoDefault { provider, candidates } => {
                let what = format!("no credential found: no default for provider {}", provider.name());
                let diagnostic = Diagnostic::error("no-credential", what);
                match &candidates[..] {
                    [] if self.org.file.is_empty() => without_org_file(diagnostic),
                    [] => diagnostic.hint(format!("add a credential of that provider to {}", self.org.file)),
                    names => diagnostic.hint(format!(
                        "write `default: true` at one of {} in {}, or `credential: NAME` here",
                        listed(names),
                        self.org.file
                    )),
                }
            }
        }
    }
}

/// With all platforms: an engine, `docker save` and scratch have one platform's image under a name.
fn every_name_can_hold_an_index(images: &[ImagePlan], problems: &mut Vec<Diagnostic>) {
    for image in images {
        let base = image.base.iter().map(|base| (base, "image.base"));
        for (name, path) in base.chain(image.tags.iter().map(|tag| (tag, "image.tags"))) {
            let holds = match name {
                ImageName::Registry(_) | ImageName::Layout { .. } | ImageName::OciArchive { .. } => true,
                ImageName::DockerArchive { .. } | ImageName::Engine(_) | ImageName::Scratch => false,
            };
            if !holds {
                let what = format!("--all-platforms: `{name}` stands for the image of one platform");
                let start = Position { line: 1, column: 1, offset: 0 };
                let place = place(&image.file, start, path.to_owned());
                problems.push(Diagnostic::error("one-platform", what).at(place).hint(index::WHERE));
            }
        }
    }
}

/// With `inject: file`: the format carries every plain value. Of secret ones the bake says it.
fn plain_values_can_be_carried(images: &[ImagePlan], problems: &mut Vec<Diagnostic>) {
    for image in images.iter().filter(|image| image.inject == Inject::File) {
        problems.extend(image.variables.iter().filter_map(|variable| {
            let PlannedSource::Plain(text) = &variable.source else { return None };
            let why = env_file::refusal(image.format, &variable.name, &SecretBytes::from(text.clone()))?;
            Some(env_file::refused(why).at(variable.place.clone()))
        }));
    }
}

/// With --push: a registry or an engine holds the image, and not a file.
fn every_tag_can_be_pushed(images: &[ImagePlan], problems: &mut Vec<Diagnostic>) {
    for tag in images.iter().flat_map(|image| &image.tags).filter(|tag| tag.is_file()) {
        let what = format!("--push cannot push {tag}: it is a file, not an image of an engine");
        let problem = Diagnostic::error("not-pushable", what);
        problems.push(problem.hint("leave --push out, or bake to NAME:TAG or docker://HOST/REPO:TAG"));
    }
}

/// What one image writes no other may write too, and no two kinds of archives are one file.
fn targets_are_distinct(images: &[ImagePlan], problems: &mut Vec<Diagnostic>) {
    let mut owners: BTreeMap<String, (usize, &ImageName)> = BTreeMap::new();
    for (number, image) in images.iter().enumerate() {
        for tag in &image.tags {
            let (owner, first) = *owners.entry(tag.replaces()).or_insert((number, tag));
            if owner == number && first.place() == tag.place() {
                continue;
            }
            let what = format!("{tag} is also written by {}, as {first}", images[owner].file);
            let start = Position { line: 1, column: 1, offset: 0 };
            let place = place(&image.file, start, "image.tags".to_owned());
            let problem = Diagnostic::error("shared-tag", what).at(place);
            problems.push(problem.hint("give each image its own tag, and each archive its own file"));
        }
    }
}

/// An org file or one base can come on standard input, which is read once.
fn standard_input_has_one_use(images: &[ImagePlan], org: &Org, problems: &mut Vec<Diagnostic>) {
    let bases: BTreeSet<String> = images
        .iter()
        .filter_map(|image| image.base.as_ref())
        .filter(|base| base.is_standard())
        .map(ToString::to_string)
        .collect();
    let uses: Vec<String> = (org.file == "-").then(|| "--org -".to_owned()).into_iter().chain(bases).collect();
    if uses.len() > 1 {
        let what = format!("standard input can be read once, not by {}", uses.join(" and by "));
        problems.push(Diagnostic::error("shared-input", what).hint("name a file for all of them but one"));
    }
}
