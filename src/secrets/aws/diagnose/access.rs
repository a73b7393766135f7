//! Diagnoses a denial by a policy: which policy, whose it is, and the statement that would allow the action.

use super::request::{Caller, Operation, PROPAGATION, failure};
use super::wording::{self, PolicyKind, Wording};
use super::{iam, kms};
use crate::diagnostic::ListHint;
use crate::manifest::reference::SecretId;
use crate::secrets::aws::arn::{account, has_suffix, identity};
use crate::secrets::aws::call_error::ServiceError;
use crate::secrets::{ProviderError, ProviderErrorKind};

/// The code of a denial by a policy other than the key's or the role's.
pub const DENIED: &str = "access-denied";

/// What was denied.
pub(super) struct DeniedAction<'a> {
    pub action: &'static str,
    /// The resource in a statement.
    pub resource: &'a str,
    /// What the resource's own policy is called.
    pub own_policy: &'static str,
    /// What is wrong with an identity's policy that exists.
    pub lack: &'static str,
    /// Whether the resource belongs to another account than the identity.
    pub is_across: bool,
}

/// Tells whether a resource belongs to another account than the identity, as far as both accounts are known.
pub(super) fn is_across(caller: &Caller<'_>, resource: &str, wording: &Wording<'_>) -> bool {
    let ours = wording.principal.and_then(account).or(caller.account);
    let theirs = account(resource).filter(|account| *account != "*");
    ours.zip(theirs).is_some_and(|(ours, theirs)| ours != theirs)
}

/// Diagnoses a denial.
pub fn denied(caller: &Caller<'_>, operation: &Operation<'_>, refusal: &ServiceError) -> ProviderError {
    let wording = wording::read(refusal);
    match *operation {
        Operation::AssumeRole { role, external_id } => assume_role(caller, role, external_id, &wording),
        Operation::Read { id, known, .. } if wording.is_kms_denial => kms::denied(caller, id, known),
        Operation::Read { id, .. } => secret(caller, "secretsmanager:GetSecretValue", id, &wording),
        Operation::Describe { id } => secret(caller, "secretsmanager:DescribeSecret", id, &wording),
        Operation::List => list(caller, &wording),
        _ => {
            let what = format!("access denied: {} {}", operation.action(), caller.scope());
            failure(ProviderErrorKind::Denied, DENIED, what)
                .cause("an organisation's policy or a VPC endpoint's policy denies it: no other can")
        }
    }
}

fn secret(caller: &Caller<'_>, action: &'static str, id: &SecretId, wording: &Wording<'_>) -> ProviderError {
    let what = format!("access denied: {action} on");
    let failure = failure(ProviderErrorKind::Denied, DENIED, format!("{what} {id} {}", caller.scope()));
    let failure = failure.about(&what, id, caller);
    let resource = iam::secret(caller, id, None, wording.resource);
    let denied = DeniedAction {
        action,
        resource: &resource,
        own_policy: "the secret's resource policy",
        lack: "does not cover this secret",
        is_across: is_across(caller, &resource, wording),
    };
    explained(suspected(failure, caller, id, wording), wording, &denied)
}

/// Adds that the secret probably does not exist, if AWS's message does not have its full ARN.
fn suspected(failure: ProviderError, caller: &Caller<'_>, id: &SecretId, wording: &Wording<'_>) -> ProviderError {
    if id.is_arn() {
        return match has_suffix(wording.resource.unwrap_or(id.as_str())) {
            true => failure,
            false => failure
                .cause("an ARN ends in a hyphen and six random characters, and this one does not: a policy on the full ARN does not cover it")
                .hint("write the secret's full ARN, as the AWS console shows it"),
        };
    }
    match wording.resource.is_some_and(|arn| iam::lacks_suffix(arn, id)) {
        false => failure,
        true => failure
            .cause(format!(
                "there is probably no `{id}` in {}: AWS looks at policies first, and found no ARN with a six-character suffix",
                caller.region
            ))
            .hint(format!("check the secret's name, and that it is in {}", caller.region)),
    }
}

fn list(caller: &Caller<'_>, wording: &Wording<'_>) -> ProviderError {
    let what = format!("access denied: secretsmanager:ListSecrets {}", caller.scope());
    let denied = DeniedAction {
        action: "secretsmanager:ListSecrets",
        resource: "*",
        own_policy: "the resource's policy",
        lack: "does not allow it",
        is_across: false,
    };
    explained(failure(ProviderErrorKind::Denied, DENIED, what), wording, &denied)
        .hint("reading secrets does not need it: only listing them does")
}

/// Adds which policy denies the action, or which ones must allow it, and the statement to add to each.
pub(super) fn explained(failure: ProviderError, wording: &Wording<'_>, denied: &DeniedAction<'_>) -> ProviderError {
    if wording.is_explicit_deny {
        return explicit(failure, wording, denied.own_policy);
    }
    let said = wording.policy.unwrap_or(PolicyKind::Identity);
    // within an account, one of the two is enough; across accounts, both are needed
    let both =
        [PolicyKind::Identity, PolicyKind::Resource].into_iter().filter(|kind| denied.is_across && *kind != said);
    let kinds: Vec<PolicyKind> = [said].into_iter().chain(both).collect();
    let failure = kinds.iter().fold(failure, |failure, kind| failure.cause(lack(*kind, wording, denied)));
    kinds.iter().fold(failure.cause(PROPAGATION), |failure, kind| {
        let policy = named(*kind, wording, denied.own_policy);
        failure.list_hint(statement(&format!("add to {policy}: "), *kind, wording, denied))
    })
}

/// An explicit deny, which no other policy can override.
fn explicit(failure: ProviderError, wording: &Wording<'_>, own_policy: &str) -> ProviderError {
    let policy = wording.policy.map(|kind| named(kind, wording, own_policy));
    let hint = match &policy {
        Some(policy) => format!("take the Deny out of {policy}, or ask whoever owns it"),
        None => {
            "ask whoever owns the identity's policy, the organisation's policies, the permissions boundary and the \
                 resource's policy"
                .to_owned()
        }
    };
    let policy = policy.as_deref().unwrap_or("a policy");
    failure.cause(format!("{policy} denies it explicitly, so that to allow it in another does not help")).hint(hint)
}

fn lack(kind: PolicyKind, wording: &Wording<'_>, denied: &DeniedAction<'_>) -> String {
    let policy = named(kind, wording, denied.own_policy);
    match kind {
        PolicyKind::Identity => format!("the policy is not attached to {}, or it {}", principal(wording), denied.lack),
        PolicyKind::Resource if denied.is_across => format!("{policy} does not allow it, as it must across accounts"),
        _ => format!("{policy} does not allow it"),
    }
}

fn statement(words: &str, kind: PolicyKind, wording: &Wording<'_>, denied: &DeniedAction<'_>) -> ListHint {
    match kind {
        // the policy belongs to this one resource
        PolicyKind::Resource => iam::statement_hint(words, Some(&user(wording)), denied.action, "*"),
        PolicyKind::Endpoint => iam::statement_hint(words, Some(&user(wording)), denied.action, denied.resource),
        _ => iam::statement_hint(words, None, denied.action, denied.resource),
    }
}

/// Returns a policy's name and its owner.
fn named(kind: PolicyKind, wording: &Wording<'_>, own_policy: &str) -> String {
    let principal = || wording.principal.map_or("the identity".to_owned(), identity);
    match kind {
        PolicyKind::Identity => match wording.principal {
            Some(arn) => format!("the policy of {}", identity(arn)),
            None => "the identity's policy".to_owned(),
        },
        PolicyKind::Resource => own_policy.to_owned(),
        PolicyKind::Boundary => format!("the permissions boundary of {}", principal()),
        PolicyKind::Session => format!("the session policy that the session of {} was started with", principal()),
        PolicyKind::ServiceControl => "the organisation's service control policy".to_owned(),
        PolicyKind::ResourceControl => "the organisation's resource control policy".to_owned(),
        PolicyKind::Endpoint => "the policy of the VPC endpoint on the way".to_owned(),
    }
}

/// Diagnoses a refusal of AssumeRole, which rarely says which of its three causes applies.
fn assume_role(caller: &Caller<'_>, role: &str, external_id: bool, wording: &Wording<'_>) -> ProviderError {
    let what = format!("access denied: sts:AssumeRole on {role} {}", caller.scope());
    let failure = failure(ProviderErrorKind::Denied, "assume-role-denied", what);
    let own_policy = "the role's trust policy";
    if wording.is_explicit_deny || !matches!(wording.policy, None | Some(PolicyKind::Identity | PolicyKind::Resource)) {
        let (action, lack) = ("sts:AssumeRole", "does not allow it");
        return explained(
            failure,
            wording,
            &DeniedAction { action, resource: role, own_policy, lack, is_across: false },
        );
    }
    let policy = named(PolicyKind::Identity, wording, own_policy);
    failure
        .cause(format!("{policy} does not allow sts:AssumeRole on the role"))
        .cause(format!("the role's trust policy does not allow {}", principal(wording)))
        .cause(match external_id {
            true => "the External ID does not match the one in the role's trust policy",
            false => "the role's trust policy asks for an External ID, and the credential has none",
        })
        .cause(PROPAGATION)
        .hint(format!("add to {policy}: {}", iam::statement("sts:AssumeRole", role)))
        .hint(format!(
            r#"the role's trust policy: {{"Effect":"Allow","Principal":{{"AWS":"{}"}},"Action":"sts:AssumeRole"{}}}"#,
            user(wording),
            match external_id {
                true => r#","Condition":{"StringEquals":{"sts:ExternalId":"EXTERNAL_ID"}}"#,
                false => "",
            }
        ))
}

fn principal(wording: &Wording<'_>) -> String {
    wording.principal.map_or("this identity".to_owned(), identity)
}

/// Returns the principal in the form that a policy uses.
fn user(wording: &Wording<'_>) -> String {
    wording.principal.map_or("arn:aws:iam::ACCOUNT:user/NAME".to_owned(), identity)
}
