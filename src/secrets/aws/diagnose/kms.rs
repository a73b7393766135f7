//! Diagnoses a secret that may be read but whose KMS key denies. AWS names neither the action nor the key.

use super::iam;
use super::request::{Caller, PROPAGATION, failure};
use crate::manifest::reference::SecretId;
use crate::secrets::aws::arn::{account, partition};
use crate::secrets::{ProviderError, ProviderErrorKind, SecretDescription};

/// The alias of the AWS managed key.
const DEFAULT_KEY: &str = "alias/aws/secretsmanager";

/// Which account the secret is in, if known.
enum SecretAccount<'a> {
    /// The caller's: a name cannot refer to another account.
    Ours,
    Other {
        ours: &'a str,
    },
    Unknown,
}

/// Diagnoses `Access to KMS is not allowed`. `known` is the secret's description, if available.
pub fn denied(caller: &Caller<'_>, id: &SecretId, known: Option<&SecretDescription>) -> ProviderError {
    let what = "access denied: kms:Decrypt on the key of";
    let failure = failure(ProviderErrorKind::Denied, "kms-access-denied", format!("{what} {id} {}", caller.scope()));
    let failure = failure.about(what, id, caller);
    let arn = known.and_then(|known| known.arn.as_deref()).or(id.is_arn().then(|| id.as_str()));
    let place = match (id.is_arn(), arn.and_then(account), caller.account) {
        (false, ..) => SecretAccount::Ours,
        (true, Some(theirs), Some(ours)) if theirs == ours => SecretAccount::Ours,
        (true, Some(_), Some(ours)) => SecretAccount::Other { ours },
        _ => SecretAccount::Unknown,
    };
    let key = known.and_then(|known| known.kms_key_id.as_deref());
    let has_default_key = known.is_some() && key.is_none_or(|key| key.ends_with(DEFAULT_KEY));
    let failure = match has_default_key {
        true => default_key(failure, &place),
        false => own_key(failure, caller, &place, &iam::KmsKey::new(caller, key, arn.and_then(account))),
    };
    failure.hint("listing and describing secrets never decrypts, so that it works says nothing of the key")
}

/// The AWS managed key needs no statement in its own account, and no statement helps in another.
fn default_key(failure: ProviderError, place: &SecretAccount<'_>) -> ProviderError {
    const UNUSABLE: &str = "and encrypted with aws/secretsmanager, which no other can use";
    const ENCRYPT: &str = "encrypt it with a customer-managed key whose policy lets this account use it";
    const ASSUME: &str = "or assume a role of the account that it belongs to, with `role_arn`";
    const DENY: &str = "a policy denies kms:Decrypt explicitly, since aws/secretsmanager needs none that allows it";
    const LOOK: &str =
        "look for a Deny in the identity's policies, its permissions boundary and the organisation's policies";
    match place {
        SecretAccount::Ours => failure.cause(DENY).cause(PROPAGATION).hint(LOOK),
        SecretAccount::Other { .. } => {
            failure.cause(format!("the secret is of another account {UNUSABLE}")).hint(ENCRYPT).hint(ASSUME)
        }
        SecretAccount::Unknown => failure
            .cause(format!("the secret may be of another account {UNUSABLE}"))
            .cause(format!("if it is of this account: {DENY}"))
            .cause(PROPAGATION)
            .hint(format!("if it is of another account: {ENCRYPT}"))
            .hint(ASSUME)
            .hint(format!("if it is of this account: {LOOK}")),
    }
}

fn own_key(failure: ProviderError, caller: &Caller<'_>, place: &SecretAccount<'_>, key: &iam::KmsKey) -> ProviderError {
    let failure = failure
        .cause(format!("the identity's policy does not allow kms:Decrypt on {}", key.name))
        .cause("the key's own policy does not let this identity use it, as it must across accounts")
        .cause("the key is disabled or scheduled for deletion")
        .cause(PROPAGATION)
        .hint(format!("add to the identity's policy: {}", key.statement()));
    let SecretAccount::Other { ours } = place else { return failure };
    let root = format!("arn:{}:iam::{ours}:root", partition(caller.region));
    failure.hint(format!("add to the key's policy: {}", iam::statement_for(&root, "kms:Decrypt", "*")))
}
