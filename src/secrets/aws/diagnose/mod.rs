//! Owns the diagnosis: from a fault and what was wanted, to what failed, its likely causes in order, and the next step.
//!
//! It must not show a value, a key, a token or an External ID, nor anything of a body that it could not read.

mod access;
mod iam;
mod key;
mod kms;
mod network;
mod parameter;
mod region;
mod request;
mod secret;
mod service;
mod settings;
mod web_identity;
mod wording;

use super::asked_host::AskedHost;
use super::call_error::{CallError, ServiceError};
use crate::diagnostic::foreign::ForeignText;
use crate::manifest::reference::SecretId;
use crate::secrets::ProviderError;

/// Returns the diagnosis of a fault.
pub fn diagnose(caller: &Caller<'_>, operation: &Operation<'_>, host: &AskedHost, fault: &CallError) -> ProviderError {
    match fault {
        CallError::Refused(refusal) => refused(caller, operation, refusal),
        CallError::Unanswered(unanswered) => network::diagnose(caller, host, unanswered),
    }
}

fn refused(caller: &Caller<'_>, operation: &Operation<'_>, refusal: &ServiceError) -> ProviderError {
    // so that nothing below can show what the service repeats of the request
    let refusal = &ServiceError {
        code: caller.redacted(&refusal.code),
        message: refusal.message.as_deref().map(|message| caller.redacted(message)),
        request_id: refusal.request_id.as_deref().map(|id| caller.redacted(id)),
    };
    let mut failure = match Meaning::of(refusal) {
        _ if web_identity::is_of_token(operation, refusal) => web_identity::diagnose(caller, operation, refusal),
        Meaning::Denied => match *operation {
            Operation::Parameter { .. }
            | Operation::Path { .. }
            | Operation::DescribeParameter { .. }
            | Operation::ParameterHistory { .. }
            | Operation::ListParameters => parameter::denied(caller, operation, refusal),
            Operation::AssumeRoleWithToken { role, claims } => web_identity::denied(caller, role, claims),
            _ => access::denied(caller, operation, refusal),
        },
        Meaning::UnknownKey => key::unknown(caller),
        Meaning::WrongSignature => key::wrong_signature(caller),
        Meaning::WrongScope => region::wrong_scope(caller),
        Meaning::MalformedKey => key::malformed(caller),
        Meaning::Expired => key::expired(caller),
        Meaning::ClockSkew => key::clock_skew(caller),
        Meaning::RegionDisabled => region::disabled(caller, operation),
        Meaning::NotFound => secret::not_found(caller, operation),
        Meaning::InvalidRequest => secret::invalid_request(caller, operation, refusal),
        Meaning::Undecryptable => secret::undecryptable(caller, operation),
        Meaning::BadParameter => service::bad_parameter(caller, operation),
        Meaning::Throttled => service::throttled(caller),
        Meaning::Failing => service::failing(caller, refusal),
        Meaning::Other => service::other(caller, operation, refusal),
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
    fn of(refusal: &ServiceError) -> Self {
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
            "ResourceNotFoundException" | "ParameterNotFound" | "ParameterVersionNotFound" => Meaning::NotFound,
            "InvalidRequestException" => Meaning::InvalidRequest,
            "DecryptionFailure" | "InvalidKeyId" => Meaning::Undecryptable,
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
pub fn is_denial(refusal: &ServiceError) -> bool {
    Meaning::of(refusal) == Meaning::Denied
}

/// Tells whether a refusal is about the secret itself, so that asking again gives the same answer.
pub fn is_of_secret(refusal: &ServiceError) -> bool {
    matches!(Meaning::of(refusal), Meaning::NotFound | Meaning::InvalidRequest | Meaning::Undecryptable)
}

/// Tells whether a secret's description says more of why it was not read.
pub fn wants_description(refusal: &ServiceError) -> bool {
    is_of_secret(refusal) || is_denial(refusal) && wording::read(refusal).is_kms_denial
}

/// Refuses an ARN of another region before it is sent: the SDK ignores the region in it.
///
/// # Errors
/// That the two regions differ.
pub fn same_region(caller: &Caller<'_>, id: &SecretId) -> Result<(), ProviderError> {
    match id.region() {
        Some(region) if region != caller.region => Err(region::mismatch(caller, region)),
        _ => Ok(()),
    }
}

/// Tells whether a failure to say who the keys are leaves open whether secrets can be read with them: STS is not
/// reached, not activated in the region, or denied by an endpoint's policy, none of which binds Secrets Manager.
pub fn is_of_sts(failure: &ProviderError) -> bool {
    is_unreachable(failure) || [region::DISABLED, access::DENIED].contains(&failure.diagnostic.code)
}

/// Tells whether nothing was sent, since the credential has no keys or no region.
pub fn is_without_keys(failure: &ProviderError) -> bool {
    [key::NO_AMBIENT, region::NO_REGION].contains(&failure.diagnostic.code)
}

pub use access::DENIED as ACCESS_DENIED;
pub use key::no_ambient;
pub use network::{is_of_settings, is_unreachable, no_authorities};
pub use parameter::{
    no_version as no_parameter_version, not_found as no_parameter, nothing_below, wants_key as wants_key_of_parameter,
};
pub use region::none as no_region;
pub use request::{Caller, Operation, TokenClaims};
pub use secret::no_value;
pub use settings::{bad_ca_bundle, bad_endpoint, no_ca_bundle};

/// Returns the service's own words: its code, its message, and the request ID that AWS's support asks for.
fn said(refusal: &ServiceError) -> String {
    let mut words = format!("AWS says {}", ForeignText::new(&refusal.code));
    if let Some(message) = refusal.message.as_deref().filter(|message| !message.is_empty()) {
        words += &format!(": {}", ForeignText::new(message.trim_end_matches('.')));
    }
    if let Some(id) = &refusal.request_id {
        words += &format!(" (request ID {})", ForeignText::new(id));
    }
    words
}
