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

use std::collections::HashSet;
use std::fmt;

use allow::NamePattern;

use crate::diagnostic::Diagnostic;
use crate::diagnostic::command::own;
use crate::diagnostic::lookalike::may_be_repeated;
use crate::image::seal::Recipient;
use crate::manifest::ProviderKind;
use crate::manifest::reference::SecretId;
use crate::manifest::secret_name::is_secret_name;
use crate::manifest::yaml::Position;
use crate::manifest::yaml::fields::nearest;
use crate::secret::SecretBytes;
pub use read::{read, read_partly};
use rules::NAME;

/// The organisation file.
#[derive(Default)]
pub struct Org {
    /// The file's name as diagnostics show it; `-` for standard input.
    pub file: String,
    /// In file order.
    pub credentials: Vec<Credential>,
    /// Credentials with problems. Those are reported, so what needs such a credential is not reported again.
    pub unusable: Vec<UnusableCredential>,
    /// What holds for every manifest that says nothing of sealing.
    pub seal: Option<OrgSeal>,
    /// Likely mistakes that do not make the file unusable.
    pub warnings: Vec<Diagnostic>,
}

/// What could be read of a credential with problems: which references mean it. What is `None` could be anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnusableCredential {
    pub at: Position,
    pub name: Option<String>,
    pub provider: Option<ProviderKind>,
    pub default: Option<bool>,
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
    /// The credential has problems, or one of those with problems may be meant.
    Unusable,
    /// The named credential belongs to another provider.
    OtherProvider { provider: ProviderKind },
    /// The provider has no default credential.
    NoDefault { provider: ProviderKind, candidates: Vec<String> },
}

/// Adds to a problem that no org file was found.
pub fn without_org_file(diagnostic: Diagnostic) -> Diagnostic {
    diagnostic
        .cause("no org file was found")
        .hint(format!("create one here with `{}`, or name one with --org or $SECRETBAKE_ORG", own("org init")))
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
        let unusable = |is_meant: &dyn Fn(&UnusableCredential) -> bool| self.unusable.iter().any(is_meant);
        if let Some(name) = name {
            let Some(index) = self.credentials.iter().position(|credential| credential.name == name) else {
                let may_be_it = unusable(&|one| one.name.as_deref().is_none_or(|other| other == name));
                return Err(if may_be_it { NoCredential::Unusable } else { NoCredential::Unknown });
            };
            let found = self.credentials[index].provider();
            return match provider {
                Some(wanted) if wanted != found => Err(NoCredential::OtherProvider { provider: found }),
                _ => Ok(index),
            };
        }
        if provider.is_none() && unusable(&|one| one.provider.is_none()) {
            return Err(NoCredential::Unusable);
        }
        let usable = self.credentials.iter().map(Credential::provider);
        let mut providers = usable.chain(self.unusable.iter().filter_map(|one| one.provider));
        let only = providers.next().filter(|first| providers.all(|provider| provider == *first));
        let provider = provider.or(only).unwrap_or(ProviderKind::AwsSecretsManager);
        let of_provider = |credential: &&Credential| credential.provider() == provider;
        let default = self.credentials.iter().position(|credential| of_provider(&credential) && credential.default);
        default.ok_or_else(|| {
            let may_be = |one: &UnusableCredential| one.provider.is_none_or(|other| other == provider);
            if unusable(&|one| may_be(one) && one.default != Some(false)) {
                return NoCredential::Unusable;
            }
            let candidates = self.names(|other| other.is_none_or(|other| other == provider));
            NoCredential::NoDefault { provider, candidates: candidates.into_iter().map(str::to_owned).collect() }
        })
    }

    /// Returns the names of the credentials whose provider is wanted, each once, in the order of the file; `None` is a provider that is
    /// not known.
    fn names(&self, is_wanted: impl Fn(Option<ProviderKind>) -> bool) -> Vec<&str> {
        let usable = self.credentials.iter().map(|one| (one.at.offset, one.name.as_str(), Some(one.provider())));
        let unusable = self.unusable.iter().filter_map(|one| Some((one.at.offset, one.name.as_deref()?, one.provider)));
        let mut named: Vec<_> = usable.chain(unusable).filter(|(.., provider)| is_wanted(*provider)).collect();
        named.sort_unstable();
        let mut seen = HashSet::new();
        named.into_iter().map(|(_, name, _)| name).filter(|name| seen.insert(*name)).collect()
    }

    /// Returns what is known of an org file that cannot be read: nothing.
    pub fn unreadable(file: &str) -> Self {
        Org { file: file.to_owned(), unusable: vec![UnusableCredential::default()], ..Org::default() }
    }

    /// Reports that no credential has this name, and suggests a similar one.
    pub fn unknown(&self, name: &str) -> Diagnostic {
        let is_shown = (NAME.holds)(name) && may_be_repeated(name);
        let what = match is_shown {
            true => format!("no credential `{name}`"),
            false => "no credential has this name, which is not shown: it may be a secret".to_owned(),
        };
        let diagnostic = Diagnostic::error("unknown-credential", what);
        let names = self.names(|_| true);
        match nearest(name, &names) {
            Some(name) => diagnostic.hint(format!("did you mean `{name}`?")),
            None if self.file.is_empty() => without_org_file(diagnostic),
            None if names.is_empty() => diagnostic.hint(format!("{} has no credentials yet", self.file)),
            None => diagnostic.hint(format!("{} has {}", self.file, listed(&names))),
        }
    }
}
