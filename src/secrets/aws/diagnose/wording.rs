//! Parses the text of AWS's messages, for facts that AWS gives in no other form. No other code does that.

use crate::secrets::aws::call_error::ServiceError;

/// A kind of policy that can deny a request, named like in AWS's messages.
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

    /// Finds the kind after `because no …` or after `with an explicit deny in a …`.
    fn in_message(message: &str) -> Option<Self> {
        let lacking = message.split_once("because no ").map(|(_, rest)| rest);
        let denying = message.split_once(EXPLICIT_DENY).and_then(|(_, rest)| rest.strip_prefix(" in a"));
        let rest = lacking.or(denying.map(|rest| rest.trim_start_matches('n').trim_start()))?;
        Self::NAMES.iter().find(|(name, _)| rest.starts_with(name)).map(|(_, kind)| *kind)
    }
}

/// The longest ARN to take from a message. A secret's name has at most 512 characters.
const LONGEST_ARN: usize = 700;

const EXPLICIT_DENY: &str = "with an explicit deny";

/// Facts that only the text of a message gives.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wording<'a> {
    /// `Access to KMS is not allowed`: the denied action is `kms:Decrypt`, which the message does not name.
    pub is_kms_denial: bool,
    /// `Signature expired: …` and `Signature not yet current: …`: this machine's clock is wrong, not the key.
    pub is_clock_skew: bool,
    /// `Credential should be scoped to a valid region…`: the request went to the wrong region, the key is not wrong.
    pub is_wrong_scope: bool,
    /// `… with an explicit deny in …`: a policy denies it, and allowing it in another does not help.
    pub is_explicit_deny: bool,
    /// The kind of policy that explicitly denies it, or that fails to allow it.
    pub policy: Option<PolicyKind>,
    /// `… encrypt the secret with the default KMS service key`: no other account can read it.
    pub is_default_key: bool,
    /// The ARN after `User:`: the owner of the keys or the role.
    pub principal: Option<&'a str>,
    /// The ARN after `on resource:`; without its six-character suffix if AWS did not find the secret.
    pub resource: Option<&'a str>,
}

/// Parses a message for facts that have no error code.
///
/// If AWS changes the wording, diagnoses have less detail; nothing else depends on it.
pub fn read(refusal: &ServiceError) -> Wording<'_> {
    let message = refusal.message.as_deref().unwrap_or_default();
    let arn_after = |words| {
        let rest = message.split_once(words)?.1;
        rest.split_whitespace().next().filter(|word| {
            // so it is safe in a statement and on a terminal
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
