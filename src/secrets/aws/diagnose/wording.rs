//! Owns the one place where a message's text is read: what AWS says in no other way.

use crate::secrets::aws::call_error::ServiceError;

/// A kind of policy that can stand in the way, as AWS's messages name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    Identity,
    Resource,
    Boundary,
    Session,
    ServiceControl,
    ResourceControl,
    Endpoint,
}

impl PolicyKind {
    const NAMES: [(&str, Self); 7] = [
        ("identity-based policy", PolicyKind::Identity),
        ("resource-based policy", PolicyKind::Resource),
        ("permissions boundary", PolicyKind::Boundary),
        ("session policy", PolicyKind::Session),
        ("service control policy", PolicyKind::ServiceControl),
        ("resource control policy", PolicyKind::ResourceControl),
        ("VPC endpoint policy", PolicyKind::Endpoint),
    ];

    /// Finds the kind behind `because no …` or behind `with an explicit deny in a …`.
    fn in_message(message: &str) -> Option<Self> {
        let lacking = message.split_once("because no ").map(|(_, rest)| rest);
        let denying = message.split_once(EXPLICIT_DENY).and_then(|(_, rest)| rest.strip_prefix(" in a"));
        let rest = lacking.or(denying.map(|rest| rest.trim_start_matches('n').trim_start()))?;
        Self::NAMES.iter().find(|(name, _)| rest.starts_with(name)).map(|(_, kind)| *kind)
    }
}

/// The longest ARN that is taken from a message: a secret's name has at most 512 characters.
const LONGEST_ARN: usize = 700;

const EXPLICIT_DENY: &str = "with an explicit deny";

/// What only the text of a message says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wording<'a> {
    /// `Access to KMS is not allowed`: the denied action is `kms:Decrypt`, which the message does not name.
    pub is_kms_denial: bool,
    /// `Signature expired: …` and `Signature not yet current: …`: not the key is wrong but this machine's clock.
    pub is_clock_skew: bool,
    /// `Credential should be scoped to a valid region…`: not the key is wrong but where the request went.
    pub is_wrong_scope: bool,
    /// `… with an explicit deny in …`: a policy denies it, so that allowing it elsewhere does not help.
    pub is_explicit_deny: bool,
    /// Which kind of policy denies it explicitly, or has to allow it and does not.
    pub policy: Option<PolicyKind>,
    /// `… encrypt the secret with the default KMS service key`: no other account can read it.
    pub is_default_key: bool,
    /// The ARN after `User:`, which the keys or the role belong to.
    pub principal: Option<&'a str>,
    /// The ARN after `on resource:`; without its six-character suffix where AWS found no such secret.
    pub resource: Option<&'a str>,
}

/// Reads a message for what has no code of its own.
///
/// Should AWS change its words, less is said; nothing else depends on them.
pub fn read(refusal: &ServiceError) -> Wording<'_> {
    let message = refusal.message.as_deref().unwrap_or_default();
    let arn_after = |words| {
        let rest = message.split_once(words)?.1;
        rest.split_whitespace().next().filter(|word| {
            // so that it can stand in a statement and on a terminal
            word.starts_with("arn:")
                && word.len() <= LONGEST_ARN
                && word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"')
        })
    };
    Wording {
        is_kms_denial: message.contains("Access to KMS is not allowed"),
        is_clock_skew: message.contains("Signature expired") || message.contains("Signature not yet current"),
        is_wrong_scope: message.contains("Credential should be scoped"),
        is_explicit_deny: message.contains(EXPLICIT_DENY),
        policy: PolicyKind::in_message(message),
        is_default_key: message.contains("default KMS service key"),
        principal: arn_after("User: "),
        resource: arn_after("on resource: "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arns_of_a_denial_are_found() {
        let message = "User: arn:aws:iam::123456789012:user/reader is not authorized to perform: \
                       secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:123456789012:secret:db \
                       because no identity-based policy allows the secretsmanager:GetSecretValue action";
        let refusal = ServiceError {
            code: "AccessDeniedException".to_owned(),
            message: Some(message.to_owned()),
            request_id: None,
        };
        let wording = Wording {
            principal: Some("arn:aws:iam::123456789012:user/reader"),
            resource: Some("arn:aws:secretsmanager:us-east-1:123456789012:secret:db"),
            policy: Some(PolicyKind::Identity),
            ..Wording::default()
        };
        assert_eq!(read(&refusal), wording);
    }
}
