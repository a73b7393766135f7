//! Diagnoses failures that neither the keys nor the secret cause: a throttling or failing service, an invalid request.

use super::request::{Caller, Operation, failure};
use crate::diagnostic::foreign::ForeignText;
use crate::secrets::aws::call_error::ServiceError;
use crate::secrets::{ProviderError, ProviderErrorKind};

/// The service throttled every attempt.
pub fn throttled(caller: &Caller<'_>) -> ProviderError {
    let what = format!("AWS throttles the requests {}", caller.scope());
    failure(ProviderErrorKind::Other, "throttled", what)
        .cause("other programs of the account ask the same service, which has one limit per account and region")
        .hint("try again later, or ask AWS for a higher limit")
}

/// The service failed on every attempt.
pub fn failing(caller: &Caller<'_>, refusal: &ServiceError) -> ProviderError {
    let what = format!("AWS failed with {} {}", ForeignText::new(&refusal.code), caller.scope());
    failure(ProviderErrorKind::Other, "service-failed", what)
        .hint("try again later; health.aws.amazon.com shows outages")
}

/// The service does not accept the request.
pub fn bad_parameter(caller: &Caller<'_>, operation: &Operation<'_>) -> ProviderError {
    let what = format!("AWS does not accept the request {} {}", operation.action(), caller.scope());
    failure(ProviderErrorKind::Other, "bad-request", what).hint(match operation {
        Operation::AssumeRole { .. } => "check the credential's role_arn and external_id",
        Operation::AssumeRoleWithToken { .. } => "check the credential's role_arn and web_identity_token",
        Operation::Parameter { .. } => "check the parameter's name or ARN, and its version or label",
        Operation::Path { .. } => "check the path, which has names of letters, digits and .-_ between its slashes",
        Operation::Read { .. } => "check the secret's name or ARN, and its version_stage or version_id",
        _ => "check the secret's name or ARN",
    })
}

/// An unknown error code.
pub fn other(caller: &Caller<'_>, operation: &Operation<'_>, refusal: &ServiceError) -> ProviderError {
    let what = format!("{} failed with {} {}", operation.action(), ForeignText::new(&refusal.code), caller.scope());
    failure(ProviderErrorKind::Other, "aws-error", what).hint("look the code up in the service's API reference")
}
