//! Parameter Store: on real moto what works, and over the wire what AWS refuses.

use std::fs;

use insta::assert_snapshot;
use secretbake::manifest::Version;
use secretbake::org::AwsService;
use secretbake::secrets::Provider as _;
use secretbake::secrets::aws::AwsProvider;
use serde_json::json;

use super::{Credential, id, outcome, read, refusal, shown};
use crate::leak::is_clean;
use crate::support::moto::Moto;
use crate::support::project::Project;
use crate::support::stub::{Reply, Stub};

const ARN: &str = "arn:aws:ssm:us-east-1:123456789012:parameter/crew/db";
const USER: &str = "User: arn:aws:iam::123456789012:user/reader is not authorized to perform";

fn at(url: &str) -> AwsProvider {
    Credential { service: AwsService::ParameterStore, ..Credential::default() }.at(url)
}

/// Returns a project whose default credential reads moto's parameters, with every log line on.
fn project(moto: &Moto) -> Project {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - name: params\n    provider: aws-parameter-store\n    region: us-east-1\n    default: true\n\
         \x20   access_key_id: AKIAEXAMPLEEXAMPLE00\n    secret_access_key: { env: TEST_SECRET_KEY }\n",
    );
    project
        .variable("TEST_SECRET_KEY", crate::support::project::SECRET_KEY)
        .variable("AWS_ENDPOINT_URL_SSM", &moto.endpoint)
        .variable("AWS_ENDPOINT_URL_STS", &moto.endpoint)
}

/// Reads the parameter `/crew/db` where the service answers so.
async fn diagnosis(version: Version, script: impl IntoIterator<Item = Reply>) -> String {
    let stub = Stub::answering(script);
    outcome(at(&stub.url()).read(&id("/crew/db"), &version).await).replace(&stub.host(), "HOST:PORT")
}

#[test]
fn every_type_version_label_and_key_is_baked_and_drift_reads_no_value() {
    let moto = Moto::new();
    moto.parameter("host", "String", "canary-value-1");
    moto.parameter("hosts", "StringList", "a,b");
    moto.parameter("db", "SecureString", r#"{"password":"canary-value-2"}"#);
    let old = moto.parameter("token", "SecureString", "old");
    let name = |short: &str| format!("/{}", moto.name(short));
    moto.ask(
        "AmazonSSM",
        "LabelParameterVersion",
        &json!({ "Name": name("token"), "ParameterVersion": old, "Labels": ["prod"] }),
    );
    moto.parameter("token", "SecureString", "new");
    let project = project(&moto);
    let env = [
        ("HOST", "host", ""),
        ("HOSTS", "hosts", ""),
        ("PASSWORD", "db#password", ""),
        ("NEWEST", "token", ""),
        ("LABELLED", "token", ", label: prod"),
        ("FIRST", "token", ", version: 1"),
        ("ABSENT", "absent", ", optional: true"),
    ];
    let env =
        env.map(|(variable, short, more)| format!("  {variable}: {{ secret: {}{more} }}\n", name(short))).concat();
    project.write(
        "deploy.yaml",
        &format!(
            "version: 1\nimage: {{ base: scratch, inject: file, format: json, tags: [\"oci:out:1\"] }}\nenv:\n{env}"
        ),
    );
    let ran =
        project.run(&["bake", "deploy.yaml", "--log", "trace,aws_smithy_runtime=trace,aws_runtime=trace,hyper=trace"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("TRACE"));
    is_clean("the log", ran.stderr.as_bytes());
    let shown = |text: String| text.replace(&moto.prefix, "PREFIX").replace(&*moto.endpoint, "MOTO");
    assert_snapshot!(shown(project.run(&["inspect", "oci:out:1"]).stdout).split_once("env\n").unwrap().1, @"");
    assert_snapshot!(shown(project.run(&["drift", "oci:out:1"]).stdout), @"");
    moto.parameter("host", "String", "canary-value-1");
    let ran = project.run(&["drift", "oci:out:1"]);
    assert_eq!(ran.status, Some(3));
    assert!(shown(ran.stdout).contains("HOST      secret /PREFIX/host with params"));
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_snapshot!(shown(ran.stdout), @"");
    let listed = project.run(&["secrets", "list", "--prefix", &name("")]);
    assert_snapshot!(shown(listed.stdout + &listed.stderr), @"");
    let tested = project.run(&["credential", "test", "--secret", &format!("{}#password", name("db"))]);
    let text = shown(tested.stdout);
    assert_eq!(tested.status, Some(0), "{text}");
    assert!(text.contains("ok       key          #password\n"), "{text}");
    assert!(fs::metadata(project.path("out")).is_ok());
}

#[tokio::test]
async fn parameters_are_read_in_tens_and_each_once() {
    let moto = Moto::new();
    for number in 0..23 {
        moto.parameter(&format!("p{number}"), "SecureString", &format!("v{number}"));
    }
    let host = moto.endpoint.strip_prefix("http://").unwrap().to_owned();
    let stub = Stub::before(&host, |_, _| None);
    let project = project(&moto).variable("AWS_ENDPOINT_URL_SSM", &stub.url());
    let env: String =
        (0..23).map(|number| format!("  V{number}: {{ secret: /{} }}\n", moto.name(&format!("p{number}")))).collect();
    let again = format!("  AGAIN: {{ secret: /{} }}\n", moto.name("p0"));
    project.baked(&format!("version: 1\nimage: {{ base: scratch, tags: [\"oci:out:1\"] }}\nenv:\n{env}{again}"));
    assert_eq!(stub.operations(), ["GetParameters"; 3]);
    let provider = at(&moto.endpoint);
    let full = format!("arn:aws:ssm:us-east-1:123456789012:parameter/{}", moto.name("p1"));
    let value = read(&provider, &format!("/{}", moto.name("p1"))).await.ok().unwrap();
    assert_eq!((value.arn.as_deref(), value.version_id.as_deref()), (Some(&*full), Some("1")));
}

#[tokio::test]
async fn one_that_is_denied_leaves_the_others_readable() {
    let stub = Stub::by(|_, request| {
        let message = format!(
            "{USER}: ssm:GetParameters on resource: {ARN} because no identity-based policy allows the ssm:GetParameters action"
        );
        match request.body.contains("/crew/db") {
            true => refusal("AccessDeniedException", &message),
            false => parameters(&["/crew/a"]),
        }
    });
    let provider = at(&stub.url());
    let (a, db) = (id("/crew/a"), id("/crew/db"));
    assert!(provider.read_together(&[&a, &db], &Version::Current).await.iter().all(Option::is_none));
    assert_eq!(outcome(provider.read(&a, &Version::Current).await), "value");
    assert_snapshot!(outcome(provider.read(&db, &Version::Current).await), @"");
}

/// Returns the answer of GetParameters.
fn parameters(names: &[&str]) -> Reply {
    let found: Vec<_> = names
        .iter()
        .map(|name| json!({ "Name": name, "Type": "String", "Value": "value", "Version": 3, "ARN": format!("arn:aws:ssm:us-east-1:123456789012:parameter{name}") }))
        .collect();
    Reply::json(200, &json!({ "Parameters": found, "InvalidParameters": [] }).to_string())
}

#[tokio::test]
async fn what_is_not_there() {
    let invalid = || Reply::json(200, r#"{"Parameters":[],"InvalidParameters":["/crew/db:prod"]}"#);
    assert_snapshot!(diagnosis(Version::Current, [invalid()]).await, @"");
    assert_snapshot!(diagnosis(Version::Stage("prod".to_owned()), [invalid(), parameters(&["/crew/db"])]).await, @"");
    let stub = Stub::answering([invalid()]);
    assert_snapshot!(shown(&read(&at(&stub.url()), "crew/db").await.err().unwrap()), @"");
}

#[tokio::test]
async fn a_key_that_may_not_be_used() {
    let described = || Reply::json(200, r#"{"Parameters":[{"Name":"/crew/db","KeyId":"alias/crew","Version":1}]}"#);
    let old = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.";
    assert_snapshot!(diagnosis(Version::Current, [refusal("AccessDeniedException", old), described()]).await, @"");
    let key = "arn:aws:kms:us-east-1:123456789012:key/1234";
    let new = format!(
        "{USER}: kms:Decrypt on resource: {key} because no identity-based policy allows the kms:Decrypt action"
    );
    let text = diagnosis(Version::Current, [refusal("AccessDeniedException", &new), described()]).await;
    assert!(text.contains(&format!(r#"{{"Effect":"Allow","Action":"kms:Decrypt","Resource":"{key}"}}"#)), "{text}");
    assert_snapshot!(diagnosis(Version::Current, [refusal("InvalidKeyId", "key is disabled"), described()]).await, @"");
}

#[tokio::test]
async fn listing_and_describing_may_be_denied() {
    let message = format!(
        "{USER}: ssm:DescribeParameters on resource: arn:aws:ssm:us-east-1:123456789012:* because no identity-based policy allows the ssm:DescribeParameters action"
    );
    let stub = Stub::answering([refusal("AccessDeniedException", &message)]);
    assert_snapshot!(shown(&at(&stub.url()).list("").await.unwrap_err()), @"");
    assert_snapshot!(shown(&at(&stub.url()).describe(&id("/crew/db"), &Version::Current).await.unwrap_err()), @"");
    let message = format!(
        "{USER}: ssm:GetParameterHistory on resource: {ARN} because no identity-based policy allows the ssm:GetParameterHistory action"
    );
    let stub = Stub::answering([refusal("AccessDeniedException", &message)]);
    let labelled = Version::Stage("prod".to_owned());
    assert_snapshot!(shown(&at(&stub.url()).describe(&id("/crew/db"), &labelled).await.unwrap_err()), @"");
}

#[tokio::test]
async fn what_every_service_of_aws_can_answer_is_diagnosed_the_same() {
    for (reply, code) in [
        (refusal("UnrecognizedClientException", "the token is invalid"), "unknown-access-key"),
        (refusal("InvalidSignatureException", "the signature does not match"), "wrong-secret-access-key"),
        (refusal("ExpiredTokenException", "expired"), "expired-token"),
        (refusal("ThrottlingException", "Rate exceeded"), "throttled"),
        (refusal("ValidationException", "a name is invalid"), "bad-request"),
        (Reply::json(500, r#"{"__type":"InternalServerError"}"#), "service-failed"),
        (Reply::raw(200, "text/html", "<html>canary"), "not-an-answer"),
        (Reply::raw(502, "text/html", "<html>canary"), "not-an-answer"),
    ] {
        let stub = Stub::answering([reply]);
        let failure = read(&at(&stub.url()), "/crew/db").await.err().unwrap();
        assert_eq!(failure.diagnostic.code, code, "{}", failure.diagnostic);
        assert!(!failure.diagnostic.to_string().contains("canary"));
    }
    // throttling that ends is not seen
    let stub = Stub::answering([refusal("ThrottlingException", "Rate exceeded"), parameters(&["/crew/db"])]);
    assert_eq!(outcome(read(&at(&stub.url()), "/crew/db").await), "value");
    let request = &stub.requests()[1];
    assert_eq!(request.header("x-amz-target"), Some("AmazonSSM.GetParameters"));
    assert_eq!(request.body, r#"{"Names":["/crew/db"],"WithDecryption":true}"#);
    let signature = request.header("authorization").unwrap();
    assert!(
        signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/")
            && signature.contains("/us-east-1/ssm/aws4_request"),
        "{signature}"
    );
}

#[test]
fn every_mistake_in_a_manifest_is_found_offline() {
    let project = Project::empty();
    let credential = |name: &str, provider: &str| {
        format!("  - {{ name: {name}, provider: {provider}, region: us-east-1, default: true }}\n")
    };
    project.write(
        "secretbake.org.yaml",
        &format!(
            "version: 1\ncredentials:\n{}{}",
            credential("aws", "aws-secrets-manager"),
            credential("params", "aws-parameter-store")
        ),
    );
    project.write(
        "deploy.yaml",
        &format!(
            "version: 1\nenv:\n  RIGHT: {{ secret: {ARN} }}\n  A: {{ secret: {ARN}, credential: aws }}\n\
             \x20 B: {{ secret: arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf, credential: params }}\n\
             \x20 C: {{ secret: /c, credential: params, version_id: 01234567-89ab-cdef-0123-456789abcdef }}\n\
             \x20 D: {{ secret: /d, credential: params, version_stage: AWSPREVIOUS }}\n\
             \x20 E: {{ secret: e, version: 3 }}\n  F: {{ secret: /f, credential: params, version: 0 }}\n\
             \x20 G: {{ secret: /g, credential: params, version: 3, label: prod }}\n\
             \x20 H: {{ secret: arn:aws:ssm:eu-west-1:123456789012:parameter/h }}\n\
             \x20 I: {{ secret: arn:aws:ssm:us-east-1:123456789012:document/h }}\n"
        ),
    );
    let ran = project.run(&["check", "deploy.yaml"]);
    assert_eq!(ran.status, Some(2));
    assert_snapshot!(ran.stderr, @"");
}

#[test]
fn the_policy_allows_just_these_parameters() {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - { name: params, provider: aws-parameter-store, region: us-east-1, default: true }\n",
    );
    project.write("deploy.yaml", &format!("version: 1\nenv: {{ A: {{ secret: /crew/a }}, B: {{ secret: {ARN} }} }}\n"));
    let ran = project.run(&["policy", "deploy.yaml", "--account", "123456789012"]);
    assert_snapshot!(ran.stdout, @"");
}
