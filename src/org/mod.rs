//! Owns the organisation's credentials: their types, reading and editing the org file, and choosing a default.
//!
//! Reading a text, choosing and editing are pure. Only `file`, which opens the file and turns a key's source into a key, `store`,
//! `init` and `rights` access the system.

pub mod allow;
pub mod change;
pub mod command;
pub mod edit;
pub mod file;
pub mod init;
mod org_text;
mod read;
pub mod regions;
mod rights;
pub mod rules;
pub mod store;
mod suits;

use std::fmt;

use allow::NamePattern;

use crate::diagnostic::Diagnostic;
use crate::image::seal::Recipient;
use crate::manifest::ProviderKind;
use crate::manifest::reference::SecretId;
use crate::manifest::secret_name::is_secret_name;
use crate::manifest::yaml::Position;
use crate::manifest::yaml::fields::nearest;
use crate::secret::SecretBytes;
pub use read::read;

/// The organisation file.
#[derive(Default)]
pub struct Org {
    /// The file's name as diagnostics show it; `-` for standard input.
    pub file: String,
    /// In file order.
    pub credentials: Vec<Credential>,
    /// What holds for every manifest that says nothing of sealing.
    pub seal: Option<OrgSeal>,
    /// Likely mistakes that do not make the file unusable.
    pub warnings: Vec<Diagnostic>,
}

/// `seal:` of the organisation file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgSeal {
    /// May be empty with `required`.
    pub recipients: Vec<Recipient>,
    /// Whether no image with secrets is baked without a seal.
    pub required: bool,
}

/// A named credential.
pub struct Credential {
    pub name: String,
    pub at: Position,
    /// Used by every entry of this provider that names no credential.
    pub default: bool,
    /// The only secrets that manifests may use it for; `None` for any.
    pub allow: Option<Vec<NamePattern>>,
    pub settings: Settings,
}

/// The settings of a provider.
pub enum Settings {
    Aws(AwsSettings),
    Command(CommandSettings),
    File(FileSettings),
}

/// `provider: aws-secrets-manager` and `provider: aws-parameter-store`.
pub struct AwsSettings {
    pub service: AwsService,
    /// `None` only with the ambient chain, which then finds a region.
    pub region: Option<String>,
    /// `None`: the ambient chain (environment, profile, web identity, instance).
    pub keys: Option<StaticKeys>,
    pub role: Option<Role>,
    /// A token of another issuer to assume the role with, instead of keys.
    pub web_identity_token: Option<KeySource>,
    pub batch: Batch,
}

/// The service that the secrets are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AwsService {
    #[default]
    SecretsManager,
    ParameterStore,
}

/// Static access keys.
pub struct StaticKeys {
    pub access_key_id: String,
    pub secret_access_key: KeySource,
    /// For temporary keys.
    pub session_token: Option<KeySource>,
}

/// The role to assume first.
#[derive(Clone)]
pub struct Role {
    pub arn: String,
    /// Never shown, although AWS does not treat it as a secret.
    pub external_id: Option<SecretBytes>,
}

/// Whether BatchGetSecretValue may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Batch {
    Auto,
    #[default]
    Never,
}

/// Where a key is kept.
pub enum KeySource {
    /// In the environment variable of this name.
    Env(String),
    /// In the file at this path, relative to the org file.
    File(String),
    /// In the org file itself.
    Literal(SecretBytes),
}

/// `provider: file`.
pub struct FileSettings {
    /// Relative to the org file.
    pub path: String,
}

/// `provider: command`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSettings {
    /// The program and its arguments; `{name}` in an argument is the secret's name.
    pub command: Vec<String>,
    /// The variables that the program gets, besides PATH and HOME.
    pub environment: Vec<String>,
    /// Whether to remove a newline at the end of the output.
    pub trim_newline: bool,
}

/// Why no credential was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoCredential {
    /// No credential has this name.
    Unknown,
    /// The named credential belongs to another provider.
    OtherProvider { provider: ProviderKind },
    /// The provider has no default credential.
    NoDefault { provider: ProviderKind, candidates: Vec<String> },
}

/// Adds to a problem that no org file was found.
pub fn without_org_file(diagnostic: Diagnostic) -> Diagnostic {
    diagnostic
        .cause("no org file was found")
        .hint("create one here with `secretbake org init`, or name one with --org or $SECRETBAKE_ORG")
}

/// Returns names as a list in a sentence.
pub fn listed(names: &[impl fmt::Display]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Credential {
    /// Returns the credential's provider.
    pub fn provider(&self) -> ProviderKind {
        match self.settings {
            Settings::Aws(AwsSettings { service: AwsService::SecretsManager, .. }) => ProviderKind::AwsSecretsManager,
            Settings::Aws(AwsSettings { service: AwsService::ParameterStore, .. }) => ProviderKind::AwsParameterStore,
            Settings::Command(_) => ProviderKind::Command,
            Settings::File(_) => ProviderKind::File,
        }
    }

    /// Tells whether manifests may use the credential for the secret.
    pub fn allows(&self, id: &SecretId) -> bool {
        self.allow.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(id)))
    }

    /// Returns the region, if the org file names one.
    pub fn region(&self) -> Option<&str> {
        match &self.settings {
            Settings::Aws(aws) => aws.region.as_deref(),
            Settings::Command(_) | Settings::File(_) => None,
        }
    }
}

impl Org {
    /// Returns the names of the environment variables that hold keys.
    pub fn key_variables(&self) -> Vec<String> {
        let keys = self.credentials.iter().filter_map(|credential| match &credential.settings {
            Settings::Aws(aws) => Some(aws),
            Settings::Command(_) | Settings::File(_) => None,
        });
        let sources = keys.flat_map(|aws| {
            let keys = aws.keys.iter().flat_map(|keys| [Some(&keys.secret_access_key), keys.session_token.as_ref()]);
            keys.chain([aws.web_identity_token.as_ref()]).flatten()
        });
        let named =
            sources.filter_map(|source| if let KeySource::Env(name) = source { Some(name.clone()) } else { None });
        let commands = self.credentials.iter().filter_map(|credential| match &credential.settings {
            Settings::Command(command) => Some(&command.environment),
            Settings::Aws(_) | Settings::File(_) => None,
        });
        // ssh may need an agent's socket or a settings folder too
        named.chain(commands.flatten().filter(|name| is_secret_name(name)).cloned()).collect()
    }

    /// Chooses the credential for an entry: the one it names, else the default of its provider.
    ///
    /// The provider is the one that the entry names, else the organisation's only one, else AWS Secrets Manager.
    pub fn choose(&self, name: Option<&str>, provider: Option<ProviderKind>) -> Result<usize, NoCredential> {
        if let Some(name) = name {
            let index =
                self.credentials.iter().position(|credential| credential.name == name).ok_or(NoCredential::Unknown)?;
            let found = self.credentials[index].provider();
            return match provider {
                Some(wanted) if wanted != found => Err(NoCredential::OtherProvider { provider: found }),
                _ => Ok(index),
            };
        }
        let only = self
            .credentials
            .first()
            .map(Credential::provider)
            .filter(|first| self.credentials.iter().all(|credential| credential.provider() == *first));
        let provider = provider.or(only).unwrap_or(ProviderKind::AwsSecretsManager);
        let of_provider = |credential: &&Credential| credential.provider() == provider;
        self.credentials.iter().position(|credential| of_provider(&credential) && credential.default).ok_or_else(|| {
            let names = self.credentials.iter().filter(of_provider).map(|credential| credential.name.clone());
            NoCredential::NoDefault { provider, candidates: names.collect() }
        })
    }

    /// Reports that no credential has this name, and suggests a similar one.
    pub fn unknown(&self, name: &str) -> Diagnostic {
        let diagnostic = Diagnostic::error("unknown-credential", format!("no credential `{name}`"));
        let names: Vec<&str> = self.credentials.iter().map(|credential| credential.name.as_str()).collect();
        match nearest(name, &names) {
            Some(name) => diagnostic.hint(format!("did you mean `{name}`?")),
            None if self.file.is_empty() => without_org_file(diagnostic),
            None if names.is_empty() => diagnostic.hint(format!("{} has no credentials yet", self.file)),
            None => diagnostic.hint(format!("{} has {}", self.file, listed(&names))),
        }
    }
}
