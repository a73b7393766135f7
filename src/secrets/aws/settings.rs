//! Owns the AWS settings that are checked before the first request: endpoint URLs and the CA bundle, each with its source.
//!
//! The SDK reads the same variables and profile but reports a wrong endpoint only as a failed request.

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;

use super::diagnose;
use crate::org::file::Variables;
use crate::secrets::ProviderError;

const ENDPOINT: &str = "AWS_ENDPOINT_URL";
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// A service that receives requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    SecretsManager,
    ParameterStore,
    Sts,
}

/// A setting and its source, worded for a diagnosis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub value: String,
    pub source: String,
}

/// The AWS environment variables that are checked here.
#[derive(Debug, Clone, Default)]
pub struct AwsVariables {
    endpoint: Option<String>,
    secrets_manager: Option<String>,
    parameter_store: Option<String>,
    sts: Option<String>,
    ca_bundle: Option<String>,
    profile: Option<String>,
}

impl AwsVariables {
    /// Reads the variables. `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` makes it ignore all endpoints.
    pub fn read(variables: Variables<'_>) -> Self {
        let text = |name: &str| variables.get(name).map(|value| value.to_string_lossy().into_owned());
        let ignores =
            text("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let endpoint = |name: &str| text(name).filter(|_| !ignores);
        AwsVariables {
            endpoint: endpoint(ENDPOINT),
            secrets_manager: endpoint(Service::SecretsManager.variable()),
            parameter_store: endpoint(Service::ParameterStore.variable()),
            sts: endpoint(Service::Sts.variable()),
            ca_bundle: text(CA_BUNDLE),
            profile: text("AWS_PROFILE"),
        }
    }

    /// Returns the checked endpoint URL of a service; `None` for the region's default. `sdk` has the profile.
    pub fn endpoint(
        &self,
        sdk: &SdkConfig,
        service: Service,
        credential: &str,
    ) -> Result<Option<String>, ProviderError> {
        let own = match service {
            Service::SecretsManager => &self.secrets_manager,
            Service::ParameterStore => &self.parameter_store,
            Service::Sts => &self.sts,
        };
        let variable =
            |value: &Option<String>, name: &str| value.clone().map(|value| Setting { value, source: name.to_owned() });
        let setting = variable(own, service.variable())
            .or_else(|| variable(&self.endpoint, ENDPOINT))
            .or_else(|| self.profile_setting(sdk, service.id(), ENDPOINT, "endpoint_url"));
        let Some(setting) = setting else { return Ok(None) };
        match fault_of_url(&setting.value) {
            Some(why) => Err(diagnose::bad_endpoint(credential, &setting.source, why)),
            None => Ok(Some(setting.value)),
        }
    }

    /// Returns the file of CA certificates that replaces the system's.
    pub fn ca_bundle(&self, sdk: &SdkConfig) -> Option<Setting> {
        let variable = self.ca_bundle.clone().map(|value| Setting { value, source: CA_BUNDLE.to_owned() });
        variable.or_else(|| self.profile_setting(sdk, Service::SecretsManager.id(), CA_BUNDLE, "ca_bundle"))
    }

    fn profile_setting(&self, sdk: &SdkConfig, service: &str, env: &str, key: &str) -> Option<Setting> {
        let wanted = ServiceConfigKey::builder().service_id(service).env(env).profile(key).build().ok()?;
        let value = sdk.service_config()?.load_config(wanted).filter(|value| !value.is_empty())?;
        let profile = self.profile.as_deref().unwrap_or("default");
        Some(Setting { value, source: format!("`{key}` of the AWS profile `{profile}`") })
    }
}

impl Service {
    fn variable(self) -> &'static str {
        match self {
            Service::SecretsManager => "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            Service::ParameterStore => "AWS_ENDPOINT_URL_SSM",
            Service::Sts => "AWS_ENDPOINT_URL_STS",
        }
    }

    /// Returns the service's key in a profile's `services` section, documented by AWS.
    fn id(self) -> &'static str {
        match self {
            Service::SecretsManager => "secrets_manager",
            Service::ParameterStore => "ssm",
            Service::Sts => "sts",
        }
    }
}

/// Returns what is wrong with an endpoint URL, if anything.
fn fault_of_url(url: &str) -> Option<&'static str> {
    let Some((scheme, rest)) = url.split_once("://") else { return Some("it has no scheme") };
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Some("its scheme is neither http nor https");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    if name.is_empty() {
        return Some("it has no host");
    }
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("it holds spaces or other characters that no URL has");
    }
    match port {
        Some(port) if port.parse::<u16>().is_err() => Some("its port is not a number from 0 to 65535"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_of_http_or_https_with_a_host() {
        for (url, expected) in [
            ("http://localhost:4566", None),
            ("HTTPS://vpce-1.example.com/path", None),
            ("http://[::1]", None),
            ("http://user:pass@[::1]:5000/", None),
            ("localhost:4566", Some("it has no scheme")),
            ("ftp://host", Some("its scheme is neither http nor https")),
            ("http://", Some("it has no host")),
            ("http://:80", Some("it has no host")),
            ("http://host:port", Some("its port is not a number from 0 to 65535")),
            ("http://ho st", Some("it holds spaces or other characters that no URL has")),
        ] {
            assert_eq!(fault_of_url(url), expected, "{url}");
        }
    }
}
