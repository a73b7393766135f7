//! Owns the diagnosis: from a fault and what was wanted, to what failed, its likely causes in order, and the next step.
//!
//! It must not show a value, a key, a token or an External ID, nor anything of a body that it could not read.

mod access;
mod iam;
mod key;
mod kms;
mod network;
mod region;
mod secret;
mod service;
mod wording;

use super::fault::{Fault, Refusal};
use super::host::Host;
use crate::diagnostic::Diagnostic;
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::secrets::{Description, Failure, FailureKind};

/// With what a request was made.
pub struct Who<'a> {
    pub credential: &'a str,
    pub region: &'a str,
    pub access_key_id: &'a str,
    /// The account that asks, where it is known without a request for it.
    pub account: Option<&'a str>,
    /// Whether the keys are those that STS issued for the credential's role.
    pub is_of_role: bool,
    /// Whether a session token was sent.
    pub has_token: bool,
    /// What must not be shown, wherever it comes from.
    pub secrets: Vec<&'a str>,
}

/// What was wanted.
pub enum Task<'a> {
    Identity,
    AssumeRole {
        role: &'a str,
        /// Whether one was sent.
        external_id: bool,
    },
    Read {
        id: &'a SecretId,
        version: &'a Version,
        /// What DescribeSecret says of it, where it was asked and says something.
        known: Option<&'a Description>,
    },
    Describe {
        id: &'a SecretId,
    },
    List,
}

/// Returns the diagnosis of a fault.
pub fn diagnose(who: &Who<'_>, task: &Task<'_>, host: &Host, fault: &Fault) -> Failure {
    match fault {
        Fault::Refused(refusal) => refused(who, task, refusal),
        Fault::Unanswered(unanswered) => network::diagnose(who, host, unanswered),
    }
}

fn refused(who: &Who<'_>, task: &Task<'_>, refusal: &Refusal) -> Failure {
    // so that nothing below can show what the service repeats of the request
    let refusal = &Refusal {
        code: who.redacted(&refusal.code),
        message: refusal.message.as_deref().map(|message| who.redacted(message)),
        request_id: refusal.request_id.as_deref().map(|id| who.redacted(id)),
    };
    let mut failure = match Meaning::of(refusal) {
        Meaning::Denied => access::denied(who, task, refusal),
        Meaning::UnknownKey => key::unknown(who),
        Meaning::WrongSignature => key::wrong_signature(who),
        Meaning::WrongScope => region::wrong_scope(who),
        Meaning::MalformedKey => key::malformed(who),
        Meaning::Expired => key::expired(who),
        Meaning::ClockSkew => key::clock_skew(who),
        Meaning::RegionDisabled => region::disabled(who, task),
        Meaning::NotFound => secret::not_found(who, task),
        Meaning::InvalidRequest => secret::invalid_request(who, task, refusal),
        Meaning::Undecryptable => secret::undecryptable(who, task),
        Meaning::BadParameter => service::bad_parameter(who, task),
        Meaning::Throttled => service::throttled(who),
        Meaning::Failing => service::failing(who, refusal),
        Meaning::Other => service::other(who, task, refusal),
    };
    failure.diagnostic.causes.insert(0, said(refusal));
    failure
}

/// What an error code means for the person who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Denied,
    UnknownKey,
    WrongSignature,
    WrongScope,
    MalformedKey,
    Expired,
    ClockSkew,
    RegionDisabled,
    NotFound,
    InvalidRequest,
    Undecryptable,
    BadParameter,
    Throttled,
    Failing,
    Other,
}

impl Meaning {
    /// Secrets Manager and STS have different codes for the same thing: the first of each row is the JSON service's.
    fn of(refusal: &Refusal) -> Self {
        match refusal.code.as_str() {
            "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => Meaning::Denied,
            "UnrecognizedClientException" | "InvalidClientTokenId" => Meaning::UnknownKey,
            "InvalidSignatureException" | "SignatureDoesNotMatch" => {
                let wording = wording::read(refusal);
                match (wording.is_clock_skew, wording.is_wrong_scope) {
                    (true, _) => Meaning::ClockSkew,
                    (false, true) => Meaning::WrongScope,
                    (false, false) => Meaning::WrongSignature,
                }
            }
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Meaning::ClockSkew,
            "IncompleteSignatureException" | "IncompleteSignature" => Meaning::MalformedKey,
            "MissingAuthenticationTokenException" | "MissingAuthenticationToken" => Meaning::MalformedKey,
            "ExpiredTokenException" | "ExpiredToken" => Meaning::Expired,
            "RegionDisabledException" | "OptInRequired" => Meaning::RegionDisabled,
            "ResourceNotFoundException" => Meaning::NotFound,
            "InvalidRequestException" => Meaning::InvalidRequest,
            "DecryptionFailure" => Meaning::Undecryptable,
            "InvalidParameterException" | "ValidationException" | "ValidationError" => Meaning::BadParameter,
            "ThrottlingException" | "Throttling" | "ThrottledException" => Meaning::Throttled,
            "TooManyRequestsException" | "RequestLimitExceeded" | "RequestThrottled" => Meaning::Throttled,
            "InternalServiceError" | "InternalFailure" | "InternalServerError" => Meaning::Failing,
            "ServiceUnavailableException" | "ServiceUnavailable" => Meaning::Failing,
            _ => Meaning::Other,
        }
    }
}

/// Tells whether a refusal is that of a policy.
pub fn is_denial(refusal: &Refusal) -> bool {
    Meaning::of(refusal) == Meaning::Denied
}

/// Tells whether a refusal is about the secret itself, so that whoever asks again is told the same.
pub fn is_of_secret(refusal: &Refusal) -> bool {
    matches!(Meaning::of(refusal), Meaning::NotFound | Meaning::InvalidRequest | Meaning::Undecryptable)
}

/// Tells whether a secret's description says more of why it was not read.
pub fn wants_description(refusal: &Refusal) -> bool {
    is_of_secret(refusal) || is_denial(refusal) && wording::read(refusal).is_kms_denial
}

/// Refuses an ARN of another region before it is sent: the SDK ignores the region in it.
///
/// # Errors
/// That the two regions differ.
pub fn same_region(who: &Who<'_>, id: &SecretId) -> Result<(), Failure> {
    match id.region() {
        Some(region) if region != who.region => Err(region::mismatch(who, region)),
        _ => Ok(()),
    }
}

/// Tells whether a failure to say who the keys are leaves open whether secrets can be read with them: STS is not
/// reached, not activated in the region, or denied by an endpoint's policy, none of which binds Secrets Manager.
pub fn is_of_sts(failure: &Failure) -> bool {
    is_unreachable(failure) || [region::DISABLED, access::DENIED].contains(&failure.diagnostic.code)
}

pub use access::DENIED as ACCESS_DENIED;
pub use key::no_ambient;
pub use network::{is_unreachable, no_authorities};
pub use region::none as no_region;
pub use secret::no_value;

impl Who<'_> {
    /// Returns the words that every diagnosis has: which credential, which region.
    fn scope(&self) -> String {
        format!("(credential `{}`, region {})", self.credential, self.region)
    }

    /// Returns the access key ID as far as it may be shown: `AKIA…MPLE`.
    fn key(&self) -> String {
        crate::diagnostic::redact::shortened(self.access_key_id)
    }

    /// Returns a text of the service without our own secrets, with access key IDs as far as they may be shown, without
    /// control characters, and not too long.
    fn redacted(&self, text: &str) -> String {
        const LONGEST: usize = 1000;
        let text = match self.access_key_id {
            "" => text.to_owned(),
            id => text.replace(id, &self.key()),
        };
        let text = self
            .secrets
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text, |text, secret| if text.contains(secret) { text.replace(secret, "***") } else { text });
        let text = crate::diagnostic::redact::redacted(&text);
        let text = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        text.take(LONGEST).collect()
    }
}

/// Returns the service's own words: its code, its message, and the request ID that AWS's support asks for.
fn said(refusal: &Refusal) -> String {
    let mut words = format!("AWS says {}", refusal.code);
    if let Some(message) = refusal.message.as_deref().filter(|message| !message.is_empty()) {
        words += &format!(": {}", message.trim_end_matches('.'));
    }
    if let Some(id) = &refusal.request_id {
        words += &format!(" (request ID {id})");
    }
    words
}

fn failure(kind: FailureKind, code: &'static str, what: String) -> Failure {
    Failure::new(kind, Diagnostic::error(code, what))
}

impl Failure {
    fn cause(mut self, cause: impl Into<String>) -> Self {
        self.diagnostic.causes.push(cause.into());
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.diagnostic.hints.push(hint.into());
        self
    }
}
