//! Owns the seam to secret providers: what is asked of one, what it answers, and how a failure looks.
//!
//! The adapters below it are leaves: nothing else imports the AWS SDK or opens a secrets file.

pub mod aws;
pub mod file;
pub mod resolve;
pub mod select;
pub mod values;

use std::path::Path;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Error};
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::org::file::{Environment, keys};
use crate::org::{Org, Settings};
use crate::secret::SecretBytes;

/// A place that secrets are read from with one credential.
///
/// An implementation retries what may pass (throttling, a failing server) within bounds, and every call ends.
pub trait Provider {
    /// Reads one version of one secret.
    ///
    /// # Errors
    /// The diagnosis, without a place and without any part of a value or of the provider's answer's body.
    fn read(&self, id: &SecretId, version: &Version) -> impl Future<Output = Answer> + Send;

    /// Returns how many secrets [`Provider::read_together`] takes in one call; 1 where each is read by itself.
    fn batch_size(&self) -> usize {
        1
    }

    /// Reads the current versions of some secrets, at most [`Provider::batch_size`], in as few calls as it can.
    ///
    /// Returns an answer for each, in their order: `None` for what [`Provider::read`] has to be asked for.
    fn read_together(&self, ids: &[&SecretId]) -> impl Future<Output = Vec<Option<Answer>>> + Send {
        std::future::ready(ids.iter().map(|_| None).collect())
    }

    /// Returns what is known of a secret without reading its value.
    ///
    /// # Errors
    /// As [`Provider::read`].
    fn describe(&self, id: &SecretId) -> impl Future<Output = Result<Description, Failure>> + Send;

    /// Returns the names that begin with `prefix`, sorted; all of them where it is empty.
    ///
    /// # Errors
    /// As [`Provider::read`].
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>, Failure>> + Send;
}

/// A secret's value, or why it was not read.
pub type Answer = Result<SecretValue, Failure>;

/// A secret's value and which version of which secret it is.
#[derive(Clone)]
pub struct SecretValue {
    pub bytes: SecretBytes,
    /// Whether the provider holds it as binary (`SecretBinary`) rather than as text.
    pub binary: bool,
    /// The full ARN, where the provider has such.
    pub arn: Option<String>,
    pub version_id: Option<String>,
}

/// What is known of a secret besides its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub name: String,
    /// The full ARN, where the provider has such.
    pub arn: Option<String>,
    /// Sorted by their IDs.
    pub versions: Vec<VersionInfo>,
    /// The key that encrypts it; `None` for the provider's own.
    pub kms_key_id: Option<String>,
    /// Whether it is scheduled for deletion and cannot be read.
    pub deleted: bool,
}

/// One version of a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionInfo {
    /// `None` where the provider gives its versions no IDs.
    pub id: Option<String>,
    /// The version stages attached to it, sorted.
    pub stages: Vec<String>,
}

impl Description {
    /// Returns every version stage that some version has, sorted.
    pub fn stages(&self) -> Vec<&str> {
        let mut stages: Vec<&str> =
            self.versions.iter().flat_map(|version| &version.stages).map(String::as_str).collect();
        stages.sort_unstable();
        stages.dedup();
        stages
    }
}

/// Why a provider did not answer as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// What failed, the likely causes in order and the next step; its place is added by whoever knows it.
    pub diagnostic: Box<Diagnostic>,
}

/// What other code may need to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The secret, or this version of it, does not exist: what `optional` forgives.
    NotFound,
    /// The provider refused: never forgiven.
    Denied,
    /// Everything else.
    Other,
}

impl Failure {
    /// Returns a failure of a kind.
    pub fn new(kind: FailureKind, diagnostic: Diagnostic) -> Self {
        Failure { kind, diagnostic: Box::new(diagnostic) }
    }
}

/// How long a provider may take and how often it asks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// From the first packet to an established connection.
    pub connect: Duration,
    /// From the request's last byte to the answer's first.
    pub read: Duration,
    /// One request with its whole answer.
    pub attempt: Duration,
    /// All attempts of one call with the pauses between them.
    pub operation: Duration,
    /// How often one call is tried while the service throttles, fails or cannot be reached.
    pub attempts: u32,
    /// The pause after the first attempt that was throttled; each further one doubles, with full jitter.
    pub first_pause: Duration,
    /// The longest pause between attempts.
    pub longest_pause: Duration,
    /// How long new keys and policies are waited for, from a credential's first refusal on.
    pub propagation: Duration,
    /// The pause before a refused call is tried again in that time.
    pub propagation_pause: Duration,
}

impl Default for Limits {
    /// Returns the limits of a bake: a dead network ends it in half a minute, and six throttled attempts fit in that.
    fn default() -> Self {
        Limits {
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

/// One of the providers there are.
pub enum AnyProvider {
    Aws(Box<aws::AwsProvider>),
    File(file::FileProvider),
}

/// Makes the provider of one credential; nothing is sent before the first read.
///
/// `directory` is the org file's, which relative paths start from.
///
/// # Errors
/// What is wrong with the keys' sources or the secrets file: every problem, without any value.
pub fn connect(
    org: &Org,
    credential: usize,
    directory: &Path,
    environment: Environment<'_>,
    limits: &Limits,
) -> Result<AnyProvider, Error> {
    let credential = &org.credentials[credential];
    match &credential.settings {
        Settings::File(settings) => Ok(AnyProvider::File(file::FileProvider::open(&directory.join(&settings.path))?)),
        Settings::Aws(settings) => {
            let keys = keys(org, credential, settings, directory, environment)?;
            let provider = aws::AwsProvider::new(&credential.name, settings, keys, limits.clone());
            Ok(AnyProvider::Aws(Box::new(provider)))
        }
    }
}

impl Provider for AnyProvider {
    async fn read(&self, id: &SecretId, version: &Version) -> Answer {
        match self {
            AnyProvider::Aws(provider) => provider.read(id, version).await,
            AnyProvider::File(provider) => provider.read(id, version).await,
        }
    }

    fn batch_size(&self) -> usize {
        match self {
            AnyProvider::Aws(provider) => provider.batch_size(),
            AnyProvider::File(provider) => provider.batch_size(),
        }
    }

    async fn read_together(&self, ids: &[&SecretId]) -> Vec<Option<Answer>> {
        match self {
            AnyProvider::Aws(provider) => provider.read_together(ids).await,
            AnyProvider::File(provider) => provider.read_together(ids).await,
        }
    }

    async fn describe(&self, id: &SecretId) -> Result<Description, Failure> {
        match self {
            AnyProvider::Aws(provider) => provider.describe(id).await,
            AnyProvider::File(provider) => provider.describe(id).await,
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        match self {
            AnyProvider::Aws(provider) => provider.list(prefix).await,
            AnyProvider::File(provider) => provider.list(prefix).await,
        }
    }
}
