//! Owns what is asked of STS: who the keys are, and the role that is assumed with them.

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

/// Caller the keys are, as `sts:GetCallerIdentity` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub account: String,
    pub arn: String,
}

impl AwsProvider {
    /// Asks who the keys are, before any role is assumed; no policy can deny it.
    ///
    /// # Errors
    /// The diagnosis of what is wrong with the keys, the region or the network.
    pub async fn identity(&self) -> Result<Identity, ProviderError> {
        let source = self.source().await?;
        let (client, host) = sts(source);
        let answer = self.call("GetCallerIdentity", &host, || client.get_caller_identity().send()).await;
        let answer =
            answer.map_err(|fault| diagnose::diagnose(&source.caller(self), &Operation::Identity, &host, &fault))?;
        let identity = Identity { account: shown(answer.account), arn: shown(answer.arn) };
        // asked twice, it is the same
        let _ = self.caller.set(identity.clone());
        Ok(identity)
    }

    /// Assumes the credential's role, once, and returns who the session is; `None` where there is no role.
    ///
    /// # Errors
    /// The diagnosis, with every likely cause of a refusal.
    pub async fn assume_role(&self) -> Result<Option<Identity>, ProviderError> {
        Ok(self.session().await?.role.clone())
    }

    /// Tells whether the role refuses who comes without its External ID; `None` where the credential has none.
    ///
    /// A role that does not ask for it gives no protection against another's use of it, which is worth a warning.
    ///
    /// # Errors
    /// The diagnosis, where AWS neither grants nor denies.
    pub async fn role_demands_external_id(&self) -> Result<Option<bool>, ProviderError> {
        let Some(Role { arn, external_id: Some(_) }) = &self.role else { return Ok(None) };
        let source = self.source().await?;
        let (client, host) = sts(source);
        // asked once, without propagation: a refusal is the good answer
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
        // `external_id` is checked to be ASCII as it is read
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

/// What STS answers without a session in it.
pub(super) const GARBLED: CallError = CallError::Unanswered(NoAnswer::Garbled { status: 200, request_id: None });

/// Takes the session of a role from an answer.
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

/// Returns a text of AWS as it may be shown.
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
