//! Assumes a role with a token of another issuer: a CI service, a cluster, or any OIDC provider registered in IAM.
//!
//! The token is read each time it is used. It is a secret; only its claims are shown.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_sts::config::Credentials;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::AwsProvider;
use super::call_error::CallError;
use super::config::AwsConfig;
use super::diagnose::{self, Operation, TokenClaims};
use super::role::{GARBLED, Identity, SESSION_NAME, session, sts};
use crate::diagnostic::ForeignText;
use crate::image::time::rfc3339;
use crate::org::Role;
use crate::org::file::WebIdentityToken;
use crate::secret::SecretBytes;
use crate::secrets::{ProviderError, ProviderErrorKind};

impl AwsProvider {
    /// Describes the claims of the credential's token; `None` if it has no token.
    pub fn token(&self) -> Option<Result<String, ProviderError>> {
        let token = self.web_identity.as_ref()?;
        Some(
            read(token)
                .map(|token| claims(&token).map_or_else(|| "not a JSON web token".to_owned(), |claims| words(&claims))),
        )
    }

    pub(super) async fn assume_with_token(
        &self,
        source: &AwsConfig,
        role: &Role,
        token: &WebIdentityToken,
    ) -> Result<(Credentials, Identity), ProviderError> {
        let mut text = read(token)?;
        let mut answer = self.exchange(source, role, &text).await;
        if let (Err((CallError::Refused(refusal), _)), WebIdentityToken::File(_)) = (&answer, token)
            && refusal.code.starts_with("ExpiredToken")
        {
            let new = read(token)?;
            // the issuer may have replaced it since
            if new.expose() != text.expose() {
                text = new;
                answer = self.exchange(source, role, &text).await;
            }
        }
        answer.map_err(|(fault, host)| {
            let claims = claims(&text);
            let operation = Operation::AssumeRoleWithToken { role: &role.arn, claims: claims.as_ref() };
            diagnose::diagnose(&source.caller(self), &operation, &host, &fault)
        })
    }

    /// Exchanges a token for a session of the role; the request is not signed.
    async fn exchange(
        &self,
        source: &AwsConfig,
        role: &Role,
        token: &SecretBytes,
    ) -> Result<(Credentials, Identity), (CallError, super::asked_host::AskedHost)> {
        let (client, host) = sts(source);
        let request = || {
            let request = client.assume_role_with_web_identity().role_arn(&role.arn).role_session_name(SESSION_NAME);
            // the token was checked to be ASCII when it was read
            request.web_identity_token(String::from_utf8_lossy(token.expose()).into_owned()).send()
        };
        match self.call("AssumeRoleWithWebIdentity", &host, request).await {
            Ok(answer) => session(role, answer.credentials, answer.assumed_role_user).ok_or((GARBLED, host)),
            Err(fault) => Err((fault, host)),
        }
    }
}

fn read(token: &WebIdentityToken) -> Result<SecretBytes, ProviderError> {
    let diagnostic = |error: crate::diagnostic::Error| error.diagnostics.into_iter().next();
    token.read().map_err(|error| match diagnostic(error) {
        Some(diagnostic) => ProviderError::new(ProviderErrorKind::Other, diagnostic),
        None => ProviderError::new(
            ProviderErrorKind::Other,
            crate::diagnostic::Diagnostic::error("no-token", "the web identity token cannot be read"),
        ),
    })
}

/// Returns the claims of a JSON web token; `None` if it is not one. The claims are not verified.
fn claims(token: &SecretBytes) -> Option<TokenClaims> {
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
        sub: String,
        #[serde(default)]
        aud: Audience,
        exp: Option<i64>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    impl Default for Audience {
        fn default() -> Self {
            Audience::Many(Vec::new())
        }
    }
    let payload = token.expose().split(|byte| *byte == b'.').nth(1)?;
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
    let Claims { iss, sub, aud, exp } = serde_json::from_slice(&payload).ok()?;
    let audience = match aud {
        Audience::One(audience) => vec![audience],
        Audience::Many(audiences) => audiences,
    };
    Some(TokenClaims { issuer: iss, subject: sub, audience, expiry: exp })
}

fn words(claims: &TokenClaims) -> String {
    let audience: Vec<String> = claims.audience.iter().map(|text| ForeignText::new(text).into()).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
    let expiry = claims.expiry.map(|expiry| {
        let verb = if expiry <= now { "expired at" } else { "valid until" };
        format!(", {verb} {}", rfc3339(expiry))
    });
    format!(
        "issuer {}, subject {}, audience {}{}",
        ForeignText::new(&claims.issuer),
        ForeignText::new(&claims.subject),
        audience.join(" "),
        expiry.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_who_it_is_of() {
        let token = |payload: &str| SecretBytes::from(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload)));
        let found = claims(&token(r#"{"iss":"https://i","sub":"s","aud":["a","b"],"exp":1000}"#)).unwrap();
        assert_eq!((found.issuer.as_str(), found.subject.as_str()), ("https://i", "s"));
        assert_eq!((found.audience.len(), found.expiry), (2, Some(1000)));
        assert_eq!(claims(&token(r#"{"iss":"https://i","sub":"s","aud":"a"}"#)).unwrap().audience, ["a"]);
        for no_token in ["", "a.b.c", "opaque"] {
            assert_eq!(claims(&SecretBytes::from(no_token.to_owned())), None, "{no_token}");
        }
    }
}
