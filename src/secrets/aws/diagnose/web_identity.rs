//! Diagnoses a web identity token that STS does not accept: its issuer, audience, subject and age.
//!
//! It shows the token's claims, because a trust policy has to name them, but never the token.

use super::request::{Caller, Operation, PROPAGATION, TokenClaims, failure};
use crate::diagnostic::ForeignText;
use crate::diagnostic::command::with_org;
use crate::secrets::aws::arn::account;
use crate::secrets::aws::call_error::ServiceError;
use crate::secrets::{ProviderError, ProviderErrorKind};

/// The audience that AWS's own actions and documentation use.
const AWS_AUDIENCE: &str = "sts.amazonaws.com";

/// What is wrong with a token.
enum TokenFault {
    Expired,
    /// The issuer or the audience is not registered in IAM, or the token is not one.
    Invalid,
    /// The issuer rejected it.
    Rejected,
    /// STS did not reach the issuer.
    Unreachable,
}

impl TokenFault {
    fn of(refusal: &ServiceError) -> Option<Self> {
        Some(match refusal.code.as_str() {
            "ExpiredTokenException" | "ExpiredToken" => TokenFault::Expired,
            "InvalidIdentityToken" | "InvalidIdentityTokenException" => TokenFault::Invalid,
            "IDPRejectedClaim" | "IDPRejectedClaimException" => TokenFault::Rejected,
            "IDPCommunicationError" | "IDPCommunicationErrorException" => TokenFault::Unreachable,
            _ => return None,
        })
    }
}

/// Tells whether a refusal is about the token.
pub fn is_of_token(operation: &Operation<'_>, refusal: &ServiceError) -> bool {
    matches!(operation, Operation::AssumeRoleWithToken { .. }) && TokenFault::of(refusal).is_some()
}

/// Diagnoses a refusal of the token.
pub fn diagnose(caller: &Caller<'_>, operation: &Operation<'_>, refusal: &ServiceError) -> ProviderError {
    let Operation::AssumeRoleWithToken { role, claims } = *operation else {
        return super::service::other(caller, operation, refusal);
    };
    match TokenFault::of(refusal) {
        Some(TokenFault::Expired) => expired(caller, claims),
        Some(TokenFault::Invalid) => invalid(caller, role, claims),
        Some(TokenFault::Rejected) => {
            let what = format!("the issuer does not confirm the web identity token {}", caller.scope());
            failure(ProviderErrorKind::Denied, "token-rejected", what)
                .cause("the token was revoked, or its job or pod has ended")
                .hint("run again with a new token")
        }
        Some(TokenFault::Unreachable) | None => {
            let what = format!("AWS cannot reach the issuer of the web identity token {}", caller.scope());
            failure(ProviderErrorKind::Other, "token-issuer-unreachable", what)
                .cause(format!(
                    "{}/.well-known/openid-configuration is not public, or its server is down",
                    issuer(claims)
                ))
                .hint("try again later; AWS must be able to read that URL from the internet")
        }
    }
}

fn expired(caller: &Caller<'_>, claims: Option<&TokenClaims>) -> ProviderError {
    let what = format!("the web identity token has expired {}", caller.scope());
    let failure = failure(ProviderErrorKind::Denied, "expired-web-identity-token", what);
    let failure = match claims.and_then(|claims| claims.expiry) {
        Some(expiry) => failure.cause(format!("it was valid until {}", crate::image::time::rfc3339(expiry))),
        None => failure,
    };
    failure
        .cause("tokens of CI jobs last from five minutes to an hour, and a variable keeps the one of the job's start")
        .hint("get a new token right before secretbake runs, or give it as `{ file: PATH }`, which is read each time")
}

fn invalid(caller: &Caller<'_>, role: &str, claims: Option<&TokenClaims>) -> ProviderError {
    let what = format!("AWS does not accept the web identity token {}", caller.scope());
    let failure = failure(ProviderErrorKind::Denied, "bad-web-identity-token", what);
    let Some(claims) = claims else {
        return failure
            .cause("it is not a JSON web token, or is cut short")
            .hint("check the variable or file that the credential's `web_identity_token` names");
    };
    let (issuer, audience) = (issuer(Some(claims)), audience(claims));
    let account = account(role).unwrap_or("ACCOUNT");
    failure
        .cause(format!("the account {account} has no OIDC provider {issuer} in IAM"))
        .cause(format!("the provider there does not list the token's audience, {audience}"))
        .cause("the token's signature or time does not hold: it was changed, or this machine's clock or the issuer's is wrong")
        .hint(format!(
            "register it: aws iam create-open-id-connect-provider --url {issuer} --client-id-list {}",
            claims.audience.first().map_or(AWS_AUDIENCE.to_owned(), |audience| ForeignText::new(audience).into())
        ))
        .hint(format!("or ask for a token with the audience that the provider has, most often {AWS_AUDIENCE}"))
}

/// The role's trust policy does not allow the token. AWS gives no details.
pub fn denied(caller: &Caller<'_>, role: &str, claims: Option<&TokenClaims>) -> ProviderError {
    let what = format!("access denied: sts:AssumeRoleWithWebIdentity on {role} {}", caller.scope());
    let failure = failure(ProviderErrorKind::Denied, "assume-role-denied", what);
    let failure = failure.cause("there is no such role, or its trust policy does not allow the token's issuer");
    let Some(claims) = claims else {
        return failure
            .cause(PROPAGATION)
            .hint(format!("print the trust policy: {}", with_org("policy MANIFEST --assume-role")));
    };
    let host = issuer_host(claims);
    let subject = ForeignText::name(&claims.subject);
    failure
        .cause(format!("the trust policy's condition on {host}:sub does not match the token's subject, {subject}"))
        .cause(format!("the trust policy's condition on {host}:aud does not match its audience, {}", audience(claims)))
        .cause(PROPAGATION)
        .hint(format!(
            r#"the role's trust policy: {{"Effect":"Allow","Principal":{{"Federated":"arn:aws:iam::{}:oidc-provider/{host}"}},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{{"StringEquals":{{"{host}:aud":{},"{host}:sub":{}}}}}}}"#,
            account(role).unwrap_or("ACCOUNT"),
            quoted(claims.audience.first().map_or(AWS_AUDIENCE, String::as_str)),
            quoted(&claims.subject),
        ))
}

/// Returns a claim of the token as a JSON string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", ForeignText::name(text))
}

fn audience(claims: &TokenClaims) -> String {
    match &claims.audience[..] {
        [] => "none".to_owned(),
        audiences => {
            audiences.iter().map(|audience| ForeignText::new(audience).to_string()).collect::<Vec<_>>().join(", ")
        }
    }
}

fn issuer(claims: Option<&TokenClaims>) -> String {
    claims.map_or("the issuer".to_owned(), |claims| ForeignText::new(claims.issuer.trim_end_matches('/')).into())
}

/// Returns IAM's name for the issuer: its URL without `https://`.
fn issuer_host(claims: &TokenClaims) -> String {
    let issuer = issuer(Some(claims));
    issuer.strip_prefix("https://").unwrap_or(&issuer).to_owned()
}
