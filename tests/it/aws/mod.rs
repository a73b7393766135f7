//! The AWS provider against the wire: what it sends, what it makes of each answer, and what it never shows.

mod batch;
mod calls;
mod commands;
mod denials;
mod environment;
mod keys;
mod leaks;
mod moto;
mod network;
mod parameter_path;
mod parameters;
mod secrets;
mod web_identity;

use std::time::Duration;

use secretbake::manifest::Version;
use secretbake::manifest::reference::SecretId;
use secretbake::org::file::{Keys, Variables};
use secretbake::org::{AwsService, AwsSettings, Batch, Role};
use secretbake::secret::SecretBytes;
use secretbake::secrets::aws::{AwsProvider, AwsVariables};
use secretbake::secrets::{CallLimits, Provider, ProviderError, SecretValue};

use crate::support::stub::{Reply, Stub};

pub const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
pub const EXTERNAL_ID: &str = "crew-7-external";
pub const ROLE: &str = "arn:aws:iam::123456789012:role/secrets-reader";
pub const ASSUMED: &str = r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
    <AssumedRoleUser><AssumedRoleId>AROA:secretbake</AssumedRoleId>
    <Arn>arn:aws:sts::123456789012:assumed-role/secrets-reader/secretbake</Arn></AssumedRoleUser>
    <Credentials><AccessKeyId>ASIAROLESESSION0001</AccessKeyId><SecretAccessKey>role-session-secret</SecretAccessKey>
    <SessionToken>role-session-token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
    </AssumeRoleResult></AssumeRoleResponse>"#;

/// Throttling is retried at once and refusals are not waited for; a busy machine still has time to answer.
pub fn quick() -> CallLimits {
    CallLimits {
        connect: Duration::from_secs(5),
        read: Duration::from_secs(10),
        attempt: Duration::from_secs(10),
        operation: Duration::from_secs(30),
        attempts: 3,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        propagation: Duration::ZERO,
        propagation_pause: Duration::from_millis(1),
    }
}

/// The credential `aws-prod` as the tests vary it.
pub struct Credential {
    pub region: &'static str,
    pub access_key_id: &'static str,
    pub token: Option<&'static str>,
    pub role: bool,
    pub external_id: bool,
    pub batch: Batch,
    pub service: AwsService,
    pub limits: CallLimits,
}

impl Default for Credential {
    fn default() -> Self {
        let (region, access_key_id) = ("us-east-1", ACCESS_KEY_ID);
        let (token, role, external_id) = (None, false, false);
        Credential {
            region,
            access_key_id,
            token,
            role,
            external_id,
            batch: Batch::Never,
            service: AwsService::SecretsManager,
            limits: quick(),
        }
    }
}

impl Credential {
    pub fn at(self, url: &str) -> AwsProvider {
        let secret = |text: &str| SecretBytes::from(text.to_owned());
        let external_id = self.external_id.then(|| secret(EXTERNAL_ID));
        let settings = AwsSettings {
            service: self.service,
            region: Some(self.region.to_owned()),
            web_identity_token: None,
            keys: None,
            role: (self.role || self.external_id).then(|| Role { arn: ROLE.to_owned(), external_id }),
            batch: self.batch,
        };
        let keys = Keys {
            access_key_id: self.access_key_id.to_owned(),
            secret_access_key: secret(SECRET_KEY),
            session_token: self.token.map(secret),
        };
        AwsProvider::new("aws-prod", &settings, Some(keys), endpoint(url), self.limits)
    }
}

/// Returns the variables of an environment with an endpoint.
fn endpoint(url: &str) -> AwsVariables {
    AwsVariables::read(Variables::new(&|name| (name == "AWS_ENDPOINT_URL").then(|| url.into())))
}

pub fn id(text: &str) -> SecretId {
    SecretId::new(text).unwrap()
}

/// Reads the current version of a secret.
pub async fn read(provider: &AwsProvider, name: &str) -> Result<SecretValue, ProviderError> {
    provider.read(&id(name), &Version::Current).await
}

/// Returns how a value reads, or how its failure does.
pub fn outcome(result: Result<SecretValue, ProviderError>) -> String {
    match result {
        Ok(value) => String::from_utf8_lossy(value.bytes.expose()).into_owned(),
        Err(failure) => shown(&failure),
    }
}

/// Returns a failure as the user sees it, with its kind, and the stub's port left out.
pub fn shown(failure: &ProviderError) -> String {
    let text = format!("{:?}: {}", failure.kind, failure.diagnostic);
    assert!(!text.contains(SECRET_KEY) && !text.contains(EXTERNAL_ID), "{text}");
    text
}

/// Reads the secret `db` where the service answers so.
pub async fn diagnosis(script: impl IntoIterator<Item = Reply>) -> String {
    let stub = Stub::answering(script);
    outcome(read(&Credential::default().at(&stub.url()), "db").await).replace(&stub.host(), "HOST:PORT")
}

/// Returns an error of Secrets Manager.
pub fn refusal(code: &str, message: &str) -> Reply {
    Reply::json(400, &serde_json::json!({ "__type": code, "Message": message }).to_string())
}

/// Returns an error of STS.
pub fn sts_refusal(code: &str, message: &str) -> Reply {
    Reply::xml(
        403,
        &format!(
            r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
               <Code>{code}</Code><Message>{message}</Message></Error><RequestId>4f1c-xml</RequestId></ErrorResponse>"#
        ),
    )
}

/// Returns the answer to GetSecretValue.
pub fn value(text: &str) -> Reply {
    let body = serde_json::json!({
        "ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf", "Name": "db",
        "VersionId": "v-1", "SecretString": text, "VersionStages": ["AWSCURRENT"], "CreatedDate": 1.5e9,
    });
    Reply::json(200, &body.to_string())
}

/// Returns the answer to DescribeSecret, with more fields.
pub fn description(more: serde_json::Value) -> Reply {
    let mut body = serde_json::json!({
        "ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf", "Name": "db",
        "VersionIdsToStages": {"v-2": ["AWSCURRENT"], "v-1": ["AWSPREVIOUS"]},
    });
    let serde_json::Value::Object(more) = more else { panic!("an object") };
    body.as_object_mut().unwrap().extend(more);
    Reply::json(200, &body.to_string())
}
