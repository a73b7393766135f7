//! Owns the provider for AWS Secrets Manager: the only code that speaks to AWS.
//!
//! A credential is its keys (or the ambient chain) and, optionally, a role that is assumed first. The SDK's own
//! AssumeRole provider is not used, since behind it a refusal loses its code.

pub mod arn;
mod asked_host;
mod batch;
mod ca_bundle;
mod call_error;
mod config;
mod diagnose;
mod http_client;
mod propagation;
mod role;
mod settings;

use std::collections::BTreeSet;

use aws_sdk_secretsmanager::config::Credentials;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};
use tokio::sync::OnceCell;

use self::asked_host::AskedHost;
use self::batch::Batching;
use self::call_error::CallError;
use self::config::AwsConfig;
pub use self::diagnose::{ACCESS_DENIED, is_of_settings, is_of_sts, is_unreachable, is_without_keys};
use self::diagnose::{Caller, Operation};
use self::propagation::PropagationWait;
pub use self::role::Identity;
pub use self::settings::AwsVariables;
use super::{CallLimits, Provider, ProviderError, ReadResult, SecretDescription, SecretValue, VersionInfo};
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::org::file::Keys;
use crate::org::{AwsSettings, Role};
use crate::secret::SecretBytes;

/// How many pages of a hundred names an account can have: its quota is half a million secrets in a region.
const MOST_PAGES: usize = 5_000;

/// One credential of AWS Secrets Manager.
///
/// Nothing is sent before the first call; then the role is assumed once, however many calls wait for it.
pub struct AwsProvider {
    credential: String,
    region: Option<String>,
    role: Option<Role>,
    keys: Option<Keys>,
    limits: CallLimits,
    variables: AwsVariables,
    propagation: PropagationWait,
    batching: Batching,
    /// Caller the keys are, once somebody has asked.
    caller: OnceCell<Identity>,
    source: OnceCell<Result<AwsConfig, ProviderError>>,
    session: OnceCell<Result<Session, ProviderError>>,
}

/// A client with the credentials that secrets are read with.
struct Session {
    client: aws_sdk_secretsmanager::Client,
    host: AskedHost,
    region: String,
    credentials: Credentials,
    /// Caller the assumed role's session is.
    role: Option<Identity>,
}

impl Session {
    /// Returns whose session this is, for diagnoses.
    fn caller<'a>(&'a self, provider: &'a AwsProvider) -> Caller<'a> {
        provider.caller(&self.region, &self.credentials, self.role.as_ref())
    }
}

impl AwsProvider {
    /// Returns the provider of a credential; `keys` are those of `settings`, `None` means the ambient chain.
    pub fn new(
        credential: &str,
        settings: &AwsSettings,
        keys: Option<Keys>,
        variables: AwsVariables,
        limits: CallLimits,
    ) -> Self {
        AwsProvider {
            credential: credential.to_owned(),
            region: settings.region.clone(),
            role: settings.role.clone(),
            keys,
            propagation: PropagationWait::new(limits.propagation, limits.propagation_pause),
            limits,
            batching: Batching::new(settings.batch),
            variables,
            caller: OnceCell::new(),
            source: OnceCell::new(),
            session: OnceCell::new(),
        }
    }

    async fn source(&self) -> Result<&AwsConfig, ProviderError> {
        self.source.get_or_init(|| config::load(self)).await.as_ref().map_err(Clone::clone)
    }

    async fn session(&self) -> Result<&Session, ProviderError> {
        self.session.get_or_init(|| self.open()).await.as_ref().map_err(Clone::clone)
    }

    /// Returns the session that reads this secret, which is of the same region.
    async fn session_for(&self, id: &SecretId) -> Result<&Session, ProviderError> {
        diagnose::same_region(&self.source().await?.caller(self), id)?;
        self.session().await
    }

    async fn open(&self) -> Result<Session, ProviderError> {
        let source = self.source().await?;
        let (credentials, role) = match &self.role {
            None => (source.credentials.clone(), None),
            Some(role) => {
                let (credentials, identity) = self.assume(source, role).await?;
                (credentials, Some(identity))
            }
        };
        let host = AskedHost::default();
        let sdk = config::with_credentials(&source.sdk, credentials.clone());
        let config = aws_sdk_secretsmanager::config::Builder::from(&sdk).interceptor(host.clone());
        let config = match &source.secrets_manager {
            Some(url) => config.endpoint_url(url),
            None => config,
        }
        .build();
        let client = aws_sdk_secretsmanager::Client::from_conf(config);
        Ok(Session { client, host, region: source.region.clone(), credentials, role })
    }

    /// Sends a request until it is answered, or refused for good.
    async fn call<T, E, F>(
        &self,
        action: &'static str,
        host: &AskedHost,
        request: impl Fn() -> F,
    ) -> Result<T, CallError>
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        loop {
            let error = match request().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let fault = CallError::from_sdk(&error, host).await;
            match self.propagation.pause_after(action, &fault) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(fault),
            }
        }
    }

    /// Says why a secret was not read; what the fault does not say, the secret's description often does.
    async fn unread(&self, session: &Session, id: &SecretId, version: &Version, fault: &CallError) -> ProviderError {
        let known = match fault.service_error().is_some_and(diagnose::wants_description) {
            // asked once, without propagation: it only adds to what is known
            true => session.client.describe_secret().secret_id(id.as_str()).send().await.ok().map(description),
            false => None,
        };
        let operation = Operation::Read { id, version, known: known.as_ref() };
        diagnose::diagnose(&session.caller(self), &operation, &session.host, fault)
    }

    /// Returns who asks: the keys, or the session of the role that they are of.
    fn caller<'a>(&'a self, region: &'a str, credentials: &'a Credentials, role: Option<&'a Identity>) -> Caller<'a> {
        let mut secrets = vec![credentials.secret_access_key()];
        secrets.extend(credentials.session_token());
        // with a role these are others than the session's
        let keys = self.keys.iter().flat_map(|keys| [Some(&keys.secret_access_key), keys.session_token.as_ref()]);
        let external_id = self.role.as_ref().and_then(|role| role.external_id.as_ref());
        let ours = keys.flatten().chain(external_id);
        secrets.extend(ours.filter_map(|secret| std::str::from_utf8(secret.expose()).ok()));
        Caller {
            credential: &self.credential,
            region,
            access_key_id: credentials.access_key_id(),
            account: role.or(self.caller.get()).map(|identity| identity.account.as_str()),
            is_of_role: role.is_some(),
            has_token: credentials.session_token().is_some(),
            secrets,
        }
    }
}

impl Provider for AwsProvider {
    async fn read(&self, id: &SecretId, version: &Version) -> ReadResult {
        let session = self.session_for(id).await?;
        let request = || {
            let request = session.client.get_secret_value().secret_id(id.as_str());
            match version {
                Version::Current => request.version_stage("AWSCURRENT"),
                Version::Stage(stage) => request.version_stage(stage),
                Version::Id(version) => request.version_id(version),
            }
            .send()
        };
        match self.call("GetSecretValue", &session.host, request).await {
            Ok(answer) => {
                let GetSecretValueOutput { arn, version_id, secret_string, secret_binary, .. } = answer;
                let value = value(arn, version_id, secret_string, secret_binary);
                value.ok_or_else(|| diagnose::no_value(&session.caller(self), id))
            }
            Err(fault) => Err(self.unread(session, id, version, &fault).await),
        }
    }

    fn batch_size(&self) -> usize {
        self.batching.size()
    }

    async fn read_together(&self, ids: &[&SecretId]) -> Vec<Option<ReadResult>> {
        batch::read(self, ids).await
    }

    async fn describe(&self, id: &SecretId) -> Result<SecretDescription, ProviderError> {
        let session = self.session_for(id).await?;
        let request = || session.client.describe_secret().secret_id(id.as_str()).send();
        let answer = self.call("DescribeSecret", &session.host, request).await;
        let failed =
            |fault| diagnose::diagnose(&session.caller(self), &Operation::Describe { id }, &session.host, &fault);
        answer.map(description).map_err(failed)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, ProviderError> {
        let session = self.session().await?;
        let filter =
            (!prefix.is_empty()).then(|| Filter::builder().key(FilterNameStringType::Name).values(prefix).build());
        let mut names = Vec::new();
        let (mut tokens, mut next) = (BTreeSet::new(), None);
        loop {
            let request = || {
                let request = session.client.list_secrets().max_results(100).set_next_token(next.clone());
                request.set_filters(filter.clone().map(|filter| vec![filter])).send()
            };
            let page = self.call("ListSecrets", &session.host, request).await.map_err(|fault| {
                let caller = session.caller(self);
                diagnose::diagnose(&caller, &Operation::List, &session.host, &fault)
            })?;
            names.extend(page.secret_list.unwrap_or_default().into_iter().filter_map(|secret| secret.name));
            // a service that gives the same pages again, or ever more of them, would never end
            match page.next_token {
                Some(token) if tokens.len() < MOST_PAGES && tokens.insert(token.clone()) => next = Some(token),
                _ => break,
            }
        }
        names.retain(|name| name.starts_with(prefix));
        names.sort_unstable();
        Ok(names)
    }
}

/// Takes the value over, without a copy; `None` where the secret holds neither text nor binary.
fn value(
    arn: Option<String>,
    version_id: Option<String>,
    text: Option<String>,
    binary: Option<Blob>,
) -> Option<SecretValue> {
    let (bytes, binary) = match (text, binary) {
        (Some(text), _) => (SecretBytes::from(text), false),
        (None, Some(blob)) => (SecretBytes::new(blob.into_inner()), true),
        (None, None) => return None,
    };
    Some(SecretValue { bytes, binary, arn, version_id })
}

fn description(answer: DescribeSecretOutput) -> SecretDescription {
    let versions = answer.version_ids_to_stages.unwrap_or_default().into_iter();
    let mut versions: Vec<VersionInfo> = versions
        .map(|(id, mut stages)| {
            stages.sort_unstable();
            VersionInfo { id: Some(id), stages }
        })
        .collect();
    versions.sort_unstable();
    SecretDescription {
        name: answer.name.unwrap_or_default(),
        arn: answer.arn,
        versions,
        kms_key_id: answer.kms_key_id,
        changed: answer.last_changed_date.map(|time| time.secs()),
        deleted: answer.deleted_date.is_some(),
    }
}
