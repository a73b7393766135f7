//! Diagnoses secrets that do not exist, lack the requested version, or cannot be read or decrypted.

use super::parameter;
use super::request::{Caller, Operation, failure};
use super::service;
use super::wording;
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::secrets::aws::arn;
use crate::secrets::aws::call_error::ServiceError;
use crate::secrets::{ProviderError, ProviderErrorKind, SecretDescription};

/// The secret or the requested version does not exist.
pub fn not_found(caller: &Caller<'_>, operation: &Operation<'_>) -> ProviderError {
    match *operation {
        Operation::Read { id, version, known: Some(known) } => no_version(caller, id, version, known),
        Operation::Read { id, .. } | Operation::Describe { id } => no_secret(caller, id),
        Operation::Parameter { id, .. } | Operation::DescribeParameter { id } | Operation::ParameterHistory { id } => {
            parameter::not_found(caller, id)
        }
        _ => service::other(caller, operation, &ServiceError::of_code("ResourceNotFoundException")),
    }
}

fn no_secret(caller: &Caller<'_>, id: &SecretId) -> ProviderError {
    let what = format!("secret not found: {id} {}", caller.scope());
    let failure = failure(ProviderErrorKind::NotFound, "secret-not-found", what);
    let failure = if !id.is_arn() {
        failure
            .cause(format!("the name is misspelt, or the secret is in another region than {}", caller.region))
            .cause("it belongs to another account, where only its ARN reaches it")
    } else if arn::has_suffix(id.as_str()) {
        failure.cause("it was deleted, or recreated: then it has another six-character suffix")
    } else {
        failure.cause("an ARN ends in a hyphen and six random characters, and this one does not")
    };
    failure.hint(format!("`{}` shows the names; a new one can take five minutes to appear", caller.list_command()))
}

fn no_version(caller: &Caller<'_>, id: &SecretId, version: &Version, known: &SecretDescription) -> ProviderError {
    let asked = match version {
        Version::Current => "the stage AWSCURRENT".to_owned(),
        Version::Stage(stage) => format!("the stage {stage}"),
        Version::Id(version) => format!("the ID {version}"),
    };
    let what = format!("secret version not found: {id} has none with {asked} {}", caller.scope());
    let failure = failure(ProviderErrorKind::NotFound, "version-not-found", what);
    match known.stages()[..] {
        [] => failure.cause("the secret was made without a value").hint("store a value in it"),
        ref stages => failure
            .cause("AWS keeps a version only while it has a stage")
            .hint(format!("its stages are {}", stages.join(", "))),
    }
}

/// The secret exists, but its state does not allow reading it.
pub fn invalid_request(caller: &Caller<'_>, operation: &Operation<'_>, refusal: &ServiceError) -> ProviderError {
    let (id, known) = match *operation {
        Operation::Read { id, known, .. } => (id, known),
        Operation::Describe { id } => (id, None),
        _ => return service::other(caller, operation, refusal),
    };
    if known.is_some_and(|known| known.deleted) {
        let what = format!("the secret {id} is scheduled for deletion {}", caller.scope());
        let restore = format!("aws secretsmanager restore-secret --region {} --secret-id {id}", caller.region);
        return failure(ProviderErrorKind::Other, "secret-deleted", what)
            .cause("someone deleted it, and its recovery window is still open")
            .hint(format!("refer to its successor, or restore it: `{restore}`"));
    }
    if wording::read(refusal).is_default_key {
        let what = format!("the secret {id} cannot be read from another account {}", caller.scope());
        return failure(ProviderErrorKind::Denied, "default-key-across-accounts", what)
            .cause("it is encrypted with aws/secretsmanager, a key that no other account can use")
            .hint("encrypt it with a customer-managed key whose policy lets this account use it")
            .hint("or assume a role of the account that it belongs to, with `role_arn`");
    }
    let what = format!("the secret {id} cannot be read as it is {}", caller.scope());
    failure(ProviderErrorKind::Other, "secret-state", what).hint("look at the secret in the AWS console")
}

/// KMS cannot decrypt it for anyone.
pub fn undecryptable(caller: &Caller<'_>, operation: &Operation<'_>) -> ProviderError {
    let (id, known) = match *operation {
        Operation::Read { id, known, .. } => (id, known),
        Operation::Parameter { id, known, .. } => return parameter::undecryptable(caller, id, known),
        Operation::Path { path } => return parameter::undecryptable_below(caller, path),
        _ => return service::other(caller, operation, &ServiceError::of_code("DecryptionFailure")),
    };
    let key = known.and_then(|known| known.kms_key_id.as_deref()).unwrap_or("aws/secretsmanager");
    let what = format!("the secret {id} cannot be decrypted {}", caller.scope());
    failure(ProviderErrorKind::Other, "decryption-failed", what)
        .cause(format!("the KMS key {key} is disabled, scheduled for deletion or gone"))
        .hint("enable the key or cancel its deletion, or store the secret again with another key")
}

/// The version exists but has no value.
pub fn no_value(caller: &Caller<'_>, id: &SecretId) -> ProviderError {
    let what = format!("the secret {id} holds neither text nor binary {}", caller.scope());
    failure(ProviderErrorKind::Other, "no-value", what).hint("store a value in it")
}
