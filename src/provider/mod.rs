//! Owns the seam to secret providers: what is asked of one, what it answers, and how a failure looks.
//!
//! The adapters below it are leaves: nothing else imports the AWS SDK or opens a secrets file.

use crate::error::Diagnostic;
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::secret::SecretBytes;

/// A place that secrets are read from with one credential.
///
/// An implementation retries what may pass (throttling, a failing server) within bounds, and every call ends.
pub trait Provider {
    /// Reads one version of one secret.
    ///
    /// # Errors
    /// The diagnosis, without a place and without any part of a value or of the provider's answer's body.
    fn read(&self, id: &SecretId, version: &Version) -> impl Future<Output = Result<SecretValue, Failure>> + Send;
}

/// A secret's value and which version of which secret it is.
pub struct SecretValue {
    pub bytes: SecretBytes,
    /// Whether the provider holds it as binary (`SecretBinary`) rather than as text.
    pub binary: bool,
    /// The full ARN, where the provider has such.
    pub arn: Option<String>,
    pub version_id: Option<String>,
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
