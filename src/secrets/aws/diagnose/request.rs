//! Owns the context of a diagnosis: who asked for what. Every other file here builds on it, and it imports none of them.

use crate::diagnostic::foreign::ForeignText;
use crate::diagnostic::{Diagnostic, ListHint, Subject};
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::secrets::{ProviderError, ProviderErrorKind, SecretDescription};

/// A possible cause of every denial, given last.
pub const PROPAGATION: &str =
    "a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two";

/// With what a request was made.
pub struct Caller<'a> {
    pub credential: &'a str,
    pub region: &'a str,
    pub access_key_id: &'a str,
    /// The account that asks, where it is known without a request for it.
    pub account: Option<&'a str>,
    /// Whether the keys are those that STS issued for the credential's role.
    pub is_of_role: bool,
    /// Whether a session token was sent.
    pub has_token: bool,
    /// What must not be shown, wherever it comes from.
    pub secrets: Vec<&'a str>,
}

/// What was wanted.
pub enum Operation<'a> {
    Identity,
    AssumeRole {
        role: &'a str,
        /// Whether one was sent.
        external_id: bool,
    },
    Read {
        id: &'a SecretId,
        version: &'a Version,
        /// What DescribeSecret says of it, where it was asked and says something.
        known: Option<&'a SecretDescription>,
    },
    Describe {
        id: &'a SecretId,
    },
    List,
    /// The reading of a parameter.
    Parameter {
        id: &'a SecretId,
        /// What DescribeParameters says of it, where it was asked and says something.
        known: Option<&'a SecretDescription>,
    },
    /// The reading of every parameter below a path.
    Path {
        path: &'a SecretId,
    },
    /// The description of a parameter, or of every one below a path.
    DescribeParameter {
        id: &'a SecretId,
    },
    ParameterHistory {
        id: &'a SecretId,
    },
    ListParameters,
    /// The change of a token of another issuer for a session of the role.
    AssumeRoleWithToken {
        role: &'a str,
        /// What the token says of itself.
        claims: Option<&'a TokenClaims>,
    },
}

/// What a web identity token says of itself: not secret, and what a trust policy asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenClaims {
    pub issuer: String,
    pub subject: String,
    pub audience: Vec<String>,
    /// When it expires, in seconds since 1970.
    pub expiry: Option<i64>,
}

impl Operation<'_> {
    /// Returns the action as IAM calls it.
    pub fn action(&self) -> &'static str {
        match self {
            Operation::Identity => "sts:GetCallerIdentity",
            Operation::AssumeRole { .. } => "sts:AssumeRole",
            Operation::Read { .. } => "secretsmanager:GetSecretValue",
            Operation::Describe { .. } => "secretsmanager:DescribeSecret",
            Operation::List => "secretsmanager:ListSecrets",
            Operation::Parameter { .. } => "ssm:GetParameters",
            Operation::Path { .. } => "ssm:GetParametersByPath",
            Operation::DescribeParameter { .. } | Operation::ListParameters => "ssm:DescribeParameters",
            Operation::ParameterHistory { .. } => "ssm:GetParameterHistory",
            Operation::AssumeRoleWithToken { .. } => "sts:AssumeRoleWithWebIdentity",
        }
    }
}

impl Caller<'_> {
    /// Returns the words that every diagnosis has: which credential, which region.
    pub fn scope(&self) -> String {
        format!("(credential `{}`, region {})", self.credential, self.region)
    }

    /// Returns the access key ID as far as it may be shown: `AKIA…MPLE`.
    pub fn key(&self) -> String {
        crate::diagnostic::redact::shortened(self.access_key_id)
    }

    /// Returns a text of the service without our own secrets and with access key IDs shortened, to look for facts in.
    ///
    /// What is shown of it goes through [`Caller::shown`], which bounds and escapes it.
    pub fn redacted(&self, text: &str) -> String {
        const LONGEST: usize = 10_000;
        let text = match self.access_key_id {
            "" => text.to_owned(),
            id => text.replace(id, &self.key()),
        };
        let text = self
            .secrets
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text, |text, secret| if text.contains(secret) { text.replace(secret, "***") } else { text });
        let text = crate::diagnostic::redact::redacted(&text);
        text.chars().take(LONGEST).collect()
    }

    /// Returns a text of the service as it may be shown.
    pub fn shown(&self, text: &str) -> ForeignText {
        ForeignText::new(self.redacted(text))
    }
}

/// Makes an error; causes and hints are added to it.
pub fn failure(kind: ProviderErrorKind, code: &'static str, what: String) -> ProviderError {
    ProviderError::new(kind, Diagnostic::error(code, what))
}

impl ProviderError {
    pub(super) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.diagnostic.causes.push(cause.into());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.diagnostic.hints.push(hint.into());
        self
    }

    /// Says which secret it is about: `what` is wrong with it, and may be with others of the same credential.
    pub(super) fn about(mut self, what: &str, id: &SecretId, caller: &Caller<'_>) -> Self {
        let of_many = [format!("{what} "), format!(" {}", caller.scope())];
        let subject = Subject { name: id.to_string(), kind: "secret", of_many, hints: Vec::new() };
        self.diagnostic = Box::new(self.diagnostic.about(subject));
        self
    }

    pub(super) fn list_hint(mut self, hint: ListHint) -> Self {
        self.diagnostic = Box::new(self.diagnostic.list_hint(hint));
        self
    }
}
