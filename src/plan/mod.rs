//! Owns the plan: which secrets are read once for all manifests, and what goes where in each image.
//!
//! It is pure. `--dry-run` prints it and a bake carries it out; neither decides anything itself.

mod conflicts;
pub mod json;
pub mod recipe;
pub mod same_secret;
mod seal;
mod shown;
pub mod text;

pub use conflicts::{ENGINE_BASE, FROM_STANDARD_INPUT, shared_input};
pub use seal::{SEAL_IN_CONFIG, SEAL_REQUIRED};

use std::collections::{BTreeSet, HashMap};

use crate::diagnostic::{Diagnostic, Place};
use crate::image::access::Access;
use crate::image::env_file::Format;
use crate::image::name::ImageName;
use crate::image::platform::Platforms;
use crate::image::seal::Recipient;
use crate::manifest::reference::{Reference, SecretId, Selector};
use crate::manifest::yaml::{Position, Positioned, join, place};
use crate::manifest::{
    ENV_PATH, Encoding, EnvFrom, Inject, Manifest, Naming, Piece, ProviderKind, SecretSource, SecretUse,
    VariableSource, Version, part_path,
};
use crate::org::allow::NamePattern;
use crate::org::{NoCredential, Org, listed, without_org_file};

/// The work for all manifests of one run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Each distinct secret and version once, in the order of their first use.
    pub reads: Vec<Read>,
    /// In the order of the manifests.
    pub images: Vec<ImagePlan>,
    pub platforms: Platforms,
}

impl Plan {
    /// Returns every use of a secret, in the plan's order: images, their whole secrets, their variables, their files.
    pub fn uses(&self) -> impl Iterator<Item = &Use> {
        self.images.iter().flat_map(|image| image.env_from.iter().map(|entry| &entry.source).chain(image.uses()))
    }
}

/// One read of one version of a secret, or of everything below a path, with one credential.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Read {
    /// The credential's index in the org file.
    pub credential: usize,
    pub id: SecretId,
    pub version: Version,
    /// Whether `id` is a path, and every secret below it is read.
    pub is_path: bool,
}

/// The image of one manifest.
#[derive(Debug, Clone)]
pub struct ImagePlan {
    /// The manifest's file name.
    pub file: String,
    /// `None` only where the plan is made for reading, not for baking.
    pub base: Option<PlacedName>,
    /// Each name once.
    pub tags: Vec<PlacedName>,
    pub inject: Inject,
    /// Who the env file and the files are sealed for; `None` if they are not. It is empty only where the plan is made for reading and
    /// the command line of the bake must say it.
    pub seal: Option<Vec<Recipient>>,
    /// Whether the manifest says `seal: none`, which a rebake keeps whatever the org file says then.
    pub is_seal_refused: bool,
    /// Where the variables of [`Destination::EnvFile`] go; `None` if there are none.
    pub env_file: Option<EnvFilePlan>,
    /// In the order of the manifest.
    pub env_from: Vec<PlannedEnvFrom>,
    /// In the order of the manifest. One that has the name of another in `env_from` replaces it.
    pub variables: Vec<PlannedVariable>,
    /// In the order of the manifest.
    pub files: Vec<PlannedFile>,
}

impl ImagePlan {
    /// Returns every use of a secret but those of whole secrets: the variables', then the files'.
    pub fn uses(&self) -> impl Iterator<Item = &Use> {
        let of_variables = self.variables.iter().flat_map(|variable| variable.source.uses());
        of_variables.chain(self.files.iter().flat_map(|file| file.source.uses()))
    }

    /// Tells whether the launcher sets the variables of the env file.
    pub fn is_launched(&self) -> bool {
        self.inject == Inject::Launcher
    }

    /// Tells whether the launcher opens the files when a container starts.
    pub fn opens_files(&self) -> bool {
        self.is_launched() && self.seal.is_some()
    }

    /// Returns the names of the tags.
    pub fn tag_names(&self) -> impl Iterator<Item = &ImageName> {
        self.tags.iter().map(|tag| &tag.name)
    }
}

/// An image's name and the place that asks for it: in the manifest, or its first line if the command line gives the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedName {
    pub name: ImageName,
    pub place: Place,
}

/// The file that variables are written to.
#[derive(Debug, Clone)]
pub struct EnvFilePlan {
    /// Absolute.
    pub path: String,
    pub format: Format,
    pub access: Access,
    /// Where the manifest says its path and its owner.
    pub places: FilePlaces,
    /// Whether the launcher reads it and sets the variables; else only the application reads it.
    pub launched: bool,
}

/// Where a variable goes in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The config's Env, which anyone who can inspect the image sees.
    Config,
    EnvFile,
}

impl Destination {
    /// Returns the destination's name in JSON.
    fn name(self) -> &'static str {
        match self {
            Destination::Config => "config",
            Destination::EnvFile => "env-file",
        }
    }
}

/// A secret whose keys become variables, or a path whose secrets do.
#[derive(Debug, Clone)]
pub struct PlannedEnvFrom {
    pub source: Use,
    pub naming: Naming,
    pub destination: Destination,
}

/// A variable: where its value comes from, and where it goes.
#[derive(Debug, Clone)]
pub struct PlannedVariable {
    pub name: String,
    pub place: Place,
    pub source: PlannedSource,
    pub destination: Destination,
}

/// A value in the clear, or a secret one.
#[derive(Debug, Clone)]
pub enum PlannedSource {
    Plain(String),
    Secret(PlannedSecret),
}

/// A secret value: a part of one read, or a template with parts of several.
#[derive(Debug, Clone)]
pub enum PlannedSecret {
    One(Use),
    Template(PlannedTemplate),
}

/// A template, and the uses that its parts are.
#[derive(Debug, Clone)]
pub struct PlannedTemplate {
    /// As the manifest has it.
    pub text: String,
    pub place: Place,
    /// In the order of the text.
    pub pieces: Vec<Piece>,
    /// Each name with its use, in the order of the manifest. The pieces name them by index.
    pub parts: Vec<(String, Use)>,
}

impl PlannedSource {
    /// Returns every use of a secret: none for a plain value.
    pub fn uses(&self) -> impl Iterator<Item = &Use> {
        let secret = match self {
            PlannedSource::Secret(secret) => Some(secret),
            PlannedSource::Plain(_) => None,
        };
        secret.into_iter().flat_map(PlannedSecret::uses)
    }
}

impl PlannedSecret {
    /// Returns every use of a secret, in the order of the manifest.
    pub fn uses(&self) -> impl Iterator<Item = &Use> {
        let (one, parts) = match self {
            PlannedSecret::One(usage) => (Some(usage), &[][..]),
            PlannedSecret::Template(template) => (None, &template.parts[..]),
        };
        one.into_iter().chain(parts.iter().map(|(_, usage)| usage))
    }

    /// Returns the place of the reference or the template, for diagnostics.
    pub fn place(&self) -> &Place {
        match self {
            PlannedSecret::One(usage) => &usage.place,
            PlannedSecret::Template(template) => &template.place,
        }
    }
}

/// A file and its content.
#[derive(Debug, Clone)]
pub struct PlannedFile {
    pub path: String,
    pub source: PlannedSecret,
    pub access: Access,
    pub places: FilePlaces,
}

/// Where a manifest says the path and the owner of a file; `None` for what it does not say.
#[derive(Debug, Clone)]
pub struct FilePlaces {
    pub path: Option<Place>,
    pub owner: Option<Place>,
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

/// What the command line overrides in the manifests.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub base: Option<ImageName>,
    pub tags: Vec<ImageName>,
    /// Who every image is sealed for; empty for what the manifest or the org file says.
    pub seal_to: Vec<Recipient>,
    pub platforms: Platforms,
    /// Whether the tags are pushed.
    pub push: bool,
}

/// Makes the plan.
///
/// `needs_images`: whether a missing base or tag is a problem, as it is for a bake. Returns every problem that only manifests, org file
/// and command line together show.
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
        conflicts::every_name_can_hold_an_index(&plan.images, &mut problems);
    }
    conflicts::an_engine_s_base_stays_there(&plan.images, &mut problems);
    conflicts::standard_input_has_one_use(&plan.images, org, &mut problems);
    conflicts::plain_values_can_be_carried(&plan.images, &mut problems);
    if overrides.push {
        conflicts::every_tag_can_be_pushed(&plan.images, &mut problems);
    }
    if manifests.len() > 1 && !overrides.tags.is_empty() {
        problems.push(
            Diagnostic::error("shared-tag", "--tag with more than one manifest: their images would replace each other")
                .hint("write the tags in the manifests, or bake one manifest at a time"),
        );
    } else {
        conflicts::targets_are_distinct(&plan.images, &mut problems);
    }
    if problems.is_empty() {
        for image in &mut plan.images {
            let mut seen = BTreeSet::new();
            image.tags.retain(|tag| seen.insert(tag.name.clone()));
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
        let start = |path: &str| first_line(&manifest.file, path);
        let from_command_line = |name: &ImageName| PlacedName { name: name.clone(), place: start("") };
        let from_manifest = |path: &str, name: &Positioned<ImageName>| PlacedName {
            name: name.value.clone(),
            place: place(&manifest.file, name.at, path.to_owned()),
        };
        let base = overrides.base.as_ref().map(from_command_line);
        let base = base.or_else(|| image.base.as_ref().map(|base| from_manifest("image.base", base)));
        let tags: Vec<PlacedName> = match &overrides.tags[..] {
            [] => image.tags.iter().map(|tag| from_manifest("image.tags", tag)).collect(),
            tags => tags.iter().map(from_command_line).collect(),
        };
        let mut missing = |path: &str, what: &str, hint: &str| {
            self.problems.push(Diagnostic::error("no-image", what).at(start(path)).hint(hint));
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
        let env_from = manifest.env_from.iter().filter_map(|entry| self.env_from(manifest, entry)).collect::<Vec<_>>();
        let variables: Vec<PlannedVariable> = manifest
            .env
            .iter()
            .filter_map(|variable| {
                let source = match &variable.source {
                    VariableSource::Plain(value) => PlannedSource::Plain(value.clone()),
                    VariableSource::Secret(source) => {
                        PlannedSource::Secret(self.source(manifest, &join("env", &variable.name), source)?)
                    }
                };
                let place = place(&manifest.file, variable.at, join("env", &variable.name));
                let destination = destination(image.inject, matches!(source, PlannedSource::Secret(_)));
                Some(PlannedVariable { name: variable.name.clone(), place, source, destination })
            })
            .collect();
        let files: Vec<PlannedFile> = manifest
            .files
            .iter()
            .filter_map(|file| {
                let path = join("files", &file.path);
                let source = self.source(manifest, &path, &file.source)?;
                let owner = file.access.owner_at.map(|at| place(&manifest.file, at, join(&path, "owner")));
                let places = FilePlaces { path: Some(place(&manifest.file, file.at, path)), owner };
                Some(PlannedFile { path: file.path.clone(), source, access: file.access.access.clone(), places })
            })
            .collect();
        let is_secret = |variable: &PlannedVariable| matches!(variable.source, PlannedSource::Secret(_));
        let has_secrets = !env_from.is_empty() || !files.is_empty() || variables.iter().any(is_secret);
        let seal = match has_secrets {
            true => seal::recipients(manifest, self.org, overrides, needs_images, &mut self.problems),
            false => None,
        };
        let opens_files = seal.is_some() && !files.is_empty();
        ImagePlan {
            file: manifest.file.clone(),
            base,
            tags,
            inject: image.inject,
            env_file: env_file(manifest, &env_from, &variables, opens_files),
            is_seal_refused: seal.is_none() && seal::is_refused(image),
            seal,
            env_from,
            variables,
            files,
        }
    }

    fn source(&mut self, manifest: &Manifest, path: &str, source: &SecretSource) -> Option<PlannedSecret> {
        let mut uses = Vec::new();
        for (part, secret) in source.uses() {
            uses.push((part, self.secret(manifest, &part_path(path, part), secret, false)));
        }
        let uses = uses.into_iter().map(|(part, usage)| Some((part.unwrap_or_default().to_owned(), usage?)));
        let mut uses: Vec<(String, Use)> = uses.collect::<Option<_>>()?;
        Some(match source {
            SecretSource::One(_) => PlannedSecret::One(uses.pop()?.1),
            SecretSource::Template(template) => PlannedSecret::Template(PlannedTemplate {
                text: template.text.clone(),
                place: place(&manifest.file, template.at, join(path, "template")),
                pieces: template.pieces.clone(),
                parts: uses,
            }),
        })
    }

    fn env_from(&mut self, manifest: &Manifest, entry: &EnvFrom) -> Option<PlannedEnvFrom> {
        let is_path = entry.secret.reference.value.id.is_path();
        let source = self.secret(manifest, &entry.path, &entry.secret, is_path)?;
        let destination = destination(manifest.image.inject, true);
        Some(PlannedEnvFrom { source, naming: entry.naming.clone(), destination })
    }

    /// Plans the use of one secret, or of everything below a path.
    fn secret(&mut self, manifest: &Manifest, path: &str, secret: &SecretUse, is_path: bool) -> Option<Use> {
        let Reference { id, selector } = &secret.reference.value;
        let at_reference = place(&manifest.file, secret.reference.at, path.to_owned());
        let name = secret.credential.as_ref().map(|name| name.value.as_str());
        // an ARN names its service
        let of_arn = (name.is_none() && id.is_parameter_arn()).then_some(ProviderKind::AwsParameterStore);
        let provider = secret.provider.as_ref().map(|provider| provider.value).or(of_arn);
        let credential = match self.org.choose(name, provider) {
            Ok(credential) => credential,
            Err(NoCredential::Unusable) => return None,
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
        let refusal = match is_path {
            true => chosen.path_refusal(&secret.reference.value, &secret.version),
            false => chosen.refusal(secret),
        };
        if let Some(problem) = refusal {
            self.problems.push(problem.at(at_reference));
            return None;
        }
        if !chosen.allows(id) {
            let patterns: Vec<&str> = chosen.allow.iter().flatten().map(NamePattern::as_str).collect();
            let what = format!("the credential `{}` may not be used for {id}", chosen.name);
            let hint = format!(
                "it allows {}: name another credential here, or add the name to its `allow:` in {}",
                patterns.join(", "),
                self.org.file
            );
            self.problems.push(Diagnostic::error("not-in-allow", what).at(at_reference).hint(hint));
            return None;
        }
        let read = Read { credential, id: id.clone(), version: secret.version.clone(), is_path };
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
            NoCredential::Unknown | NoCredential::Unusable => self.org.unknown(name.unwrap_or_default()),
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
                        "write `default: true` at {}{} in {}, or `credential: NAME` here",
                        if names.len() > 1 { "one of " } else { "" },
                        listed(names),
                        self.org.file
                    )),
                }
            }
        }
    }
}

/// Decides where a variable goes.
fn destination(inject: Inject, is_secret: bool) -> Destination {
    match (inject, is_secret) {
        (Inject::Launcher, true) | (Inject::File, _) => Destination::EnvFile,
        (Inject::Launcher, false) | (Inject::Config, _) => Destination::Config,
    }
}

/// Decides where the env file is; with `inject: file` there is one even without variables, since the application opens it, and for the
/// launcher to open sealed files.
fn env_file(
    manifest: &Manifest,
    env_from: &[PlannedEnvFrom],
    variables: &[PlannedVariable],
    opens_files: bool,
) -> Option<EnvFilePlan> {
    let image = &manifest.image;
    let launched = image.inject == Inject::Launcher;
    let destinations = env_from.iter().map(|entry| entry.destination);
    let mut destinations = destinations.chain(variables.iter().map(|variable| variable.destination));
    let is_needed = destinations.any(|destination| destination == Destination::EnvFile);
    (is_needed || opens_files || image.inject == Inject::File).then(|| EnvFilePlan {
        path: image.path.as_ref().map_or(ENV_PATH, |path| &path.value).to_owned(),
        format: if launched { Format::Env0 } else { image.format },
        access: image.access.access.clone(),
        places: FilePlaces {
            path: image.path.as_ref().map(|path| place(&manifest.file, path.at, "image.path".to_owned())),
            owner: image.access.owner_at.map(|at| place(&manifest.file, at, "image.owner".to_owned())),
        },
        launched,
    })
}

/// Returns the manifest's first line, as the place of a missing field.
fn first_line(file: &str, path: &str) -> Place {
    place(file, Position { line: 1, column: 1, offset: 0 }, path.to_owned())
}
