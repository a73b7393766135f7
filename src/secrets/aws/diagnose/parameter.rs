//! Diagnoses errors of Parameter Store: missing parameters, versions and labels, denials by policies and by KMS keys.

use super::access::{DENIED, DeniedAction, explained, is_across};
use super::iam;
use super::request::{Caller, Operation, PROPAGATION, failure};
use super::wording::{self, Wording};
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::secrets::aws::arn::account;
use crate::secrets::aws::call_error::ServiceError;
use crate::secrets::{ProviderError, ProviderErrorKind, SecretDescription};

/// The alias of the AWS managed key.
const DEFAULT_KEY: &str = "alias/aws/ssm";

/// Tells whether the KMS key of the parameter caused the refusal; then the parameter's description names the key.
pub fn wants_key(refusal: &ServiceError) -> bool {
    super::is_denial(refusal) && is_of_key(refusal) || refusal.code == "InvalidKeyId"
}

/// Parameter Store passes on KMS's message, with or without the action and the key.
fn is_of_key(refusal: &ServiceError) -> bool {
    let message = refusal.message.as_deref().unwrap_or_default();
    message.contains("kms:Decrypt") || message.contains("ciphertext refers to a customer master key")
}

/// The parameter does not exist.
pub fn not_found(caller: &Caller<'_>, id: &SecretId) -> ProviderError {
    let what = format!("parameter not found: {id} {}", caller.scope());
    let failure = failure(ProviderErrorKind::NotFound, "secret-not-found", what);
    let failure = match id.is_arn() {
        true => failure.cause("it was deleted, or its owner does not share it with this account"),
        false => failure
            .cause(format!("the name is misspelt, or the parameter is in another region than {}", caller.region))
            .cause("it belongs to another account, where only its ARN reaches it"),
    };
    let failure = match id.as_str().contains('/') && !id.is_arn() && !id.as_str().starts_with('/') {
        true => failure.cause("the name of a parameter in a path begins with `/`"),
        false => failure,
    };
    failure.hint(format!("`{}` shows the names", caller.list_command()))
}

/// There is no parameter below a path.
pub fn nothing_below(caller: &Caller<'_>, path: &SecretId) -> ProviderError {
    let what = format!("no parameter below {path} {}", caller.scope());
    failure(ProviderErrorKind::NotFound, "nothing-below", what)
        .cause(format!("the path is misspelt, or its parameters are in another region than {}", caller.region))
        .cause("they belong to another account, where no path reaches them")
        .hint(format!("`{}` shows the names", caller.list_command()))
}

/// The parameter has no version of this number or label.
pub fn no_version(caller: &Caller<'_>, id: &SecretId, version: &Version, newest: u64) -> ProviderError {
    let asked = match version {
        Version::Current => "AWSCURRENT".to_owned(),
        Version::Stage(label) => format!("the label {label}"),
        Version::Id(number) => format!("the number {number}"),
    };
    let what = format!("parameter version not found: {id} has none with {asked} {}", caller.scope());
    let name = id.as_str();
    let region = caller.region;
    failure(ProviderErrorKind::NotFound, "version-not-found", what)
        .cause("AWS keeps the last 100 versions, and a label moves from one version to another")
        .hint(format!(
            "its newest version is {newest}; see all with `aws ssm get-parameter-history --region {region} --name {name}`"
        ))
}

/// A policy denies the action.
pub fn denied(caller: &Caller<'_>, operation: &Operation<'_>, refusal: &ServiceError) -> ProviderError {
    let wording = wording::read(refusal);
    if let (Operation::Parameter { id, known, .. }, true) = (operation, is_of_key(refusal)) {
        return key_denied(caller, &id.to_string(), Some(id), *known, &wording);
    }
    if let (Operation::Path { path }, true) = (operation, is_of_key(refusal)) {
        return key_denied(caller, &format!("a parameter below {path}"), None, None, &wording);
    }
    let action = operation.action();
    let (subject, resource) = match operation {
        Operation::Parameter { id, .. } | Operation::ParameterHistory { id } => {
            (format!(" on {id}"), iam::parameter(caller, id.as_str(), wording.resource))
        }
        Operation::Path { path } => {
            (format!(" on {path}"), iam::parameter(caller, path.as_str().trim_end_matches('/'), wording.resource))
        }
        // AWS accepts no narrower resource for it
        Operation::DescribeParameter { id } => (format!(" for {id}"), "*".to_owned()),
        _ => (String::new(), "*".to_owned()),
    };
    let what = format!("access denied: {action}{subject} {}", caller.scope());
    let denied = DeniedAction {
        action,
        resource: &resource,
        own_policy: "the parameter's resource share",
        lack: match operation {
            _ if resource == "*" => "does not allow it",
            Operation::Path { .. } => "does not cover this path",
            _ => "does not cover this parameter",
        },
        is_across: is_across(caller, &resource, &wording),
    };
    let failure = explained(failure(ProviderErrorKind::Denied, DENIED, what), &wording, &denied);
    match operation {
        Operation::ListParameters | Operation::DescribeParameter { .. } => {
            failure.hint("reading parameters does not need it: listing, --online and drift do")
        }
        Operation::ParameterHistory { .. } => {
            failure.hint("reading parameters does not need it: --online and drift of a version or label do")
        }
        _ => failure,
    }
}

/// The parameter may be read, but its KMS key denies. `id` is the parameter's, if it is known.
fn key_denied(
    caller: &Caller<'_>,
    subject: &str,
    id: Option<&SecretId>,
    known: Option<&SecretDescription>,
    wording: &Wording<'_>,
) -> ProviderError {
    let what = format!("access denied: kms:Decrypt on the key of {subject} {}", caller.scope());
    let failure = failure(ProviderErrorKind::Denied, "kms-access-denied", what);
    let named = wording.resource.filter(|arn| arn.split(':').nth(2) == Some("kms"));
    let key = named.or(known.and_then(|known| known.kms_key_id.as_deref()));
    if key.is_some_and(|key| key.ends_with(DEFAULT_KEY)) {
        return failure
            .cause("a policy denies kms:Decrypt explicitly, since aws/ssm needs none that allows it")
            .cause(PROPAGATION)
            .hint(
                "look for a Deny in the identity's policies, its permissions boundary and the organisation's policies",
            );
    }
    let of_id = id.filter(|id| id.is_arn()).and_then(|id| account(id.as_str()));
    let key = iam::KmsKey::new(caller, key, of_id.or(caller.account));
    failure
        .cause(format!("the identity's policy does not allow kms:Decrypt on {}", key.name))
        .cause("the key's own policy does not let this identity use it, as it must across accounts")
        .cause("the key is disabled or scheduled for deletion")
        .cause(PROPAGATION)
        .hint(format!("add to the identity's policy: {}", key.statement()))
        .hint("listing and describing parameters never decrypts, so that it works says nothing of the key")
}

/// KMS cannot decrypt it for anyone.
pub fn undecryptable(caller: &Caller<'_>, id: &SecretId, known: Option<&SecretDescription>) -> ProviderError {
    let key = known.and_then(|known| known.kms_key_id.as_deref()).unwrap_or(DEFAULT_KEY);
    let what = format!("the parameter {id} cannot be decrypted {}", caller.scope());
    failure(ProviderErrorKind::Other, "decryption-failed", what)
        .cause(format!("the KMS key {key} is disabled, scheduled for deletion or gone"))
        .hint("enable the key or cancel its deletion, or store the parameter again with another key")
}

/// KMS cannot decrypt one of the parameters below a path; AWS does not say which.
pub fn undecryptable_below(caller: &Caller<'_>, path: &SecretId) -> ProviderError {
    let what = format!("a parameter below {path} cannot be decrypted {}", caller.scope());
    failure(ProviderErrorKind::Other, "decryption-failed", what)
        .cause("the KMS key of one of them is disabled, scheduled for deletion or gone")
        .hint("enable the key or cancel its deletion, or store the parameter again with another key")
}
