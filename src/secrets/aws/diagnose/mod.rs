//! Turns an error and its operation into a diagnosis: what failed, the likely causes in order, and the next step.
//!
//! It must not show a value, a key, a token, an External ID, or any part of a body that it could not parse.

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

/// Diagnoses an error.
pub fn diagnose(caller: &Caller<'_>, operation: &Operation<'_>, host: &AskedHost, fault: &CallError) -> ProviderError {
    match fault {
        CallError::Refused(refusal) => refused(caller, operation, refusal),
        CallError::Unanswered(unanswered) => network::diagnose(caller, host, unanswered),
    }
}

fn refused(caller: &Caller<'_>, operation: &Operation<'_>, refusal: &ServiceError) -> ProviderError {
    // so nothing below can show a part of the request that the service repeats
    let refusal = &ServiceError {
        code: caller.redacted(&refusal.code),
        message: refusal.message.as_deref().map(|message| caller.redacted(message)),
        request_id: refusal.request_id.as_deref().map(|id| caller.redacted(id)),
    };
    let mut failure = match ErrorMeaning::of(refusal) {
        _ if web_identity::is_of_token(operation, refusal) => web_identity::diagnose(caller, operation, refusal),
        ErrorMeaning::Denied => match *operation {
            Operation::Parameter { .. }
            | Operation::Path { .. }
            | Operation::DescribeParameter { .. }
            | Operation::ParameterHistory { .. }
            | Operation::ListParameters => parameter::denied(caller, operation, refusal),
            Operation::AssumeRoleWithToken { role, claims } => web_identity::denied(caller, role, claims),
            _ => access::denied(caller, operation, refusal),
        },
        ErrorMeaning::UnknownKey => key::unknown(caller),
        ErrorMeaning::WrongSignature => key::wrong_signature(caller),
        ErrorMeaning::WrongScope => region::wrong_scope(caller),
        ErrorMeaning::MalformedKey => key::malformed(caller),
        ErrorMeaning::Expired => key::expired(caller),
        ErrorMeaning::ClockSkew => key::clock_skew(caller),
        ErrorMeaning::RegionDisabled => region::disabled(caller, operation),
        ErrorMeaning::NotFound => secret::not_found(caller, operation),
        ErrorMeaning::InvalidRequest => secret::invalid_request(caller, operation, refusal),
        ErrorMeaning::Undecryptable => secret::undecryptable(caller, operation),
        ErrorMeaning::BadParameter => service::bad_parameter(caller, operation),
        ErrorMeaning::Throttled => service::throttled(caller, operation),
        ErrorMeaning::Failing => service::failing(caller, operation, refusal),
        ErrorMeaning::Other => service::other(caller, operation, refusal),
    };
    failure.diagnostic.causes.insert(0, said(refusal));
    failure
}

/// What an error code means for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorMeaning {
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

impl ErrorMeaning {
    /// Secrets Manager and STS have different codes for the same error: the first of each row is from the JSON services.
    fn of(refusal: &ServiceError) -> Self {
        match refusal.code.as_str() {
            "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => ErrorMeaning::Denied,
            "UnrecognizedClientException" | "InvalidClientTokenId" => ErrorMeaning::UnknownKey,
            "InvalidSignatureException" | "SignatureDoesNotMatch" => {
                let wording = wording::read(refusal);
                match (wording.is_clock_skew, wording.is_wrong_scope) {
                    (true, _) => ErrorMeaning::ClockSkew,
                    (false, true) => ErrorMeaning::WrongScope,
                    (false, false) => ErrorMeaning::WrongSignature,
                }
            }
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => ErrorMeaning::ClockSkew,
            "IncompleteSignatureException" | "IncompleteSignature" => ErrorMeaning::MalformedKey,
            "MissingAuthenticationTokenException" | "MissingAuthenticationToken" => ErrorMeaning::MalformedKey,
            "ExpiredTokenException" | "ExpiredToken" => ErrorMeaning::Expired,
            "RegionDisabledException" | "OptInRequired" => ErrorMeaning::RegionDisabled,
            "ResourceNotFoundException" | "ParameterNotFound" | "ParameterVersionNotFound" => ErrorMeaning::NotFound,
            "InvalidRequestException" => ErrorMeaning::InvalidRequest,
            "DecryptionFailure" | "InvalidKeyId" => ErrorMeaning::Undecryptable,
            "InvalidParameterException" | "ValidationException" | "ValidationError" => ErrorMeaning::BadParameter,
            "ThrottlingException" | "Throttling" | "ThrottledException" => ErrorMeaning::Throttled,
            "TooManyRequestsException" | "RequestLimitExceeded" | "RequestThrottled" => ErrorMeaning::Throttled,
            "InternalServiceError" | "InternalFailure" | "InternalServerError" => ErrorMeaning::Failing,
            "ServiceUnavailableException" | "ServiceUnavailable" => ErrorMeaning::Failing,
            _ => ErrorMeaning::Other,
        }
    }
}

/// Tells whether a policy denied the request.
pub fn is_denial(refusal: &ServiceError) -> bool {
    ErrorMeaning::of(refusal) == ErrorMeaning::Denied
}

/// Tells whether a refusal is about the secret itself, so a retry gives the same answer.
pub fn is_of_secret(refusal: &ServiceError) -> bool {
    matches!(
        ErrorMeaning::of(refusal),
        ErrorMeaning::NotFound | ErrorMeaning::InvalidRequest | ErrorMeaning::Undecryptable
    )
}

/// Tells whether the secret's description can help to explain the refusal.
pub fn wants_description(refusal: &ServiceError) -> bool {
    is_of_secret(refusal) || is_denial(refusal) && wording::read(refusal).is_kms_denial
}

/// Refuses an ARN of another region before it is sent, because the SDK ignores the region in an ARN.
pub fn same_region(caller: &Caller<'_>, id: &SecretId) -> Result<(), ProviderError> {
    match id.region() {
        Some(region) if region != caller.region => Err(region::mismatch(caller, region)),
        _ => Ok(()),
    }
}

/// Tells whether secrets may still be readable although STS did not identify the keys: STS was not reached, is not activated in
/// the region, or is denied by an endpoint's policy. None of that affects Secrets Manager.
pub fn is_of_sts(failure: &ProviderError) -> bool {
    is_unreachable(failure) || [region::DISABLED, access::DENIED].contains(&failure.diagnostic.code)
}

/// Tells whether nothing was sent because the credential has no keys or no region.
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

/// Returns the service's code and message, and the request ID for AWS's support.
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
