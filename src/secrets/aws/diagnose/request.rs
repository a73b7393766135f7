//! Owns the context of a diagnosis: the caller and the operation. All other files here use it, and it imports none of them.

use crate::diagnostic::command::with_org;
use crate::diagnostic::foreign::ForeignText;
use crate::diagnostic::{Diagnostic, ListHint, Subject};
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::secrets::{ProviderError, ProviderErrorKind, SecretDescription};

/// A possible cause of every denial, listed last.
pub const PROPAGATION: &str =
    "a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two";

/// The keys, region and credential of a request.
pub struct Caller<'a> {
    pub credential: &'a str,
    pub region: &'a str,
    pub access_key_id: &'a str,
    /// The caller's account, if known without a request.
    pub account: Option<&'a str>,
    /// Whether STS issued the keys for the credential's role.
    pub is_of_role: bool,
    /// Whether a session token was sent.
    pub has_token: bool,
    /// Secrets of the request, which must not be shown even if the service repeats them.
    pub secrets: Vec<&'a str>,
}

impl Caller<'_> {
    /// Returns the command that lists the names of the secrets.
    pub fn list_command(&self) -> String {
        with_org(&format!("secrets list --credential {}", self.credential))
    }
}

/// What was requested.
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
    /// Reading a parameter.
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
    /// Exchanging a token of another issuer for a session of the role.
    AssumeRoleWithToken {
        role: &'a str,
        /// The token's claims.
        claims: Option<&'a TokenClaims>,
    },
}

/// The claims of a web identity token that a trust policy can check. They are not secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenClaims {
    pub issuer: String,
    pub subject: String,
    pub audience: Vec<String>,
    /// When it expires, in seconds since 1970.
    pub expiry: Option<i64>,
}

impl Operation<'_> {
    /// Returns IAM's name for the action.
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

    /// Returns the secret or path that it is about.
    pub fn secret(&self) -> Option<&SecretId> {
        match self {
            Operation::Read { id, .. }
            | Operation::Describe { id }
            | Operation::Parameter { id, .. }
            | Operation::Path { path: id }
            | Operation::DescribeParameter { id }
            | Operation::ParameterHistory { id } => Some(id),
            _ => None,
        }
    }
}

impl Caller<'_> {
    /// Returns the credential and region, which every diagnosis names.
    pub fn scope(&self) -> String {
        format!("(credential `{}`, region {})", self.credential, self.region)
    }

    /// Returns the part of the access key ID that may be shown: `AKIA…MPLE`.
    pub fn key(&self) -> String {
        crate::diagnostic::redact::shortened(self.access_key_id)
    }

    /// Removes our own secrets from text of the service and shortens access key IDs, so it can be parsed.
    ///
    /// To show it, use [`Caller::shown`], which also truncates and escapes it.
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

    /// Makes text of the service safe to show.
    pub fn shown(&self, text: &str) -> ForeignText {
        ForeignText::new(self.redacted(text))
    }
}

/// Returns an error without causes and hints.
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

    /// Sets the secret as the subject. `what` is the problem, which other secrets of the same credential may share.
    pub(super) fn about(mut self, what: &str, id: &SecretId, caller: &Caller<'_>) -> Self {
        let of_many = [format!("{what} "), format!(" {}", caller.scope())];
        let subject = Subject { name: id.to_string(), kind: "secret", of_many: Some(of_many), hints: Vec::new() };
        self.diagnostic = Box::new(self.diagnostic.about(subject));
        self
    }

    pub(super) fn list_hint(mut self, hint: ListHint) -> Self {
        self.diagnostic = Box::new(self.diagnostic.list_hint(hint));
        self
    }
}
