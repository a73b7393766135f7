//! Sends the requests to Parameter Store: three operations of its JSON protocol on the SDK's runtime, which signs, retries and times out.
//!
//! The service's SDK has 150 operations and takes longer to build than the rest of this program. No value in a response is ever shown:
//! its `Debug` form is empty, and it is marked as sensitive for the runtime.

use std::fmt;

use aws_config::SdkConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::auth::{SigV4OperationSigningConfig, SigningOptions};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_sdk_secretsmanager::config::SharedCredentialsProvider;
use aws_sdk_secretsmanager::config::http::{HttpRequest, HttpResponse};
use aws_sdk_secretsmanager::error::{BoxError, ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{
    AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
};
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::orchestrator::{OrchestratorError, SensitiveOutput};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_types::SigningName;
use aws_types::region::SigningRegion;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::secret::SecretBytes;
use crate::secrets::aws::AwsProvider;
use crate::secrets::aws::asked_host::AskedHost;
use crate::secrets::aws::call_error::{CallError, NoAnswer};
use crate::secrets::aws::config::AwsConfig;

/// The service's name in signatures and hosts.
const SERVICE: &str = "ssm";

/// A client with its credentials.
#[derive(Clone)]
pub struct ParameterStoreClient(Operation<ActionRequest, ResponseBody, ParameterStoreError>);

/// The operation and JSON body of a request.
#[derive(Debug, Clone)]
struct ActionRequest {
    action: &'static str,
    body: String,
}

/// The body of a response. Its `Debug` form is empty.
struct ResponseBody(SecretBytes);

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseBody")
    }
}

/// An error of the service; without a code if its body has none.
#[derive(Debug)]
struct ParameterStoreError(ErrorMetadata);

impl fmt::Display for ParameterStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code().unwrap_or("unknown error"))
    }
}

impl std::error::Error for ParameterStoreError {}

impl ProvideErrorMetadata for ParameterStoreError {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

impl ParameterStoreClient {
    /// Returns a client for a configuration with the session's keys.
    pub fn new(config: &AwsConfig, sdk: &SdkConfig, host: AskedHost) -> Self {
        let url = config.service.clone().unwrap_or_else(|| endpoint(sdk, &config.region));
        let mut layer = Layer::new("parameter-store");
        layer.store_put(SensitiveOutput);
        layer.store_put(AuthSchemeOptionResolverParams::new(()));
        let mut signing_options = SigningOptions::default();
        signing_options.double_uri_encode = true;
        signing_options.normalize_uri_path = true;
        layer.store_put(SigV4OperationSigningConfig {
            region: sdk.region().cloned().map(SigningRegion::from),
            name: Some(SigningName::from_static(SERVICE)),
            signing_options,
            ..Default::default()
        });
        let mut components = RuntimeComponentsBuilder::new("parameter-store");
        let schemes = StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]);
        components.set_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(schemes)));
        components.push_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()));
        components.set_identity_cache(Some(IdentityCache::no_cache()));
        if let Some(keys) = sdk.credentials_provider() {
            let keys: SharedCredentialsProvider = keys;
            components.set_identity_resolver(SCHEME_ID, SharedIdentityResolver::new(keys));
        }
        components.set_http_client(sdk.http_client());
        components.set_sleep_impl(sdk.sleep_impl());
        components.set_time_source(sdk.time_source());
        let mut operation = Operation::builder()
            .service_name("SSM")
            .operation_name("ParameterStore")
            .endpoint_url(&url)
            .interceptor(host)
            .retry_classifier(HttpStatusCodeClassifier::default())
            .retry_classifier(TransientErrorClassifier::<ParameterStoreError>::new())
            .retry_classifier(AwsErrorCodeClassifier::<ParameterStoreError>::new())
            .with_connection_poisoning();
        if let Some(retries) = sdk.retry_config() {
            operation = operation.standard_retry(retries);
        }
        if let Some(timeouts) = sdk.timeout_config() {
            operation = operation.timeout_config(timeouts.clone());
        }
        let plugin = StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components);
        ParameterStoreClient(operation.runtime_plugin(plugin).serializer(serialized).deserializer(deserialized).build())
    }

    /// Sends a request and reads the response; after a denial, waits for IAM's propagation and retries.
    pub async fn call<T: DeserializeOwned>(
        &self,
        provider: &AwsProvider,
        host: &AskedHost,
        action: &'static str,
        body: &Value,
    ) -> Result<T, CallError> {
        let request = || self.send(action, body);
        let answer = provider.call(action, host, request).await?;
        read(&answer)
    }

    /// Sends a request without waiting for propagation.
    pub async fn call_once<T: DeserializeOwned>(
        &self,
        host: &AskedHost,
        action: &'static str,
        body: &Value,
    ) -> Result<T, CallError> {
        match self.send(action, body).await {
            Ok(answer) => read(&answer),
            Err(error) => Err(CallError::from_sdk(&error, host).await),
        }
    }

    async fn send(
        &self,
        action: &'static str,
        body: &Value,
    ) -> Result<ResponseBody, SdkError<ParameterStoreError, HttpResponse>> {
        self.0.invoke(ActionRequest { action, body: body.to_string() }).await
    }
}

fn read<T: DeserializeOwned>(answer: &ResponseBody) -> Result<T, CallError> {
    // the parser's message can contain a part of the body
    serde_json::from_slice(answer.0.expose())
        .map_err(|_| CallError::Unanswered(NoAnswer::Garbled { status: 200, request_id: None }))
}

fn serialized(request: ActionRequest) -> Result<HttpRequest, BoxError> {
    let mut http = HttpRequest::new(SdkBody::from(request.body));
    http.set_method("POST")?;
    http.set_uri("/")?;
    let headers = http.headers_mut();
    headers.insert("content-type", "application/x-amz-json-1.1");
    headers.insert("x-amz-target", format!("AmazonSSM.{}", request.action));
    headers.insert("user-agent", concat!("app/secretbake/", env!("CARGO_PKG_VERSION")));
    Ok(http)
}

fn deserialized(response: &HttpResponse) -> Result<ResponseBody, OrchestratorError<ParameterStoreError>> {
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        return Ok(ResponseBody(SecretBytes::new(body.to_vec())));
    }
    Err(OrchestratorError::operation(ParameterStoreError(fault(response.headers().get("x-amzn-errortype"), body))))
}

/// Reads the code and message of an error, in any of the forms that AWS's JSON services use.
pub fn fault(header: Option<&str>, body: &[u8]) -> ErrorMetadata {
    #[derive(Deserialize, Default)]
    struct FaultBody {
        #[serde(rename = "__type")]
        kind: Option<String>,
        #[serde(alias = "Message")]
        message: Option<String>,
    }
    let body: FaultBody = serde_json::from_slice(body).unwrap_or_default();
    let code = header.map(str::to_owned).or(body.kind);
    // `namespace#Code:http://…`
    let code = code.as_deref().map(|code| code.rsplit('#').next().unwrap_or(code));
    let code = code.map(|code| code.split(':').next().unwrap_or(code));
    let mut meta = ErrorMetadata::builder();
    if let Some(code) = code.filter(|code| !code.is_empty()) {
        meta = meta.code(code);
    }
    if let Some(message) = body.message {
        meta = meta.message(message);
    }
    meta.build()
}

/// Returns the service's endpoint in a region, following AWS's endpoint rules.
fn endpoint(sdk: &SdkConfig, region: &str) -> String {
    host(region, sdk.use_fips() == Some(true), sdk.use_dual_stack() == Some(true))
}

fn host(region: &str, fips: bool, dual_stack: bool) -> String {
    const ZONES: [(&str, &str, &str); 7] = [
        ("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        ("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
        ("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
        ("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
        ("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
        ("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
        ("", "amazonaws.com", "api.aws"),
    ];
    let (_, zone, dual) = ZONES.into_iter().find(|(regions, ..)| region.starts_with(regions)).unwrap_or_default();
    // the usual endpoint of these regions is already a FIPS endpoint
    let service = if fips && !region.starts_with("us-gov-") { "ssm-fips" } else { SERVICE };
    format!("https://{service}.{region}.{}", if dual_stack { dual } else { zone })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_its_host() {
        for (region, fips, dual_stack, expected) in [
            ("eu-west-1", false, false, "https://ssm.eu-west-1.amazonaws.com"),
            ("us-east-1", true, false, "https://ssm-fips.us-east-1.amazonaws.com"),
            ("us-east-1", false, true, "https://ssm.us-east-1.api.aws"),
            ("us-gov-west-1", true, false, "https://ssm.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", false, false, "https://ssm.cn-north-1.amazonaws.com.cn"),
            ("eusc-de-east-1", false, false, "https://ssm.eusc-de-east-1.amazonaws.eu"),
        ] {
            assert_eq!(host(region, fips, dual_stack), expected);
        }
    }

    #[test]
    fn a_code_is_taken_from_every_form_of_an_error() {
        for (header, body, code, message) in [
            (None, r#"{"__type":"ParameterNotFound","message":"m"}"#, Some("ParameterNotFound"), Some("m")),
            (None, r#"{"__type":"com.amazonaws.ssm#InvalidKeyId","Message":"m"}"#, Some("InvalidKeyId"), Some("m")),
            (Some("AccessDeniedException:http://internal/"), "{}", Some("AccessDeniedException"), None),
            (None, "<html>", None, None),
        ] {
            let meta = fault(header, body.as_bytes());
            assert_eq!((meta.code(), meta.message()), (code, message), "{body}");
        }
    }
}
