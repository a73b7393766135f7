//! Owns the providers for AWS Secrets Manager and Parameter Store, and all requests to AWS.
//!
//! A credential is its keys (or the ambient chain) and, optionally, a role to assume first. The SDK's own AssumeRole provider
//! is not used because it drops the error code of a refusal.

pub mod arn;
pub mod asked_host;
mod batch;
mod ca_bundle;
pub mod call_error;
mod config;
pub mod diagnose;
mod http_client;
mod parameter_store;
mod propagation;
mod role;
mod secrets_manager;
mod settings;
mod web_identity;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_secretsmanager::config::Credentials;
use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use tokio::sync::{Mutex, OnceCell};

use self::asked_host::AskedHost;
use self::batch::Batching;
use self::call_error::CallError;
use self::config::AwsConfig;
use self::diagnose::Caller;
pub use self::diagnose::{ACCESS_DENIED, is_of_settings, is_of_sts, is_unreachable, is_without_keys};
pub use self::parameter_store::{answers as parameter_answers, fault as parameter_fault};
use self::propagation::PropagationWait;
pub use self::role::Identity;
pub use self::settings::AwsVariables;
use super::{CallLimits, Provider, ProviderError, ReadResult, SecretBelow, SecretDescription, without_paths};
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::org::file::{Keys, WebIdentityToken};
use crate::org::{AwsService, AwsSettings, Role};

/// The most pages of names in an account: the quota is 500,000 secrets per region.
const MOST_PAGES: usize = 5_000;

/// How long before its end a role's session is replaced: longer than a call with all its attempts.
const MARGIN: Duration = Duration::from_secs(300);

/// One credential of AWS Secrets Manager or Parameter Store.
///
/// Sends nothing before the first call, then assumes the role once, however many calls wait for it, and again before the session ends.
pub struct AwsProvider {
    credential: String,
    service: AwsService,
    region: Option<String>,
    role: Option<Role>,
    keys: Option<Keys>,
    web_identity: Option<WebIdentityToken>,
    limits: CallLimits,
    variables: AwsVariables,
    propagation: PropagationWait,
    batching: Batching,
    /// The owner of the keys, once requested.
    caller: OnceCell<Identity>,
    source: OnceCell<Result<AwsConfig, ProviderError>>,
    /// The session, or the error that prevented one.
    session: Mutex<Option<Result<Arc<Session>, ProviderError>>>,
}

/// The client of the credential's service.
enum ServiceClient {
    SecretsManager(aws_sdk_secretsmanager::Client),
    ParameterStore(parameter_store::ParameterStoreClient),
}

/// A client with the credentials for reading secrets.
struct Session {
    client: ServiceClient,
    host: AskedHost,
    region: String,
    credentials: Credentials,
    /// The identity of the assumed role's session.
    role: Option<Identity>,
}

impl Session {
    /// Tells whether a role's session ends soon.
    fn is_ending(&self, now: SystemTime) -> bool {
        self.role.is_some() && self.credentials.expiry().is_some_and(|end| end <= now + MARGIN)
    }

    /// Returns whose session this is, for diagnoses.
    fn caller<'a>(&'a self, provider: &'a AwsProvider) -> Caller<'a> {
        provider.caller(&self.region, &self.credentials, self.role.as_ref())
    }
}

impl AwsProvider {
    /// Returns the provider for a credential. `keys` are those of `settings`; `None` means the ambient chain.
    pub fn new(
        credential: &str,
        settings: &AwsSettings,
        keys: Option<Keys>,
        variables: AwsVariables,
        limits: CallLimits,
    ) -> Self {
        AwsProvider {
            credential: credential.to_owned(),
            service: settings.service,
            region: settings.region.clone(),
            role: settings.role.clone(),
            keys,
            web_identity: None,
            propagation: PropagationWait::new(limits.propagation, limits.propagation_pause),
            limits,
            batching: Batching::new(settings.batch),
            variables,
            caller: OnceCell::new(),
            source: OnceCell::new(),
            session: Mutex::default(),
        }
    }

    /// Uses a token of another issuer to assume the role, instead of keys.
    #[must_use]
    pub fn with_web_identity(self, token: Option<WebIdentityToken>) -> Self {
        AwsProvider { web_identity: token, ..self }
    }

    async fn source(&self) -> Result<&AwsConfig, ProviderError> {
        // in a box, as it is large and each of many reads would make room for it
        self.source.get_or_init(|| Box::pin(config::load(self))).await.as_ref().map_err(Clone::clone)
    }

    async fn session(&self) -> Result<Arc<Session>, ProviderError> {
        let mut session = self.session.lock().await;
        match &*session {
            Some(Ok(open)) if open.is_ending(SystemTime::now()) => {}
            Some(opened) => return opened.clone(),
            None => {}
        }
        session.insert(Box::pin(self.open()).await.map(Arc::new)).clone()
    }

    /// Returns the session for reading this secret; fails if the secret is in another region.
    async fn session_for(&self, id: &SecretId) -> Result<Arc<Session>, ProviderError> {
        diagnose::same_region(&self.source().await?.caller(self), id)?;
        self.session().await
    }

    async fn open(&self) -> Result<Session, ProviderError> {
        let source = self.source().await?;
        let (credentials, role) = match (&self.role, &self.web_identity) {
            (Some(role), Some(token)) => {
                let (credentials, identity) = self.assume_with_token(source, role, token).await?;
                (credentials, Some(identity))
            }
            (None, _) => (source.credentials.clone(), None),
            (Some(role), None) => {
                let (credentials, identity) = self.assume(source, role).await?;
                (credentials, Some(identity))
            }
        };
        let host = AskedHost::default();
        let sdk = config::with_credentials(&source.sdk, credentials.clone());
        let client = match self.service {
            AwsService::SecretsManager => {
                let config = aws_sdk_secretsmanager::config::Builder::from(&sdk).interceptor(host.clone());
                let config = match &source.service {
                    Some(url) => config.endpoint_url(url),
                    None => config,
                };
                ServiceClient::SecretsManager(aws_sdk_secretsmanager::Client::from_conf(config.build()))
            }
            AwsService::ParameterStore => {
                ServiceClient::ParameterStore(parameter_store::ParameterStoreClient::new(source, &sdk, host.clone()))
            }
        };
        Ok(Session { client, host, region: source.region.clone(), credentials, role })
    }

    fn parameters<'a>(
        &'a self,
        session: &'a Session,
        client: &'a parameter_store::ParameterStoreClient,
    ) -> parameter_store::Calls<'a> {
        parameter_store::Calls { provider: self, session, client }
    }

    /// Sends a request, and repeats it while a refusal may be due to propagation.
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

    /// Returns the caller for diagnoses: the keys, or the role's session they belong to.
    fn caller<'a>(&'a self, region: &'a str, credentials: &'a Credentials, role: Option<&'a Identity>) -> Caller<'a> {
        let mut secrets = vec![credentials.secret_access_key()];
        secrets.extend(credentials.session_token());
        // with a role, these differ from the session's
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
        match &session.client {
            ServiceClient::SecretsManager(client) => secrets_manager::read(self, &session, client, id, version).await,
            ServiceClient::ParameterStore(client) => self.parameters(&session, client).read(id, version).await,
        }
    }

    fn batch_size(&self, version: &Version) -> usize {
        match (self.service, version) {
            (AwsService::SecretsManager, Version::Current) => self.batching.size(),
            (AwsService::SecretsManager, _) => 1,
            (AwsService::ParameterStore, _) => parameter_store::SIZE,
        }
    }

    async fn read_together(&self, ids: &[&SecretId], version: &Version) -> Vec<Option<ReadResult>> {
        let unread = || ids.iter().map(|_| None).collect();
        let Ok(session) = self.session().await else { return unread() };
        match &session.client {
            ServiceClient::SecretsManager(client) => batch::read(self, &session, client, ids).await,
            ServiceClient::ParameterStore(client) => {
                let caller = session.caller(self);
                // each of the others is refused by itself
                if ids.iter().any(|id| diagnose::same_region(&caller, id).is_err()) {
                    return unread();
                }
                self.parameters(&session, client).read_together(ids, version).await
            }
        }
    }

    async fn read_below(&self, path: &SecretId) -> Result<Vec<SecretBelow>, ProviderError> {
        let session = self.session().await?;
        match &session.client {
            ServiceClient::SecretsManager(_) => Err(without_paths(path)),
            ServiceClient::ParameterStore(client) => self.parameters(&session, client).read_below(path).await,
        }
    }

    async fn describe_below(&self, path: &SecretId) -> Result<Vec<SecretDescription>, ProviderError> {
        let session = self.session().await?;
        match &session.client {
            ServiceClient::SecretsManager(_) => Err(without_paths(path)),
            ServiceClient::ParameterStore(client) => self.parameters(&session, client).describe_below(path).await,
        }
    }

    async fn describe(&self, id: &SecretId, version: &Version) -> Result<SecretDescription, ProviderError> {
        let session = self.session_for(id).await?;
        match &session.client {
            ServiceClient::SecretsManager(client) => secrets_manager::describe(self, &session, client, id).await,
            ServiceClient::ParameterStore(client) => self.parameters(&session, client).describe(id, version).await,
        }
    }

    fn describe_size(&self) -> usize {
        match self.service {
            AwsService::SecretsManager => 1,
            AwsService::ParameterStore => parameter_store::DESCRIBE_SIZE,
        }
    }

    async fn describe_together(&self, ids: &[&SecretId]) -> Vec<Option<Result<SecretDescription, ProviderError>>> {
        let alone = || ids.iter().map(|_| None).collect();
        let Ok(session) = self.session().await else { return alone() };
        match &session.client {
            ServiceClient::SecretsManager(_) => alone(),
            ServiceClient::ParameterStore(client) => {
                let caller = session.caller(self);
                // each of the others is refused by itself
                if ids.iter().any(|id| diagnose::same_region(&caller, id).is_err()) {
                    return alone();
                }
                self.parameters(&session, client).describe_together(ids).await
            }
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, ProviderError> {
        let session = self.session().await?;
        let mut names = match &session.client {
            ServiceClient::SecretsManager(client) => secrets_manager::list(self, &session, client, prefix).await?,
            ServiceClient::ParameterStore(client) => self.parameters(&session, client).list(prefix).await?,
        };
        names.retain(|name| name.starts_with(prefix));
        names.sort_unstable();
        Ok(names)
    }
}
