//! Owns the seam `Provider`: how the rest of the program asks for secrets, what it gets back, and how a failure is reported.
//!
//! To add a provider, implement [`Provider`] in a folder or file of its own here and name it in [`any`]. Providers do not
//! import each other; only `aws/` imports the AWS SDK, only `file/` opens a secrets file, and only `command/` starts programs.

pub mod any;
pub mod aws;
pub mod command;
pub mod env_from;
pub mod file;
pub mod resolve;
pub mod select;
pub mod select_problem;
mod template;
pub mod values;

use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::secret::SecretBytes;

/// Reads secrets with one credential.
///
/// An implementation retries errors that can go away (throttling, a failing server). Every call ends within the
/// limits the provider was made with. An error never holds a value, or any part of a response that could not be parsed.
pub trait Provider {
    /// Reads one version of one secret.
    fn read(&self, id: &SecretId, version: &Version) -> impl Future<Output = ReadResult> + Send;

    /// Returns how many secrets [`Provider::read_together`] takes in one call for this version of them; 1 if the provider has no such call.
    fn batch_size(&self, _: &Version) -> usize {
        1
    }

    /// Reads the same version of at most [`Provider::batch_size`] secrets in as few requests as possible.
    ///
    /// Returns one result per secret, in the same order. `None` means: ask for this one with [`Provider::read`].
    fn read_together(&self, ids: &[&SecretId], _: &Version) -> impl Future<Output = Vec<Option<ReadResult>>> + Send {
        std::future::ready(ids.iter().map(|_| None).collect())
    }

    /// Reads the current version of every secret below a path, sorted by key. An empty path is an error of kind `NotFound`.
    fn read_below(&self, path: &SecretId) -> impl Future<Output = Result<Vec<SecretBelow>, ProviderError>> + Send {
        std::future::ready(Err(without_paths(path)))
    }

    /// Describes the current version of every secret below a path without reading a value. An empty path is an error of kind `NotFound`.
    fn describe_below(
        &self,
        path: &SecretId,
    ) -> impl Future<Output = Result<Vec<SecretDescription>, ProviderError>> + Send {
        std::future::ready(Err(without_paths(path)))
    }

    /// Describes a secret and its versions, at least the current one and this one, without reading its value.
    fn describe(
        &self,
        id: &SecretId,
        version: &Version,
    ) -> impl Future<Output = Result<SecretDescription, ProviderError>> + Send;

    /// Returns the most secrets that [`Provider::describe_together`] describes; 1 if it describes none.
    fn describe_size(&self) -> usize {
        1
    }

    /// Describes the current version of several secrets in one call; `None` for those that [`Provider::describe`] must be asked for.
    fn describe_together(
        &self,
        ids: &[&SecretId],
    ) -> impl Future<Output = Vec<Option<Result<SecretDescription, ProviderError>>>> + Send {
        std::future::ready(ids.iter().map(|_| None).collect())
    }

    /// Tells whether [`Provider::describe`] asks for the secret. If not, only a read shows whether the secret is there.
    fn describes(&self) -> bool {
        true
    }

    /// Lists the names that begin with `prefix`, sorted. An empty prefix lists all names.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>, ProviderError>> + Send;
}

/// The error of a provider that has no paths.
fn without_paths(path: &SecretId) -> ProviderError {
    let diagnostic = Diagnostic::error("no-paths", format!("{path} is a path, and its credential has no paths now"));
    let hint = "name a credential with `provider: aws-parameter-store`, or bake the image again";
    ProviderError::new(ProviderErrorKind::Other, diagnostic.hint(hint))
}

/// What one read of a plan gave.
#[derive(Clone)]
pub enum Resolved {
    Secret(SecretValue),
    /// Everything below a path, sorted by key.
    Path(Vec<SecretBelow>),
}

/// A secret below a path.
#[derive(Clone)]
pub struct SecretBelow {
    /// The rest of its name after the path.
    pub key: String,
    pub value: SecretValue,
}

/// A secret's value, or why it was not read.
pub type ReadResult = Result<SecretValue, ProviderError>;

/// A secret's value, with the secret and version it was read from.
#[derive(Clone)]
pub struct SecretValue {
    pub bytes: SecretBytes,
    /// Whether the provider holds it as binary (`SecretBinary`) rather than as text.
    pub binary: bool,
    /// The full ARN, if the provider has ARNs.
    pub arn: Option<String>,
    pub version_id: Option<String>,
}

/// Everything about a secret except its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretDescription {
    pub name: String,
    /// The full ARN, if the provider has ARNs.
    pub arn: Option<String>,
    /// Sorted by ID.
    pub versions: Vec<VersionInfo>,
    /// Whether no other version can be read.
    pub has_all_versions: bool,
    /// The key that encrypts it; `None` for the provider's own key.
    pub kms_key_id: Option<String>,
    /// When it last changed, in seconds since 1970, if the provider says.
    pub changed: Option<i64>,
    /// Whether it is scheduled for deletion, and so cannot be read.
    pub deleted: bool,
}

impl SecretDescription {
    /// Describes a secret by its versions alone. `versions` lists all of them, sorted by ID.
    pub fn of_versions(name: &str, versions: Vec<VersionInfo>) -> Self {
        SecretDescription {
            name: name.to_owned(),
            arn: None,
            versions,
            has_all_versions: true,
            kms_key_id: None,
            changed: None,
            deleted: false,
        }
    }
}

/// One version of a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionInfo {
    /// `None` if the provider has no version IDs.
    pub id: Option<String>,
    /// The version stages attached to it, sorted.
    pub stages: Vec<String>,
}

impl SecretDescription {
    /// Returns the stages of all versions, sorted.
    pub fn stages(&self) -> Vec<&str> {
        let mut stages: Vec<&str> =
            self.versions.iter().flat_map(|version| &version.stages).map(String::as_str).collect();
        stages.sort_unstable();
        stages.dedup();
        stages
    }
}

/// Why a provider did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderError {
    pub kind: ProviderErrorKind,
    /// What failed, the likely causes in order and the next step. The caller adds the place.
    pub diagnostic: Box<Diagnostic>,
}

/// The kinds of error that callers treat differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderErrorKind {
    /// The secret or this version of it does not exist. `optional: true` forgives this.
    NotFound,
    /// The provider denied access. Never forgiven.
    Denied,
    /// Everything else.
    Other,
}

impl ProviderError {
    /// Makes an error of a kind.
    pub fn new(kind: ProviderErrorKind, diagnostic: Diagnostic) -> Self {
        ProviderError { kind, diagnostic: Box::new(diagnostic) }
    }
}

/// Timeouts and retries of a provider's calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLimits {
    /// From the first packet to an established connection.
    pub connect: Duration,
    /// From the last byte of the request to the first byte of the response.
    pub read: Duration,
    /// One request with its whole response.
    pub attempt: Duration,
    /// All attempts of one call, including the pauses between them.
    pub operation: Duration,
    /// How many times a call is tried while the service throttles, fails or cannot be reached.
    pub attempts: u32,
    /// The pause after the first throttled attempt. It doubles for each further one, with full jitter.
    pub first_pause: Duration,
    /// The longest pause between attempts.
    pub longest_pause: Duration,
    /// How long to wait for new keys and policies to take effect, counted from the credential's first denial.
    pub propagation: Duration,
    /// The pause before a denied call is tried again during that time.
    pub propagation_pause: Duration,
}

impl Default for CallLimits {
    /// Returns the limits of a bake: it gives up on a dead network after 30 seconds, enough for six throttled attempts.
    fn default() -> Self {
        CallLimits {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(10),
            attempt: Duration::from_secs(10),
            operation: Duration::from_secs(30),
            attempts: 6,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(5),
            propagation: Duration::from_secs(3),
            propagation_pause: Duration::from_millis(1500),
        }
    }
}
