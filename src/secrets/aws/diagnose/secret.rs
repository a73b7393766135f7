//! Owns the diagnosis of secrets that are not there, have no such version, or cannot be opened.

use super::wording;
use super::{Task, Who, failure, service};
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::secrets::aws::arn;
use crate::secrets::aws::fault::Refusal;
use crate::secrets::{Description, Failure, FailureKind};

/// The secret, or the version that was asked for, does not exist.
pub fn not_found(who: &Who<'_>, task: &Task<'_>) -> Failure {
    match *task {
        Task::Read { id, version, known: Some(known) } => no_version(who, id, version, known),
        Task::Read { id, .. } | Task::Describe { id } => no_secret(who, id),
        _ => service::other(who, task, &Refusal::named("ResourceNotFoundException")),
    }
}

fn no_secret(who: &Who<'_>, id: &SecretId) -> Failure {
    let what = format!("secret not found: {id} {}", who.scope());
    let failure = failure(FailureKind::NotFound, "secret-not-found", what);
    let failure = if !id.is_arn() {
        failure
            .cause(format!("the name is misspelt, or the secret is in another region than {}", who.region))
            .cause("it belongs to another account, where only its ARN reaches it")
    } else if arn::has_suffix(id.as_str()) {
        failure.cause("it was deleted, or made anew: then its six-character suffix is another")
    } else {
        failure.cause("an ARN ends in a hyphen and six random characters, and this one does not")
    };
    failure.hint(format!(
        "`secretbake secrets list --credential {}` shows the names; a new one can take five minutes to appear",
        who.credential
    ))
}

fn no_version(who: &Who<'_>, id: &SecretId, version: &Version, known: &Description) -> Failure {
    let asked = match version {
        Version::Current => "the stage AWSCURRENT".to_owned(),
        Version::Stage(stage) => format!("the stage {stage}"),
        Version::Id(version) => format!("the ID {version}"),
    };
    let what = format!("secret version not found: {id} has none with {asked} {}", who.scope());
    let failure = failure(FailureKind::NotFound, "version-not-found", what);
    match known.stages()[..] {
        [] => failure.cause("the secret was made without a value").hint("store a value in it"),
        ref stages => failure
            .cause("AWS keeps a version only while it has a stage")
            .hint(format!("its stages are {}", stages.join(", "))),
    }
}

/// The secret is there, and its state forbids to read it.
pub fn invalid_request(who: &Who<'_>, task: &Task<'_>, refusal: &Refusal) -> Failure {
    let (id, known) = match *task {
        Task::Read { id, known, .. } => (id, known),
        Task::Describe { id } => (id, None),
        _ => return service::other(who, task, refusal),
    };
    if known.is_some_and(|known| known.deleted) {
        let what = format!("the secret {id} is scheduled for deletion {}", who.scope());
        let restore = format!("aws secretsmanager restore-secret --region {} --secret-id {id}", who.region);
        return failure(FailureKind::Other, "secret-deleted", what)
            .cause("someone deleted it, and its recovery window is still open")
            .hint(format!("refer to its successor, or restore it: `{restore}`"));
    }
    if wording::read(refusal).is_default_key {
        let what = format!("the secret {id} cannot be read from another account {}", who.scope());
        return failure(FailureKind::Denied, "default-key-across-accounts", what)
            .cause("it is encrypted with aws/secretsmanager, a key that no other account can use")
            .hint("encrypt it with a customer-managed key whose policy lets this account use it")
            .hint("or assume a role of the account that it belongs to, with `role_arn`");
    }
    let what = format!("the secret {id} cannot be read as it is {}", who.scope());
    failure(FailureKind::Other, "secret-state", what).hint("look at the secret in the AWS console")
}

/// KMS cannot decrypt it, whoever asks.
pub fn undecryptable(who: &Who<'_>, task: &Task<'_>) -> Failure {
    let (id, known) = match *task {
        Task::Read { id, known, .. } => (id, known),
        _ => return service::other(who, task, &Refusal::named("DecryptionFailure")),
    };
    let key = known.and_then(|known| known.kms_key_id.as_deref()).unwrap_or("aws/secretsmanager");
    let what = format!("the secret {id} cannot be decrypted {}", who.scope());
    failure(FailureKind::Other, "decryption-failed", what)
        .cause(format!("the KMS key {key} is disabled, scheduled for deletion or gone"))
        .hint("enable the key or cancel its deletion, or store the secret anew with another key")
}

/// There is a version, and nothing in it.
pub fn no_value(who: &Who<'_>, id: &SecretId) -> Failure {
    let what = format!("the secret {id} holds neither text nor binary {}", who.scope());
    failure(FailureKind::Other, "no-value", what).hint("store a value in it")
}
