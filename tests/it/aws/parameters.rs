//! Parameter Store: on real moto what works, and over the wire what AWS refuses.

use std::fs;

use insta::assert_snapshot;
use secretbake::manifest::Version;
use secretbake::org::AwsService;
use secretbake::secrets::aws::AwsProvider;
use secretbake::secrets::{Provider as _, ProviderErrorKind};
use serde_json::json;

use super::{Credential, id, outcome, read, refusal, shown};
use crate::support::canary::is_clean;
use crate::support::moto::Moto;
use crate::support::project::Project;
use crate::support::stub::{Reply, Stub};

const ARN: &str = "arn:aws:ssm:us-east-1:123456789012:parameter/crew/db";
pub const USER: &str = "User: arn:aws:iam::123456789012:user/reader is not authorized to perform";

pub fn at(url: &str) -> AwsProvider {
    Credential { service: AwsService::ParameterStore, ..Credential::default() }.at(url)
}

/// Returns a project whose default credential reads moto's parameters, with every log line on.
pub fn project(moto: &Moto) -> Project {
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
    assert_snapshot!(shown(project.run(&["inspect", "oci:out:1"]).stdout).split_once("env\n").unwrap().1, @"
    ABSENT    secret /PREFIX/absent       with params  absent, left out
    FIRST     secret /PREFIX/token        with params  version 1 (pinned)
    HOST      secret /PREFIX/host         with params  version 1
    HOSTS     secret /PREFIX/hosts        with params  version 1
    LABELLED  secret /PREFIX/token        with params  version 1 (prod)
    NEWEST    secret /PREFIX/token        with params  version 2
    PASSWORD  secret /PREFIX/db#password  with params  version 1
    ");
    assert_snapshot!(shown(project.run(&["drift", "oci:out:1"]).stdout), @"oci:out:1: current");
    moto.parameter("host", "String", "canary-value-1");
    let ran = project.run(&["drift", "oci:out:1"]);
    assert_eq!(ran.status, Some(3));
    let text = shown(ran.stdout);
    assert!(text.contains("HOST  secret /PREFIX/host with params  rotated"), "{text}");
    let ran = project.run(&["bake", "deploy.yaml", "--dry-run", "--online"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let text = shown(ran.stdout);
    for line in [
        "/PREFIX/host: found\n",
        "/PREFIX/token, label prod: found\n",
        "/PREFIX/db#password: found, key present\n",
        "/PREFIX/absent: absent, left out\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let listed = project.run(&["secrets", "list", "--prefix", &name("")]);
    assert_eq!(shown(listed.stdout), "/PREFIX/db\n/PREFIX/host\n/PREFIX/hosts\n/PREFIX/token\n");
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
    assert_snapshot!(outcome(provider.read(&db, &Version::Current).await), @r#"
    Denied: error: access denied: ssm:GetParameters on /crew/db (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: ssm:GetParameters on resource: arn:aws:ssm:us-east-1:123456789012:parameter/crew/db because no identity-based policy allows the ssm:GetParameters action (request ID 4f1c-json)
      cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not cover this parameter
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"ssm:GetParameters","Resource":"arn:aws:ssm:us-east-1:123456789012:parameter/crew/db"}
    "#);
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
    assert_snapshot!(diagnosis(Version::Current, [invalid()]).await, @"
    NotFound: error: parameter not found: /crew/db (credential `aws-prod`, region us-east-1)
      cause: the name is misspelt, or the parameter is in another region than us-east-1
      cause: it belongs to another account, where only its ARN reaches it
      hint: `secretbake secrets list --credential aws-prod` shows the names
    ");
    assert_snapshot!(diagnosis(Version::Stage("prod".to_owned()), [invalid(), parameters(&["/crew/db"])]).await, @"
    NotFound: error: parameter version not found: /crew/db has none with the label prod (credential `aws-prod`, region us-east-1)
      cause: AWS keeps the last 100 versions, and a label moves from one version to another
      hint: its newest version is 3; see all with `aws ssm get-parameter-history --region us-east-1 --name /crew/db`
    ");
    let stub = Stub::answering([invalid()]);
    assert_snapshot!(shown(&read(&at(&stub.url()), "crew/db").await.err().unwrap()), @"
    NotFound: error: parameter not found: crew/db (credential `aws-prod`, region us-east-1)
      cause: the name is misspelt, or the parameter is in another region than us-east-1
      cause: it belongs to another account, where only its ARN reaches it
      cause: the name of a parameter in a path begins with `/`
      hint: `secretbake secrets list --credential aws-prod` shows the names
    ");
}

#[tokio::test]
async fn a_key_that_may_not_be_used() {
    let described = || Reply::json(200, r#"{"Parameters":[{"Name":"/crew/db","KeyId":"alias/crew","Version":1}]}"#);
    let old = "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.";
    assert_snapshot!(diagnosis(Version::Current, [refusal("AccessDeniedException", old), described()]).await, @r#"
    Denied: error: access denied: kms:Decrypt on the key of /crew/db (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access (request ID 4f1c-json)
      cause: the identity's policy does not allow kms:Decrypt on arn:aws:kms:us-east-1:*:alias/crew
      cause: the key's own policy does not let this identity use it, as it must across accounts
      cause: the key is disabled or scheduled for deletion
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the identity's policy: {"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:us-east-1:*:key/*","Condition":{"ForAnyValue:StringEquals":{"kms:ResourceAliases":"alias/crew"}}}
      hint: listing and describing parameters never decrypts, so that it works says nothing of the key
    "#);
    let key = "arn:aws:kms:us-east-1:123456789012:key/1234";
    let new = format!(
        "{USER}: kms:Decrypt on resource: {key} because no identity-based policy allows the kms:Decrypt action"
    );
    let text = diagnosis(Version::Current, [refusal("AccessDeniedException", &new), described()]).await;
    assert!(text.contains(&format!(r#"{{"Effect":"Allow","Action":"kms:Decrypt","Resource":"{key}"}}"#)), "{text}");
    assert_snapshot!(diagnosis(Version::Current, [refusal("InvalidKeyId", "key is disabled"), described()]).await, @"
    Other: error: the parameter /crew/db cannot be decrypted (credential `aws-prod`, region us-east-1)
      cause: AWS says InvalidKeyId: key is disabled (request ID 4f1c-json)
      cause: the KMS key alias/crew is disabled, scheduled for deletion or gone
      hint: enable the key or cancel its deletion, or store the parameter again with another key
    ");
}

#[tokio::test]
async fn fifty_parameters_are_described_by_one_call() {
    let ids: Vec<_> = (0..50).map(|number| id(&format!("/crew/{number}"))).collect();
    let ids: Vec<_> = ids.iter().collect();
    // one is gone, and a page may be short
    let page = |numbers: std::ops::Range<usize>, next: Option<&str>| {
        let all: Vec<_> =
            numbers.map(|number| json!({ "Name": format!("/crew/{number}"), "Version": number })).collect();
        Reply::json(200, &json!({ "Parameters": all, "NextToken": next }).to_string())
    };
    let stub = Stub::answering([page(0..30, Some("more")), page(30..49, None)]);
    let provider = at(&stub.url());
    assert_eq!(provider.describe_size(), 50);
    let answers = provider.describe_together(&ids).await;
    assert_eq!(stub.operations(), ["DescribeParameters"; 2]);
    for (number, answer) in answers.into_iter().enumerate() {
        match answer.unwrap() {
            Ok(described) => assert_eq!(described.versions[0].id, Some(number.to_string())),
            Err(failure) => assert_eq!((number, failure.kind), (49, ProviderErrorKind::NotFound)),
        }
    }
    // a denial is one for all; what else is refused is asked for one by one
    let stub = Stub::answering([refusal("AccessDeniedException", "no")]);
    let answers = at(&stub.url()).describe_together(&ids).await;
    assert!(
        answers.iter().all(|answer| matches!(answer, Some(Err(failure)) if failure.kind == ProviderErrorKind::Denied))
    );
    let stub = Stub::answering([refusal("ValidationException", "no")]);
    assert!(at(&stub.url()).describe_together(&ids).await.iter().all(Option::is_none));
    assert_eq!(stub.operations(), ["DescribeParameters"]);
}

#[tokio::test]
async fn listing_and_describing_may_be_denied() {
    let message = format!(
        "{USER}: ssm:DescribeParameters on resource: arn:aws:ssm:us-east-1:123456789012:* because no identity-based policy allows the ssm:DescribeParameters action"
    );
    let stub = Stub::answering([refusal("AccessDeniedException", &message)]);
    assert_snapshot!(shown(&at(&stub.url()).list("").await.unwrap_err()), @r#"
    Denied: error: access denied: ssm:DescribeParameters (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: ssm:DescribeParameters on resource: arn:aws:ssm:us-east-1:123456789012:* because no identity-based policy allows the ssm:DescribeParameters action (request ID 4f1c-json)
      cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not allow it
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"ssm:DescribeParameters","Resource":"*"}
      hint: reading parameters does not need it: listing, --online and drift do
    "#);
    assert_snapshot!(shown(&at(&stub.url()).describe(&id("/crew/db"), &Version::Current).await.unwrap_err()), @r#"
    Denied: error: access denied: ssm:DescribeParameters for /crew/db (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: ssm:DescribeParameters on resource: arn:aws:ssm:us-east-1:123456789012:* because no identity-based policy allows the ssm:DescribeParameters action (request ID 4f1c-json)
      cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not allow it
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"ssm:DescribeParameters","Resource":"*"}
      hint: reading parameters does not need it: listing, --online and drift do
    "#);
    let message = format!(
        "{USER}: ssm:GetParameterHistory on resource: {ARN} because no identity-based policy allows the ssm:GetParameterHistory action"
    );
    let stub = Stub::answering([refusal("AccessDeniedException", &message)]);
    let labelled = Version::Stage("prod".to_owned());
    assert_snapshot!(shown(&at(&stub.url()).describe(&id("/crew/db"), &labelled).await.unwrap_err()), @r#"
    Denied: error: access denied: ssm:GetParameterHistory on /crew/db (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: ssm:GetParameterHistory on resource: arn:aws:ssm:us-east-1:123456789012:parameter/crew/db because no identity-based policy allows the ssm:GetParameterHistory action (request ID 4f1c-json)
      cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not cover this parameter
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"ssm:GetParameterHistory","Resource":"arn:aws:ssm:us-east-1:123456789012:parameter/crew/db"}
      hint: reading parameters does not need it: --online and drift of a version or label do
    "#);
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
             \x20 I: {{ secret: arn:aws:ssm:us-east-1:123456789012:document/h }}\n\
             \x20 J: {{ secret: j, label: prod }}\n\
             \x20 K: {{ secret: /k, credential: params, version_id: \"{}\" }}\n\
             \x20 L: {{ secret: /l, credential: params, version: 10000000000000000000 }}\n",
            "1".repeat(32)
        ),
    );
    let ran = project.run(&["check", "deploy.yaml"]);
    assert_eq!(ran.status, Some(2));
    assert_snapshot!(ran.stderr, @"
    deploy.yaml:9:49: env.F.version: not the number of a version
      also at deploy.yaml:15:49: env.L.version
      hint: write a parameter's version, such as `version: 3`; of a secret write version_id
    deploy.yaml:10:59: env.G.label: both label and version are given
      hint: remove one of them
    deploy.yaml:12:16: env.I.secret: not the ARN of a secret or parameter
      hint: write arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-6CHARS or arn:aws:ssm:REGION:ACCOUNT:parameter/NAME, as the AWS console shows it
    deploy.yaml:4:16: env.A: the ARN is of a parameter, the credential `aws` reads secrets
      hint: name a credential with `provider: aws-parameter-store`
    deploy.yaml:5:16: env.B: the ARN is of a secret, the credential `params` reads parameters
      hint: name a credential with `provider: aws-secrets-manager`
    deploy.yaml:6:16: env.C: version_id is for secrets; a parameter's versions have numbers (credential `params`)
      also at deploy.yaml:14:16: env.K
      hint: write `version: NUMBER`, or `label: NAME`
    deploy.yaml:7:16: env.D: a parameter has no AWS version stages (credential `params`)
      hint: write `label: NAME` or `version: NUMBER`, or leave it out for the newest
    deploy.yaml:8:16: env.E: version is for parameters; a secret's versions have IDs (credential `aws`)
      hint: write `version_id: ID` or `version_stage: NAME`
    deploy.yaml:11:16: env.H: the secret is in eu-west-1, the credential `params` reads us-east-1
      hint: name a credential with `region: eu-west-1`, or the secret's replica in us-east-1
    deploy.yaml:13:16: env.J: label is for parameters; a secret's versions have stages (credential `aws`)
      hint: write `version_stage: NAME`
    12 errors in 1 file
    ");
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
    assert_snapshot!(ran.stdout, @r#"
    {
      "Version": "2012-10-17",
      "Statement": [
        {
          "Sid": "ParameterStoreRead",
          "Effect": "Allow",
          "Action": [
            "ssm:GetParameters",
            "ssm:GetParameterHistory"
          ],
          "Resource": [
            "arn:aws:ssm:us-east-1:123456789012:parameter/crew/a",
            "arn:aws:ssm:us-east-1:123456789012:parameter/crew/db"
          ]
        },
        {
          "Sid": "KMSDecrypt",
          "Effect": "Allow",
          "Action": "kms:Decrypt",
          "Resource": "arn:aws:kms:us-east-1:123456789012:key/*",
          "Condition": {
            "StringEquals": {
              "kms:EncryptionContext:PARAMETER_ARN": [
                "arn:aws:ssm:us-east-1:123456789012:parameter/crew/a",
                "arn:aws:ssm:us-east-1:123456789012:parameter/crew/db"
              ],
              "kms:ViaService": "ssm.us-east-1.amazonaws.com"
            }
          }
        },
        {
          "Sid": "ParameterStoreDescribe",
          "Effect": "Allow",
          "Action": "ssm:DescribeParameters",
          "Resource": "*"
        }
      ]
    }
    "#);
}

#[test]
fn drift_describes_the_parameters_of_an_image_in_one_call() {
    let moto = Moto::new();
    let project = project(&moto);
    let mut manifest = "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv:\n".to_owned();
    for number in 0..12 {
        moto.parameter(&format!("p{number}"), "String", "value");
        manifest += &format!("  P{number}: {{ secret: /{} }}\n", moto.name(&format!("p{number}")));
    }
    project.baked(&manifest);
    let ran = project.run(&["drift", "oci:out:1"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let newer = |number: usize| json!({ "Name": format!("/{}", moto.name(&format!("p{number}"))), "Version": 2 });
    let page = json!({ "Parameters": (0..12).map(newer).collect::<Vec<_>>() });
    let stub = Stub::answering([Reply::json(200, &page.to_string())]);
    let project = project.variable("AWS_ENDPOINT_URL_SSM", &stub.url());
    let ran = project.run(&["drift", "oci:out:1"]);
    assert_eq!(
        (ran.status, ran.stdout.matches("baked 1, the newest is 2").count()),
        (Some(3), 12),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    assert_eq!(stub.operations(), ["DescribeParameters"]);
}
