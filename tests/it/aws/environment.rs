//! What the process's environment does and does not change: each case reads a secret in a child of its own.

use std::io::Write;
use std::process::Command;

use insta::assert_snapshot;
use secretbake::org::file::Variables;
use secretbake::org::{AwsService, AwsSettings, Batch};
use secretbake::secrets::aws::{AwsProvider, AwsVariables};

use super::{ACCESS_KEY_ID, ASSUMED, SECRET_KEY, outcome, quick, read, value};
use crate::support::stub::{Reply, Stub};
use crate::support::tls;

/// The variable that makes the test [`child`] read a secret: its value says with which credential.
const CHILD: &str = "SECRETBAKE_TEST_CHILD";

/// Reads the secret `db` in a process with just this environment, and returns the outcome.
fn child_with(credential: &str, environment: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "aws::environment::child", "--ignored", "--nocapture"])
        .env_clear()
        .envs([(CHILD, credential), ("HOME", "/nonexistent")])
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let begin = text.find("<<<").unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    text[begin + 3..text.find(">>>").unwrap()].to_owned()
}

#[tokio::test]
#[ignore = "the other tests run it in a process of its own"]
async fn child() {
    let credential = crate::support::variable(CHILD);
    let text = |text: &str| secretbake::secret::SecretBytes::from(text.to_owned());
    let keys = credential.contains("static").then(|| secretbake::org::file::Keys {
        access_key_id: ACCESS_KEY_ID.to_owned(),
        secret_access_key: text(SECRET_KEY),
        session_token: None,
    });
    let role =
        credential.contains("role").then(|| secretbake::org::Role { arn: super::ROLE.to_owned(), external_id: None });
    let region = credential.contains("static").then(|| "us-east-1".to_owned());
    let variables = AwsVariables::read(Variables::new(&|name| std::env::var_os(name)));
    let service = AwsService::SecretsManager;
    let settings = AwsSettings { service, region, keys: None, role, web_identity_token: None, batch: Batch::Never };
    let provider = AwsProvider::new("aws-prod", &settings, keys, variables, quick());
    // not by `println!`, which the test harness may keep to itself
    write!(std::io::stdout(), "<<<{}>>>", outcome(read(&provider, "db").await)).unwrap();
}

const AMBIENT: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "ASIAAMBIENT00000001"),
    ("AWS_SECRET_ACCESS_KEY", "ambient-secret"),
    ("AWS_SESSION_TOKEN", "ambient-token"),
];

#[test]
fn static_keys_go_to_the_endpoints_that_the_environment_names() {
    let stub = Stub::answering([value("x")]);
    assert_eq!(child_with("static", &[("AWS_ENDPOINT_URL", &stub.url())]), "x");
    let (sts, secrets) = (Stub::answering([Reply::xml(200, ASSUMED)]), Stub::answering([value("x")]));
    let environment = [("AWS_ENDPOINT_URL_STS", &*sts.url()), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &*secrets.url())];
    assert_eq!(child_with("static,role", &environment), "x");
    assert_eq!((sts.operations(), secrets.operations()), (vec!["AssumeRole".into()], vec!["GetSecretValue".into()]));
}

#[test]
fn static_keys_are_never_mixed_with_the_ambient_session() {
    let (stub, metadata) = (Stub::answering([value("x")]), Stub::answering([Reply::raw(404, "text/plain", "")]));
    let mut environment = AMBIENT.to_vec();
    let (url, metadata_url) = (stub.url(), metadata.url());
    environment.extend([
        ("AWS_ENDPOINT_URL", &*url),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*metadata_url),
        ("AWS_PROFILE", "there-is-no-such-profile"),
        ("AWS_REGION", "ap-south-1"),
    ]);
    assert_eq!(child_with("static", &environment), "x");
    let request = &stub.requests()[0];
    let authorization = request.header("authorization").unwrap();
    assert!(authorization.contains(&format!("Credential={ACCESS_KEY_ID}/")), "{authorization}");
    assert!(authorization.contains("/us-east-1/"), "{authorization}");
    assert_eq!(request.header("x-amz-security-token"), None);
    assert!(metadata.requests().is_empty(), "{:?}", metadata.operations());
}

#[test]
fn without_keys_the_ambient_ones_are_used() {
    let stub = Stub::answering([value("x")]);
    let mut environment = AMBIENT.to_vec();
    let url = stub.url();
    environment.extend([("AWS_ENDPOINT_URL", &*url), ("AWS_REGION", "ap-south-1")]);
    assert_eq!(child_with("ambient", &environment), "x");
    let request = &stub.requests()[0];
    assert!(request.header("authorization").unwrap().contains("/ap-south-1/secretsmanager/"));
    assert_eq!(request.header("x-amz-security-token"), Some("ambient-token"));
}

#[test]
fn without_keys_the_profile_is_used() {
    let stub = Stub::answering([value("x")]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    let profile = "[profile deploy]\nregion = sa-east-1\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = x\n";
    std::fs::write(&path, profile).unwrap();
    let environment =
        [("AWS_ENDPOINT_URL", &*stub.url()), ("AWS_CONFIG_FILE", path.to_str().unwrap()), ("AWS_PROFILE", "deploy")];
    assert_eq!(child_with("ambient", &environment), "x");
    let authorization = stub.requests()[0].header("authorization").unwrap().to_owned();
    assert!(authorization.contains("Credential=AKIAPROFILE/"), "{authorization}");
    assert!(authorization.contains("/sa-east-1/"), "{authorization}");
}

/// Reads `db` in a process whose AWS profile says so; `PATH` is there for a shell.
fn child_with_profile(url: &str, profile: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    std::fs::write(&path, format!("[profile deploy]\nregion = sa-east-1\n{profile}\n")).unwrap();
    let search = std::env::var("PATH").unwrap();
    let environment = [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_CONFIG_FILE", path.to_str().unwrap()),
        ("AWS_PROFILE", "deploy"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("PATH", &search),
    ];
    child_with("ambient", &environment)
}

#[test]
fn a_profile_may_name_a_program_that_prints_the_keys() {
    let stub = Stub::answering([value("x")]);
    let keys = r#"{"Version":1,"AccessKeyId":"AKIAPROCESS","SecretAccessKey":"x"}"#;
    assert_eq!(child_with_profile(&stub.url(), &format!("credential_process = echo '{keys}'")), "x");
    let authorization = stub.requests()[0].header("authorization").unwrap().to_owned();
    assert!(authorization.contains("Credential=AKIAPROCESS/"), "{authorization}");
}

#[test]
fn a_profile_that_logs_in_by_sso() {
    let stub = Stub::answering([value("x")]);
    let sso = "sso_start_url = https://example.invalid/start\nsso_region = us-east-1\nsso_account_id = 123456789012\nsso_role_name = reader";
    assert_snapshot!(child_with_profile(&stub.url(), sso), @r#"
    Denied: error: no AWS credentials on this machine (credential `aws-prod`)
      cause: the credential has no keys, and no keys were found in the environment, profile, web identity or instance
      cause: or the profile logs in by SSO or in a browser, which only the AWS CLI can do
      cause: the AWS SDK says: the credentials provider was not properly configured: ProfileFile provider could not be built: This behavior requires following cargo feature(s) enabled: sso.
      hint: set access_key_id and secret_access_key at `aws-prod`, or AWS_PROFILE
      hint: after `aws sso login`: `eval "$(aws configure export-credentials --format env)"`
    "#);
    assert!(stub.requests().is_empty());
}

#[test]
fn no_ambient_keys() {
    let environment = [("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_REGION", "us-east-1")];
    assert_snapshot!(child_with("ambient", &environment), @r#"
    Denied: error: no AWS credentials on this machine (credential `aws-prod`)
      cause: the credential has no keys, and no keys were found in the environment, profile, web identity or instance
      cause: or the profile logs in by SSO or in a browser, which only the AWS CLI can do
      cause: the AWS SDK says: the credential provider was not enabled: no credentials found in chain. Attempted: Environment: the credential provider was not enabled: environment variable not set Profile: the credential provider was not enabled WebIdentityToken: the credential provider was not enabled: $AWS_WEB_IDENTITY_TOKEN_F…
      hint: set access_key_id and secret_access_key at `aws-prod`, or AWS_PROFILE
      hint: after `aws sso login`: `eval "$(aws configure export-credentials --format env)"`
    "#);
}

#[test]
fn no_ambient_region() {
    let mut environment = AMBIENT.to_vec();
    environment.push(("AWS_EC2_METADATA_DISABLED", "true"));
    assert_snapshot!(child_with("ambient", &environment), @"
    Other: error: no region (credential `aws-prod`)
      cause: the credential has no region, and neither AWS_REGION nor the profile names one
      hint: set `region` at `aws-prod`, as in us-east-1
    ");
}

#[test]
fn the_proxy_and_the_fips_endpoint_are_used() {
    let proxy = Stub::answering([Reply::raw(407, "text/plain", "")]);
    let url = proxy.url();
    child_with("static", &[("HTTPS_PROXY", &*url)]);
    child_with("static", &[("HTTPS_PROXY", &*url), ("AWS_USE_FIPS_ENDPOINT", "true")]);
    let mut lines: Vec<String> = proxy.requests().into_iter().map(|request| request.line).collect();
    lines.dedup();
    assert_eq!(
        lines,
        [
            "CONNECT secretsmanager.us-east-1.amazonaws.com:443",
            "CONNECT secretsmanager-fips.us-east-1.amazonaws.com:443"
        ]
    );
}

#[test]
fn an_endpoint_that_is_no_url_is_refused_before_anything_is_sent() {
    let refused = |variable: &str, value: &str| child_with("static,role", &[(variable, value)]);
    assert_snapshot!(refused("AWS_ENDPOINT_URL", "localhost:4566"), @"
    Other: error: AWS_ENDPOINT_URL is not an endpoint URL: it has no scheme (credential `aws-prod`)
      hint: write a whole URL, as in https://HOST or http://localhost:4566, or unset it
    ");
    assert_snapshot!(refused("AWS_ENDPOINT_URL_SECRETS_MANAGER", "ftp://user:canary@localhost"), @"
    Other: error: AWS_ENDPOINT_URL_SECRETS_MANAGER is not an endpoint URL: its scheme is neither http nor https (credential `aws-prod`)
      hint: write a whole URL, as in https://HOST or http://localhost:4566, or unset it
    ");
    assert_snapshot!(refused("AWS_ENDPOINT_URL_STS", "https://:443"), @"
    Other: error: AWS_ENDPOINT_URL_STS is not an endpoint URL: it has no host (credential `aws-prod`)
      hint: write a whole URL, as in https://HOST or http://localhost:4566, or unset it
    ");
    // of several, the one that counts is named
    let stub = Stub::answering([Reply::xml(200, ASSUMED), value("x")]);
    let (url, nonsense) = (stub.url(), "nonsense");
    let both =
        [("AWS_ENDPOINT_URL", nonsense), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &*url), ("AWS_ENDPOINT_URL_STS", &*url)];
    assert_eq!(child_with("static,role", &both), "x");
    let ignored =
        [("AWS_ENDPOINT_URL", nonsense), ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"), ("HTTPS_PROXY", &*url)];
    assert!(child_with("static", &ignored).contains("secretsmanager.us-east-1.amazonaws.com"));
}

#[test]
fn an_endpoint_of_a_profile_is_checked_too() {
    let with = |profile: &str| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, profile).unwrap();
        child_with("static", &[("AWS_CONFIG_FILE", path.to_str().unwrap()), ("AWS_PROFILE", "deploy")])
    };
    assert_snapshot!(with("[profile deploy]\nendpoint_url = localhost:4566\n"), @"
    Other: error: `endpoint_url` of the AWS profile `deploy` is not an endpoint URL: it has no scheme (credential `aws-prod`)
      hint: write a whole URL, as in https://HOST or http://localhost:4566, or unset it
    ");
    let services =
        "[profile deploy]\nservices = local\n\n[services local]\nsecrets_manager =\n  endpoint_url = tcp://localhost\n";
    assert_snapshot!(with(services), @"
    Other: error: `endpoint_url` of the AWS profile `deploy` is not an endpoint URL: its scheme is neither http nor https (credential `aws-prod`)
      hint: write a whole URL, as in https://HOST or http://localhost:4566, or unset it
    ");
}

/// Reads `db` from an endpoint behind a proxy that opens TLS with a certificate of its own authority.
fn behind_an_intercepting_proxy(environment: &[(&str, &str)], profile: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    tls::certificates(directory.path());
    let stub = Stub::answering([value("x")]);
    let proxy = Stub::as_tls_proxy(&stub.host(), tls::server(directory.path()));
    let config = directory.path().join("config");
    let bundle = directory.path().join("ca.pem").display().to_string();
    std::fs::write(&config, profile.replace("BUNDLE", &bundle)).unwrap();
    let broken = directory.path().join("broken.pem").display().to_string();
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    let path = |value: &str| value.replace("BUNDLE", &bundle).replace("BROKEN", &broken);
    let given: Vec<(&str, String)> = environment.iter().map(|(name, value)| (*name, path(value))).collect();
    let url = proxy.url();
    let mut all = vec![("AWS_ENDPOINT_URL", "https://registry.test"), ("HTTPS_PROXY", url.as_str())];
    all.push(("AWS_CONFIG_FILE", config.to_str().unwrap()));
    all.extend(given.iter().map(|(name, value)| (*name, value.as_str())));
    child_with("static", &all).replace(&bundle, "BUNDLE").replace(&broken, "BROKEN")
}

#[test]
fn behind_a_proxy_that_opens_tls_the_ca_bundle_is_trusted() {
    assert_eq!(behind_an_intercepting_proxy(&[("AWS_CA_BUNDLE", "BUNDLE")], ""), "x");
    assert_eq!(behind_an_intercepting_proxy(&[], "[default]\nca_bundle = BUNDLE\n"), "x");
    assert_snapshot!(behind_an_intercepting_proxy(&[], ""), @"
    Other: error: no trusted connection to registry.test (credential `aws-prod`, region us-east-1)
      cause: TLS says: invalid peer certificate: UnknownIssuer
      cause: a proxy that opens TLS, whose CA this machine does not know, or an https URL for an http endpoint
      hint: set AWS_CA_BUNDLE to a file with the proxy's CA certificate, or add it to the system's
    ");
}

#[test]
fn a_ca_bundle_that_cannot_be_used() {
    assert_snapshot!(behind_an_intercepting_proxy(&[("AWS_CA_BUNDLE", "/nonexistent/ca.pem")], ""), @"
    Other: error: cannot read the CA bundle /nonexistent/ca.pem: No such file or directory (os error 2) (credential `aws-prod`)
      cause: AWS_CA_BUNDLE names it
      hint: set AWS_CA_BUNDLE to a readable file of certificates in PEM, or unset it
    ");
    assert_snapshot!(behind_an_intercepting_proxy(&[("AWS_CA_BUNDLE", "BROKEN")], ""), @"
    Other: error: BROKEN is not a CA bundle: a certificate in it is cut short or not PEM (credential `aws-prod`)
      cause: AWS_CA_BUNDLE names it
      hint: set AWS_CA_BUNDLE to a file of certificates in PEM, or unset it
    ");
    assert_snapshot!(behind_an_intercepting_proxy(&[("AWS_CA_BUNDLE", "/dev/zero")], ""), @"
    Other: error: cannot read the CA bundle /dev/zero: it is not a regular file (credential `aws-prod`)
      cause: AWS_CA_BUNDLE names it
      hint: set AWS_CA_BUNDLE to a readable file of certificates in PEM, or unset it
    ");
    assert_snapshot!(behind_an_intercepting_proxy(&[], "[default]\nca_bundle = /etc/hostname\n"), @"
    Other: error: /etc/hostname is not a CA bundle: it holds no certificate in PEM (credential `aws-prod`)
      cause: `ca_bundle` of the AWS profile `default` names it
      hint: set `ca_bundle` of the AWS profile `default` to a file of certificates in PEM, or unset it
    ");
}
