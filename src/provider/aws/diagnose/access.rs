//! Owns the diagnosis of what a policy denies, with the statement that would allow it.

use super::wording::{self, Wording};
use super::{Task, Who, failure, iam};
use crate::arn::account;
use crate::manifest::reference::SecretId;
use crate::provider::aws::fault::Refusal;
use crate::provider::{Description, Failure, FailureKind};

/// What every denial may be, last of all its causes.
pub const PROPAGATION: &str =
    "a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two";

/// Diagnoses a denial.
pub fn denied(who: &Who<'_>, task: &Task<'_>, refusal: &Refusal) -> Failure {
    let wording = wording::read(refusal);
    match *task {
        Task::AssumeRole { role, external_id } => assume_role(who, role, external_id, &wording),
        Task::Read { id, known, .. } if wording.is_kms_denial => decrypt(who, id, known),
        Task::Read { id, .. } => secret(who, "secretsmanager:GetSecretValue", id, &wording),
        Task::Describe { id } => secret(who, "secretsmanager:DescribeSecret", id, &wording),
        Task::List => list(who, &wording),
        Task::Identity => {
            let what = format!("access denied: sts:GetCallerIdentity {}", who.scope());
            failure(FailureKind::Denied, "access-denied", what)
                .cause("an organisation's policy or a VPC endpoint's policy denies it: no other can")
        }
    }
}

fn secret(who: &Who<'_>, action: &str, id: &SecretId, wording: &Wording<'_>) -> Failure {
    let what = format!("access denied: {action} on {id} {}", who.scope());
    let mut failure = failure(FailureKind::Denied, "access-denied", what);
    let suspect = !id.is_arn() && wording.resource.is_some_and(|arn| iam::lacks_suffix(arn, id));
    if suspect {
        failure = failure.cause(format!(
            "there is probably no `{id}` in {}: AWS looks at policies first, and found no ARN with a six-character suffix",
            who.region
        ));
    }
    failure = allowed_nowhere(failure, wording, "does not cover this secret");
    if suspect {
        failure = failure.hint(format!("check the secret's name, and that it is in {}", who.region));
    }
    if wording.is_explicit_deny {
        return failure;
    }
    let statement = iam::statement(action, &iam::secret(who, id, None, wording.resource));
    failure.hint(format!("add to {}: {statement}", owner(wording)))
}

fn list(who: &Who<'_>, wording: &Wording<'_>) -> Failure {
    let what = format!("access denied: secretsmanager:ListSecrets {}", who.scope());
    let failure = failure(FailureKind::Denied, "access-denied", what);
    let mut failure = allowed_nowhere(failure, wording, "does not allow it");
    if !wording.is_explicit_deny {
        let statement = iam::statement("secretsmanager:ListSecrets", "*");
        failure = failure.hint(format!("add to {}: {statement}", owner(wording)));
    }
    failure.hint("reading secrets does not need it: only listing them does")
}

fn allowed_nowhere(failure: Failure, wording: &Wording<'_>, lack: &str) -> Failure {
    if wording.is_explicit_deny {
        return failure
            .cause("a policy denies it explicitly, so that to allow it in another does not help")
            .hint("ask whoever owns the organisation's policies, the permissions boundary and the resource's policy");
    }
    failure.cause(format!("the policy is not attached to {}, or it {lack}", principal(wording))).cause(PROPAGATION)
}

/// The key is what denies: the secret itself may be read.
fn decrypt(who: &Who<'_>, id: &SecretId, known: Option<&Description>) -> Failure {
    let what = format!("access denied: kms:Decrypt on the key of {id} {}", who.scope());
    let mut failure = failure(FailureKind::Denied, "kms-access-denied", what);
    let arn = known.and_then(|known| known.arn.as_deref()).or(id.is_arn().then(|| id.as_str()));
    let key = known.and_then(|known| known.kms_key_id.as_deref());
    let has_default_key = known.is_some() && key.is_none();
    if has_default_key && id.is_arn() {
        // only an ARN reaches into another account
        failure = failure
            .cause("the secret is of another account and encrypted with aws/secretsmanager, which no other can use")
            .hint("encrypt it with a customer-managed key whose policy lets this account use it");
    }
    let key = iam::Key::new(who, key, arn.and_then(account));
    failure = failure.cause(format!("the identity's policy does not allow kms:Decrypt on {}", key.name));
    if !has_default_key {
        failure = failure
            .cause("the key's own policy does not let this identity use it, as it must across accounts")
            .cause("the key is disabled or scheduled for deletion");
    }
    failure
        .cause(PROPAGATION)
        .hint(format!("add to the identity's policy: {}", key.statement()))
        .hint("listing and describing secrets never decrypts, so that it works says nothing of the key")
}

/// A refusal of AssumeRole never says which of its three causes it is.
fn assume_role(who: &Who<'_>, role: &str, external_id: bool, wording: &Wording<'_>) -> Failure {
    let what = format!("access denied: sts:AssumeRole on {role} {}", who.scope());
    let failure = failure(FailureKind::Denied, "assume-role-denied", what);
    if wording.is_explicit_deny {
        return allowed_nowhere(failure, wording, "");
    }
    let user = wording.principal.unwrap_or("arn:aws:iam::ACCOUNT:user/NAME");
    failure
        .cause(format!("the policy of {} does not allow sts:AssumeRole on the role", principal(wording)))
        .cause(format!("the role's trust policy does not allow {}", principal(wording)))
        .cause(match external_id {
            true => "the External ID does not match the one in the role's trust policy",
            false => "the role's trust policy asks for an External ID, and the credential has none",
        })
        .cause(PROPAGATION)
        .hint(format!("add to the user's policy: {}", iam::statement("sts:AssumeRole", role)))
        .hint(format!(
            r#"the role's trust policy: {{"Effect":"Allow","Principal":{{"AWS":"{user}"}},"Action":"sts:AssumeRole"{}}}"#,
            match external_id {
                true => r#","Condition":{"StringEquals":{"sts:ExternalId":"EXTERNAL_ID"}}"#,
                false => "",
            }
        ))
}

fn principal<'a>(wording: &Wording<'a>) -> &'a str {
    wording.principal.unwrap_or("this user")
}

fn owner(wording: &Wording<'_>) -> String {
    match wording.principal {
        Some(arn) => format!("the policy of {arn}"),
        None => "the identity's policy".to_owned(),
    }
}
