//! Owns the diagnosis of what is neither the keys' nor the secret's fault: a busy or failing service, an odd request.

use super::{Task, Who, failure};
use crate::secrets::aws::fault::Refusal;
use crate::secrets::{Failure, FailureKind};

impl Task<'_> {
    /// Returns the action as IAM calls it.
    fn action(&self) -> &'static str {
        match self {
            Task::Identity => "sts:GetCallerIdentity",
            Task::AssumeRole { .. } => "sts:AssumeRole",
            Task::Read { .. } => "secretsmanager:GetSecretValue",
            Task::Describe { .. } => "secretsmanager:DescribeSecret",
            Task::List => "secretsmanager:ListSecrets",
        }
    }
}

/// The service limits how often it is asked, and did so on every attempt.
pub fn throttled(who: &Who<'_>) -> Failure {
    let what = format!("AWS throttles the requests {}", who.scope());
    failure(FailureKind::Other, "throttled", what)
        .cause("other programs of the account ask the same service, which has one limit per account and region")
        .hint("try again later, or ask AWS for a higher limit")
}

/// The service has an error of its own, and had it on every attempt.
pub fn failing(who: &Who<'_>, refusal: &Refusal) -> Failure {
    let what = format!("AWS failed with {} {}", refusal.code, who.scope());
    failure(FailureKind::Other, "service-failed", what).hint("try again later; health.aws.amazon.com shows outages")
}

/// The request itself is not accepted.
pub fn bad_parameter(who: &Who<'_>, task: &Task<'_>) -> Failure {
    let what = format!("AWS does not accept the request {} {}", task.action(), who.scope());
    failure(FailureKind::Other, "bad-request", what).hint(match task {
        Task::AssumeRole { .. } => "check the credential's role_arn and external_id",
        Task::Read { .. } => "check the secret's name or ARN, and its version_stage or version_id",
        _ => "check the secret's name or ARN",
    })
}

/// A code that nobody has met here yet.
pub fn other(who: &Who<'_>, task: &Task<'_>, refusal: &Refusal) -> Failure {
    let what = format!("{} failed with {} {}", task.action(), refusal.code, who.scope());
    failure(FailureKind::Other, "aws-error", what).hint("look the code up in the service's API reference")
}
