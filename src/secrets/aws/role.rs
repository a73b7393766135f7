//! Owns the requests to STS: whose the keys are, and assuming a role with them.

use std::time::SystemTime;

use aws_sdk_sts::config::Credentials;
use aws_sdk_sts::types::AssumedRoleUser;

use super::AwsProvider;
use super::arn::account;
use super::asked_host::AskedHost;
use super::call_error::{CallError, NoAnswer};
use super::config::AwsConfig;
use super::diagnose::{self, Operation};
use crate::diagnostic::foreign::ForeignText;
use crate::diagnostic::scrub;
use crate::org::Role;
use crate::secrets::ProviderError;

/// The name that CloudTrail shows for an assumed role's session.
pub(super) const SESSION_NAME: &str = "secretbake";

/// The owner of the keys, from `sts:GetCallerIdentity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub account: String,
    pub arn: String,
}

impl AwsProvider {
    /// Asks whose the keys are, before a role is assumed. No policy can deny it.
    pub async fn identity(&self) -> Result<Identity, ProviderError> {
        let source = self.source().await?;
        let (client, host) = sts(source);
        let answer = self.call("GetCallerIdentity", &host, || client.get_caller_identity().send()).await;
        let answer =
            answer.map_err(|fault| diagnose::diagnose(&source.caller(self), &Operation::Identity, &host, &fault))?;
        let identity = Identity { account: shown(answer.account), arn: shown(answer.arn) };
        // a second answer would be the same
        let _ = self.caller.set(identity.clone());
        Ok(identity)
    }

    /// Assumes the credential's role, once, and returns the identity of the session; `None` without a role.
    pub async fn assume_role(&self) -> Result<Option<Identity>, ProviderError> {
        Ok(self.session().await?.role.clone())
    }

    /// Tells whether the role refuses a request without its External ID; `None` if the credential has none. Fails if AWS neither grants
    /// nor denies the request.
    ///
    /// A role that does not require it is not protected against use by other AWS customers of the same service, so that is a warning.
    pub async fn role_demands_external_id(&self) -> Result<Option<bool>, ProviderError> {
        let Some(Role { arn, external_id: Some(_) }) = &self.role else { return Ok(None) };
        let source = self.source().await?;
        let (client, host) = sts(source);
        // one request, no wait for propagation: a denial is the expected answer
        let Err(error) = client.assume_role().role_arn(arn).role_session_name(SESSION_NAME).send().await else {
            return Ok(Some(false));
        };
        match CallError::from_sdk(&error, &host).await {
            CallError::Refused(refusal) if diagnose::is_denial(&refusal) => Ok(Some(true)),
            fault => {
                let operation = Operation::AssumeRole { role: arn, external_id: false };
                Err(diagnose::diagnose(&source.caller(self), &operation, &host, &fault))
            }
        }
    }

    pub(super) async fn assume(
        &self,
        source: &AwsConfig,
        role: &Role,
    ) -> Result<(Credentials, Identity), ProviderError> {
        let (client, host) = sts(source);
        // `external_id` was checked to be ASCII when it was read
        let external_id = role.external_id.as_ref().map(|id| String::from_utf8_lossy(id.expose()).into_owned());
        let request = || {
            client
                .assume_role()
                .role_arn(&role.arn)
                .role_session_name(SESSION_NAME)
                .set_external_id(external_id.clone())
                .send()
        };
        let operation = Operation::AssumeRole { role: &role.arn, external_id: external_id.is_some() };
        let failed = |fault| diagnose::diagnose(&source.caller(self), &operation, &host, &fault);
        let answer = self.call("AssumeRole", &host, request).await.map_err(failed)?;
        session(role, answer.credentials, answer.assumed_role_user).ok_or_else(|| failed(GARBLED))
    }
}

/// An answer of STS without a session.
pub(super) const GARBLED: CallError = CallError::Unanswered(NoAnswer::Garbled { status: 200, request_id: None });

/// Returns the role's session from an answer.
pub(super) fn session(
    role: &Role,
    keys: Option<aws_sdk_sts::types::Credentials>,
    user: Option<AssumedRoleUser>,
) -> Option<(Credentials, Identity)> {
    let (keys, user) = (keys?, user?);
    scrub::remember(keys.secret_access_key.as_bytes());
    scrub::remember(keys.session_token.as_bytes());
    let expiry = SystemTime::try_from(keys.expiration).ok();
    let credentials =
        Credentials::new(keys.access_key_id, keys.secret_access_key, Some(keys.session_token), expiry, "AssumeRole");
    let account = account(&role.arn).unwrap_or_default().to_owned();
    Some((credentials, Identity { account, arn: shown(Some(user.arn)) }))
}

/// Makes text from AWS safe to show.
fn shown(text: Option<String>) -> String {
    ForeignText::new(text.unwrap_or_default()).into()
}

pub(super) fn sts(source: &AwsConfig) -> (aws_sdk_sts::Client, AskedHost) {
    let host = AskedHost::default();
    let config = aws_sdk_sts::config::Builder::from(&source.sdk).interceptor(host.clone());
    let config = match &source.sts {
        Some(url) => config.endpoint_url(url),
        None => config,
    }
    .build();
    (aws_sdk_sts::Client::from_conf(config), host)
}
