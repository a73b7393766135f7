//! Owns the SDK's configuration: its keys, endpoints, timeouts and retries.
//!
//! What the org file does not set is taken from the environment and the profile, like AWS's own tools do: `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_SECRETS_MANAGER`, `AWS_ENDPOINT_URL_STS`,
//! `AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT`. Keys are never mixed: static keys replace the whole
//! ambient chain, including its session token, and instance metadata is not requested.

use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};

use super::AwsProvider;
use super::diagnose::{self, Caller};
use super::settings::Service;
use super::{ca_bundle, call_error, http_client};
use crate::diagnostic::scrub;
use crate::org::AwsService;
use crate::org::file::Keys;
use crate::secrets::{CallLimits, ProviderError};

/// The configuration of every client.
pub struct AwsConfig {
    pub sdk: SdkConfig,
    pub region: String,
    pub credentials: Credentials,
    /// The checked endpoint from the environment or the profile.
    pub service: Option<String>,
    pub sts: Option<String>,
}

/// Loads the configuration and, without static keys, the ambient credentials.
///
/// # Errors
/// There is no region, or no ambient credentials, or no CA certificate.
pub async fn load(provider: &AwsProvider) -> Result<AwsConfig, ProviderError> {
    let name = &provider.credential;
    // only reads the environment and the profile: no request for a region or for credentials
    let local = loader(&provider.limits).region(Region::from_static("us-east-1")).no_credentials().load().await;
    let own = match provider.service {
        AwsService::SecretsManager => Service::SecretsManager,
        AwsService::ParameterStore => Service::ParameterStore,
    };
    let service = provider.variables.endpoint(&local, own, name)?;
    let sts = provider.variables.endpoint(&local, Service::Sts, name)?;
    let is_plain = |url: &Option<String>| url.as_ref().is_some_and(|url| url.starts_with("http://"));
    let trusted = match provider.variables.ca_bundle(&local) {
        Some(bundle) => ca_bundle::read(&bundle, name).await?,
        // the ambient chain may ask others
        None if provider.keys.is_some() && is_plain(&service) && is_plain(&sts) => Vec::new(),
        None => ca_bundle::of_system().await.ok_or_else(|| diagnose::no_authorities(name))?,
    };
    let mut loader = loader(&provider.limits).http_client(http_client::client(trusted));
    if let Some(region) = &provider.region {
        loader = loader.region(Region::new(region.clone()));
    }
    // a request with a token is not signed
    let unsigned = || provider.web_identity.as_ref().map(|_| Credentials::new("", "", None, None, "none"));
    let fixed = provider.keys.as_ref().map(credentials).or_else(unsigned);
    if let Some(credentials) = &fixed {
        loader = loader.credentials_provider(credentials.clone());
    }
    let load = async {
        let sdk = loader.load().await;
        let credentials = match (fixed, sdk.credentials_provider()) {
            (Some(credentials), _) => Ok(credentials),
            (None, Some(chain)) => chain
                .provide_credentials()
                .await
                .map_err(|error| diagnose::no_ambient(name, &call_error::chain(&error))),
            (None, None) => Err(diagnose::no_ambient(name, "")),
        };
        (sdk, credentials)
    };
    let (sdk, credentials) = tokio::time::timeout(provider.limits.operation, load)
        .await
        .map_err(|_| diagnose::no_ambient(name, "no answer in time"))?;
    let credentials = credentials?;
    let secrets = [Some(credentials.secret_access_key()), credentials.session_token()];
    secrets.into_iter().flatten().for_each(|secret| scrub::remember(secret.as_bytes()));
    let region = sdk.region().map(Region::to_string).ok_or_else(|| diagnose::no_region(name))?;
    Ok(AwsConfig { sdk: with_credentials(&sdk, credentials.clone()), region, credentials, service, sts })
}

/// Returns the same configuration with other credentials.
pub fn with_credentials(sdk: &SdkConfig, credentials: Credentials) -> SdkConfig {
    sdk.to_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build()
}

impl AwsConfig {
    /// Returns the caller for diagnoses.
    pub fn caller<'a>(&'a self, provider: &'a AwsProvider) -> Caller<'a> {
        provider.caller(&self.region, &self.credentials, None)
    }
}

fn loader(limits: &CallLimits) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(limits.connect)
        .read_timeout(limits.read)
        .operation_attempt_timeout(limits.attempt)
        .operation_timeout(limits.operation)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(limits.attempts)
        .with_initial_backoff(limits.first_pause)
        .with_max_backoff(limits.longest_pause);
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).retry_config(retries);
    if let Ok(name) = AppName::new("secretbake") {
        loader = loader.app_name(name);
    }
    loader
}

fn credentials(keys: &Keys) -> Credentials {
    // `keys` were checked to be ASCII when they were read
    let text = |key: &crate::secret::SecretBytes| String::from_utf8_lossy(key.expose()).into_owned();
    let token = keys.session_token.as_ref().map(text);
    Credentials::new(&keys.access_key_id, text(&keys.secret_access_key), token, None, "secretbake")
}
