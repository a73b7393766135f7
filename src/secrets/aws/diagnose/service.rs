//! Diagnoses failures that neither the keys nor the secret cause: a throttling or failing service, an invalid request.

use super::request::{Caller, Operation, failure};
use crate::diagnostic::foreign::ForeignText;
use crate::secrets::aws::call_error::ServiceError;
use crate::secrets::{ProviderError, ProviderErrorKind};

/// The service throttled every attempt.
pub fn throttled(caller: &Caller<'_>, operation: &Operation<'_>) -> ProviderError {
    failed("throttled", "AWS throttles the requests", caller, operation)
        .cause("other programs of the account ask the same service, which has one limit per account and region")
        .hint("try again later, or ask AWS for a higher limit")
}

/// The service failed on every attempt.
pub fn failing(caller: &Caller<'_>, operation: &Operation<'_>, refusal: &ServiceError) -> ProviderError {
    let what = format!("AWS failed with {}", ForeignText::new(&refusal.code));
    failed("service-failed", &what, caller, operation).hint("try again later; health.aws.amazon.com shows outages")
}

/// The service does not accept the request.
pub fn bad_parameter(caller: &Caller<'_>, operation: &Operation<'_>) -> ProviderError {
    let what = format!("AWS does not accept the request {}", operation.action());
    failed("bad-request", &what, caller, operation).hint(match operation {
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
    let what = format!("{} failed with {}", operation.action(), ForeignText::new(&refusal.code));
    failed("aws-error", &what, caller, operation).hint("look the code up in the service's API reference")
}

/// Returns an error that each request may meet, whatever its secret is.
fn failed(code: &'static str, what: &str, caller: &Caller<'_>, operation: &Operation<'_>) -> ProviderError {
    let failure = failure(ProviderErrorKind::Other, code, format!("{what} {}", caller.scope()));
    match operation.secret() {
        Some(id) => failure.about(&format!("{what} for"), id, caller),
        None => failure,
    }
}
