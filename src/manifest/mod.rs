//! Owns the deployment manifest: its types, and reading it with all problems in one pass.
//!
//! It is pure: no file, clock or network, and no knowledge of credentials.

mod advice;
pub mod env_from;
pub mod foreign_reference;
mod read;
pub mod reference;
pub mod seal;
pub mod secret_name;
mod secret_use;
mod template;
mod variable_name;
pub mod yaml;

use std::collections::BTreeMap;

use crate::image::access::Access;
use crate::image::env_file::Format;
use crate::image::name::ImageName;
use crate::image::seal::Recipient;
use crate::manifest::yaml::{Position, Positioned, join};
pub use read::{MAX_ENTRY_BYTES, is_target, read, set_by_engines};
use reference::Reference;
pub use secret_use::VERSION_ID_BYTES;
pub use variable_name::is_variable_name;

/// A deployment manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The file's name as the user gave it.
    pub file: String,
    pub image: Image,
    /// In the order of the file.
    pub env_from: Vec<EnvFrom>,
    /// In the order of the file.
    pub env: Vec<Variable>,
    /// In the order of the file.
    pub files: Vec<File>,
}

impl Manifest {
    /// Returns every use of a secret with its key path.
    pub fn secrets(&self) -> impl Iterator<Item = (String, &SecretUse)> {
        let whole = self.env_from.iter().map(|entry| (entry.path.clone(), &entry.secret));
        let variables = self.env.iter().filter_map(|variable| match &variable.source {
            VariableSource::Secret(source) => Some((join("env", &variable.name), source)),
            VariableSource::Plain(_) => None,
        });
        let sources = variables.chain(self.files.iter().map(|file| (join("files", &file.path), &file.source)));
        whole.chain(
            sources
                .flat_map(|(path, source)| source.uses().map(move |(part, secret)| (part_path(&path, part), secret))),
        )
    }
}

/// Returns the key path of a use of a secret in an entry. `part` is its name in a template.
pub fn part_path(entry: &str, part: Option<&str>) -> String {
    part.map_or_else(|| entry.to_owned(), |part| join(&join(entry, "with"), part))
}

/// The manifest's `image:` section.
#[derive(Debug, Clone, Default)]
pub struct Image {
    pub base: Option<Positioned<ImageName>>,
    pub tags: Vec<Positioned<ImageName>>,
    pub inject: Inject,
    /// The env file's format, with `inject: file`.
    pub format: Format,
    /// Where the env file is in the image; its default is [`ENV_PATH`].
    pub path: Option<Positioned<String>>,
    pub access: PlacedAccess,
    /// What it says of sealing; `None` for what the org file says.
    pub seal: Option<Positioned<SealChoice>>,
    /// Whether a part of it could not be read, so a missing field may only be invalid.
    pub broken: bool,
}

/// What a manifest says of sealing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealChoice {
    /// `seal: { recipients: [...] }`, at least one.
    For(Vec<Recipient>),
    /// `seal: none`.
    Off,
}

/// Where the launcher and `inject: file` keep the env file.
pub const ENV_PATH: &str = "/.secretbake/env";

/// How variables reach the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inject {
    /// Secrets in a file that the launcher reads; plain variables in the config.
    #[default]
    Launcher,
    /// Every variable in the config's Env.
    Config,
    /// Every variable in a file that only the application reads.
    File,
}

impl Inject {
    /// Every way with its name.
    pub const NAMES: [(&'static str, Inject); 3] =
        [("launcher", Inject::Launcher), ("config", Inject::Config), ("file", Inject::File)];

    /// Returns the way's name.
    pub fn name(self) -> &'static str {
        name_of(&Inject::NAMES, self)
    }
}

fn name_of<T: Copy + PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, other)| *other == value).map_or("", |(name, _)| name)
}

/// A secret whose keys become variables.
#[derive(Debug, Clone)]
pub struct EnvFrom {
    pub at: Position,
    /// Its key path, as in `env_from[0]`.
    pub path: String,
    pub secret: SecretUse,
    pub naming: Naming,
}

/// Which keys of a secret become variables, and what these are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// What is put in front of the keys; may be empty.
    pub prefix: String,
    pub case: Case,
    /// The keys to take, in the order of the file; `None` for all.
    pub keys: Option<Vec<Positioned<String>>>,
    /// The whole variable name by key. Each has the place of the key.
    pub rename: BTreeMap<String, Positioned<String>>,
}

/// How the letters of a key are written in the variable's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Case {
    #[default]
    Keep,
    Upper,
}

impl Case {
    /// Every case with its name.
    pub const NAMES: [(&'static str, Case); 2] = [("keep", Case::Keep), ("upper", Case::Upper)];

    /// Returns the case's name.
    pub fn name(self) -> &'static str {
        name_of(&Case::NAMES, self)
    }
}

/// An environment variable.
#[derive(Debug, Clone)]
pub struct Variable {
    pub name: String,
    /// The key's place.
    pub at: Position,
    pub source: VariableSource,
}

/// Where a variable's value comes from.
#[derive(Debug, Clone)]
pub enum VariableSource {
    Plain(String),
    Secret(SecretSource),
}

/// Where a secret value comes from.
#[derive(Debug, Clone)]
pub enum SecretSource {
    One(SecretUse),
    Template(Template),
}

impl SecretSource {
    /// Returns every use of a secret, each with its name in a template.
    pub fn uses(&self) -> impl Iterator<Item = (Option<&str>, &SecretUse)> {
        let (one, template) = match self {
            SecretSource::One(secret) => (Some((None, secret)), None),
            SecretSource::Template(template) => (None, Some(template)),
        };
        let parts = template.into_iter().flat_map(|template| &template.parts);
        one.into_iter().chain(parts.map(|part| (Some(&*part.name), &part.secret)))
    }
}

/// A value that is made of several secrets and text around them.
#[derive(Debug, Clone)]
pub struct Template {
    /// As the manifest has it.
    pub text: String,
    pub at: Position,
    /// In the order of the text.
    pub pieces: Vec<Piece>,
    /// In the order of the file. Each is used.
    pub parts: Vec<TemplatePart>,
}

/// A name under `with:` and its secret.
#[derive(Debug, Clone)]
pub struct TemplatePart {
    pub name: String,
    pub secret: SecretUse,
}

/// A piece of a template's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Part {
        /// The index in [`Template::parts`].
        part: usize,
        /// Applied one after the other.
        filters: Vec<Filter>,
    },
}

/// What is done to a part's value before it is put into the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Percent-encodes all but RFC 3986's unreserved characters.
    Url,
    /// Escapes for the inside of a JSON string.
    Json,
    Base64,
    /// Quotes as one word of a POSIX shell.
    Shell,
}

/// A file of the image whose content is a secret.
#[derive(Debug, Clone)]
pub struct File {
    /// Absolute and without `.` or `..`.
    pub path: String,
    pub at: Position,
    pub source: SecretSource,
    pub access: PlacedAccess,
}

/// The mode and the owner of a file.
#[derive(Debug, Clone, Default)]
pub struct PlacedAccess {
    pub access: Access,
    /// The place of its owner, if it has one.
    pub owner_at: Option<Position>,
}

/// The use of a secret by a variable or file.
#[derive(Debug, Clone)]
pub struct SecretUse {
    pub reference: Positioned<Reference>,
    pub credential: Option<Positioned<String>>,
    pub provider: Option<Positioned<ProviderKind>>,
    pub optional: bool,
    pub version: Version,
    /// Whether the version is that of `label:`, which only parameters have.
    pub has_label: bool,
    pub encoding: Encoding,
}

/// The kinds of secret providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProviderKind {
    AwsSecretsManager,
    AwsParameterStore,
    Command,
    File,
}

impl ProviderKind {
    /// Every kind with its name.
    pub const NAMES: [(&'static str, ProviderKind); 4] = [
        ("aws-secrets-manager", ProviderKind::AwsSecretsManager),
        ("aws-parameter-store", ProviderKind::AwsParameterStore),
        ("command", ProviderKind::Command),
        ("file", ProviderKind::File),
    ];

    /// Returns the kind's name.
    pub fn name(self) -> &'static str {
        name_of(&ProviderKind::NAMES, self)
    }
}

/// Which version of a secret is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Version {
    /// The version stage AWSCURRENT.
    #[default]
    Current,
    Stage(String),
    Id(String),
}

/// How bytes become the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    #[default]
    Text,
    Base64,
}
