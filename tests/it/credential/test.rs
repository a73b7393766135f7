//! `credential test` on the wire: every row of the failure table of the setup page, with its exact output.

use std::time::Duration;

use insta::assert_snapshot;
use secretbake::ops::credential_test;
use secretbake::secrets::CallLimits;
use secretbake::secrets::any::AnyProvider;
use serde_json::json;

use crate::aws::{ASSUMED, Credential, EXTERNAL_ID, ROLE, SECRET_KEY, description, quick, refusal, sts_refusal, value};
use crate::support::moto::Moto;
use crate::support::project::{Project, Ran};
use crate::support::stub::{Reply, Stub};

const USER: &str = "User: arn:aws:iam::123456789012:user/reader is not authorized to perform";
const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf";

fn identity() -> Reply {
    Reply::xml(
        200,
        r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
        <Arn>arn:aws:iam::123456789012:user/reader</Arn><UserId>AIDA</UserId><Account>123456789012</Account>
        </GetCallerIdentityResult></GetCallerIdentityResponse>"#,
    )
}

fn names(names: &[&str]) -> Reply {
    let list: Vec<_> = names.iter().map(|name| json!({ "Name": name })).collect();
    Reply::json(200, &json!({ "SecretList": list }).to_string())
}

fn project(url: &str, role: &str) -> Project {
    let project = Project::empty();
    project.write(
        "org.yaml",
        &format!(
            "version: 1\ncredentials:\n  - name: aws-prod\n    provider: aws-secrets-manager\n    region: us-east-1\n\
             \x20   access_key_id: AKIAIOSFODNN7EXAMPLE\n    secret_access_key: {{ env: KEY }}\n{role}"
        ),
    );
    project.variable("KEY", SECRET_KEY).variable("AWS_ENDPOINT_URL", url).variable("SECRETBAKE_ORG", "org.yaml")
}

fn run(script: impl IntoIterator<Item = Reply>, role: &str, arguments: &[&str]) -> (Ran, Stub) {
    let stub = Stub::answering(script);
    let mut all = vec!["credential", "test"];
    all.extend(arguments);
    let mut ran = project(&stub.url(), role).run(&all);
    let keys = ["AKIAIOSFODNN7EXAMPLE", "ASIAROLESESSION0001"];
    for secret in
        [SECRET_KEY, EXTERNAL_ID, "role-session-secret", "role-session-token", "canary"].into_iter().chain(keys)
    {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{ran:?}");
    }
    ran.stdout = ran.stdout.replace(&stub.host(), "HOST:PORT");
    (ran, stub)
}

/// Returns what a test says of a script, with its exit status.
fn said(script: impl IntoIterator<Item = Reply>, arguments: &[&str]) -> String {
    let (ran, _stub) = run(script, "", arguments);
    assert_eq!(ran.stderr, "");
    format!("{}exit status {}", ran.stdout, ran.status.unwrap())
}

fn said_of_role(script: impl IntoIterator<Item = Reply>, external_id: bool) -> String {
    let id = if external_id { format!("    external_id: {EXTERNAL_ID}\n") } else { String::new() };
    let (ran, _stub) = run(script, &format!("    role_arn: {ROLE}\n{id}"), &[]);
    format!("{}exit status {}", ran.stdout, ran.status.unwrap())
}

fn list_denied() -> Reply {
    refusal("AccessDeniedException", &format!("{USER}: secretsmanager:ListSecrets"))
}

/// The most that `--log` can be asked for: every level of each library that logs what it is given.
const EVERY_TARGET: &str = "trace,aws_config=trace,aws_runtime=trace,aws_smithy_runtime=trace,aws_smithy_http_client=trace,\
                            aws_sdk_sts=trace,aws_sdk_secretsmanager=trace,hyper=trace,hyper_util=trace,rustls=trace";

#[test]
fn all_is_well() {
    assert_snapshot!(said([identity(), names(&["db", "key"])], &[]), @"
    ok       endpoint     AWS answers
    ok       identity     arn:aws:iam::123456789012:user/reader
    ok       list         2 secrets
    exit status 0
    ");
    let (ran, stub) = run(
        [identity(), names(&["db"]), description(json!({})), value(r#"{"password":"canary"}"#)],
        "",
        &["--secret", "db#password"],
    );
    assert_snapshot!(ran.stdout, @"
    ok       endpoint     AWS answers
    ok       identity     arn:aws:iam::123456789012:user/reader
    ok       list         1 secret
    ok       describe     arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf
    ok       read         version v-1
    ok       key          #password
    ");
    assert_eq!(stub.operations(), ["GetCallerIdentity", "ListSecrets", "DescribeSecret", "GetSecretValue"]);
}

#[test]
fn as_json() {
    assert_snapshot!(said([identity(), list_denied()], &["--format", "json"]), @r#"
    {
      "version": 1,
      "credential": "aws-prod",
      "ok": false,
      "steps": [
        {
          "name": "endpoint",
          "outcome": "ok",
          "detail": "AWS answers"
        },
        {
          "name": "identity",
          "outcome": "ok",
          "detail": "arn:aws:iam::123456789012:user/reader"
        },
        {
          "name": "list",
          "outcome": "failed",
          "detail": "access denied: secretsmanager:ListSecrets (credential `aws-prod`, region us-east-1)",
          "diagnostic": {
            "severity": "error",
            "code": "access-denied",
            "file": null,
            "line": null,
            "column": null,
            "path": null,
            "message": "access denied: secretsmanager:ListSecrets (credential `aws-prod`, region us-east-1)",
            "causes": [
              "AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: secretsmanager:ListSecrets (request ID 4f1c-json)",
              "the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not allow it",
              "a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two"
            ],
            "hints": [
              "add to the policy of arn:aws:iam::123456789012:user/reader: {\"Effect\":\"Allow\",\"Action\":\"secretsmanager:ListSecrets\",\"Resource\":\"*\"}",
              "reading secrets does not need it: only listing them does",
              "where the policy is meant to be narrower, test one secret with --secret"
            ]
          }
        }
      ]
    }
    exit status 1
    "#);
}

#[test]
fn listing_is_denied() {
    assert_snapshot!(said([identity(), list_denied()], &[]), @r#"
    ok       endpoint     AWS answers
    ok       identity     arn:aws:iam::123456789012:user/reader
    failed   list         access denied: secretsmanager:ListSecrets (credential `aws-prod`, region us-east-1)
               cause: AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: secretsmanager:ListSecrets (request ID 4f1c-json)
               cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not allow it
               cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
               hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"secretsmanager:ListSecrets","Resource":"*"}
               hint: reading secrets does not need it: only listing them does
               hint: where the policy is meant to be narrower, test one secret with --secret
    exit status 1
    "#);
}

#[test]
fn listing_is_denied_and_reading_is_not() {
    // the denial is waited for, a little
    let (known, value) = (description(json!({})).to("DescribeSecret"), value("canary").to("GetSecretValue"));
    let script = [identity().to("GetCallerIdentity"), list_denied().to("ListSecrets"), known, value];
    assert_snapshot!(said(script, &["--secret", "db"]), @r#"
    ok       endpoint     AWS answers
    ok       identity     arn:aws:iam::123456789012:user/reader
    note     list         access denied: secretsmanager:ListSecrets (credential `aws-prod`, region us-east-1)
               cause: AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: secretsmanager:ListSecrets (request ID 4f1c-json)
               cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not allow it
               cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
               hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"secretsmanager:ListSecrets","Resource":"*"}
               hint: reading secrets does not need it: only listing them does
    ok       describe     arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf
    ok       read         version v-1
    exit status 0
    "#);
}

#[test]
fn decrypting_is_denied() {
    let denied = refusal("AccessDeniedException", "Access to KMS is not allowed");
    let key = "arn:aws:kms:us-east-1:123456789012:key/1234";
    let known = description(json!({ "KmsKeyId": key, "ARN": ARN })).to("DescribeSecret");
    let (identity, names) = (identity().to("GetCallerIdentity"), names(&["db"]).to("ListSecrets"));
    // the denial is waited for, a little
    let script = [identity, names, known, denied.to("GetSecretValue")];
    assert_snapshot!(said(script, &["--secret", "db"]), @r#"
    ok       endpoint     AWS answers
    ok       identity     arn:aws:iam::123456789012:user/reader
    ok       list         1 secret
    ok       describe     arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf, encrypted with arn:aws:kms:us-east-1:123456789012:key/1234
    failed   read         access denied: kms:Decrypt on the key of db (credential `aws-prod`, region us-east-1)
               cause: AWS says AccessDeniedException: Access to KMS is not allowed (request ID 4f1c-json)
               cause: the identity's policy does not allow kms:Decrypt on arn:aws:kms:us-east-1:123456789012:key/1234
               cause: the key's own policy does not let this identity use it, as it must across accounts
               cause: the key is disabled or scheduled for deletion
               cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
               hint: add to the identity's policy: {"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:us-east-1:123456789012:key/1234"}
               hint: listing and describing secrets never decrypts, so that it works says nothing of the key
    exit status 1
    "#);
}

#[test]
fn the_access_key_id_is_wrong() {
    assert_snapshot!(said([sts_refusal("InvalidClientTokenId", "The security token included in the request is invalid.")], &[]), @"
    ok       endpoint     AWS answers
    failed   identity     AWS does not know the access key AKIA…MPLE (credential `aws-prod`, region us-east-1)
               cause: AWS says InvalidClientTokenId: The security token included in the request is invalid (request ID 4f1c-xml)
               cause: the access key ID is wrong, or the key was deactivated or deleted
               cause: the account has not enabled the region us-east-1, or the key is of another partition
               cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
               hint: copy the access key ID and the secret access key again, or make a new access key in IAM
    skipped  list
    exit status 1
    ");
}

#[test]
fn the_secret_access_key_is_wrong() {
    assert_snapshot!(said([sts_refusal("SignatureDoesNotMatch", "The request signature we calculated does not match.")], &["--secret", "db"]), @"
    ok       endpoint     AWS answers
    failed   identity     the secret access key is not that of the access key AKIA…MPLE (credential `aws-prod`, region us-east-1)
               cause: AWS says SignatureDoesNotMatch: The request signature we calculated does not match (request ID 4f1c-xml)
               cause: the secret access key is cut short, misspelt or that of another access key
               cause: a proxy changes the request
               hint: copy the access key ID and the secret access key again, or make a new access key in IAM
    skipped  list
    skipped  describe
    skipped  read
    exit status 1
    ");
}

#[test]
fn the_regions_sts_is_not_activated_and_the_secrets_can_be_read() {
    let disabled =
        sts_refusal("RegionDisabledException", "STS is not activated in this region").to("GetCallerIdentity");
    let script = [
        disabled,
        names(&["db"]).to("ListSecrets"),
        description(json!({})).to("DescribeSecret"),
        value("canary").to("GetSecretValue"),
    ];
    assert_snapshot!(said(script, &["--secret", "db"]), @"
    ok       endpoint     AWS answers
    note     identity     STS is not activated in the region us-east-1 for the account (credential `aws-prod`, region us-east-1)
               cause: AWS says RegionDisabledException: STS is not activated in this region (request ID 4f1c-xml)
               cause: the account has deactivated the region's STS endpoint, or not opted in to the region
               cause: the credential's region is not where the secrets live
               hint: activate it under IAM, Account settings, or enable the region under Account, AWS Regions
               hint: or set the credential's `region` to the secrets' own
               hint: without a role, secrets are read without STS
    ok       list         1 secret
    ok       describe     arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf
    ok       read         version v-1
    exit status 0
    ");
}

#[test]
fn an_endpoints_policy_denies_sts_and_the_secrets_can_be_read() {
    let denied = sts_refusal("AccessDenied", "not by this endpoint").to("GetCallerIdentity");
    assert_snapshot!(said([denied, names(&["db"]).to("ListSecrets")], &[]), @"
    ok       endpoint     AWS answers
    note     identity     access denied: sts:GetCallerIdentity (credential `aws-prod`, region us-east-1)
               cause: AWS says AccessDenied: not by this endpoint (request ID 4f1c-xml)
               cause: an organisation's policy or a VPC endpoint's policy denies it: no other can
               hint: without a role, secrets are read without STS
    ok       list         1 secret
    exit status 0
    ");
}

#[test]
fn the_regions_sts_is_not_activated_and_a_role_is_to_be_assumed() {
    let disabled = sts_refusal("RegionDisabledException", "STS is not activated in this region");
    assert_snapshot!(said_of_role([disabled], false), @"
    ok       endpoint     AWS answers
    failed   identity     STS is not activated in the region us-east-1 for the account (credential `aws-prod`, region us-east-1)
               cause: AWS says RegionDisabledException: STS is not activated in this region (request ID 4f1c-xml)
               cause: the account has deactivated the region's STS endpoint, or not opted in to the region
               cause: the credential's region is not where the secrets live
               hint: activate it under IAM, Account settings, or enable the region under Account, AWS Regions
               hint: or set the credential's `region` to the secrets' own
    skipped  assume-role
    skipped  list
    exit status 1
    ");
}

#[test]
fn the_region_is_disabled() {
    let disabled = refusal("OptInRequired", "The account has not opted in");
    assert_snapshot!(said([identity(), disabled], &[]), @"
    ok       endpoint     AWS answers
    ok       identity     arn:aws:iam::123456789012:user/reader
    failed   list         the region us-east-1 is not enabled for the account (credential `aws-prod`, region us-east-1)
               cause: AWS says OptInRequired: The account has not opted in (request ID 4f1c-json)
               cause: the credential's region is not where the secrets live
               cause: the account has not opted in to the region
               hint: set the credential's `region` to the secrets' own, or enable it under Account, AWS Regions
    exit status 1
    ");
}

#[test]
fn no_secrets_are_found() {
    assert_snapshot!(said([identity(), names(&[])], &[]), @"
    ok       endpoint     AWS answers
    ok       identity     arn:aws:iam::123456789012:user/reader
    failed   list         no secrets found
               cause: the credential's region is not where the secrets live
               cause: there is none yet, or a new one is not listed yet: that can take five minutes
               hint: check the credential's `region`, and test one secret by its name with --secret
    exit status 1
    ");
}

#[test]
fn a_secrets_file_without_secrets() {
    let project = Project::with_file("");
    project.write("secrets.yaml", "version: 1\nsecrets: {}\n");
    let ran = project.run(&["credential", "test"]);
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    assert_snapshot!(ran.stdout, @"
    failed   list         no secrets found
               cause: the secrets file has none
               hint: write some under `secrets:` in the file that the credential's `path` names
    ");
}

#[test]
fn assuming_the_role_is_denied() {
    let denied = sts_refusal("AccessDenied", &format!("{USER}: sts:AssumeRole on resource: {ROLE}"));
    assert_snapshot!(said_of_role([identity(), denied], true), @r#"
    ok       endpoint     AWS answers
    ok       identity     arn:aws:iam::123456789012:user/reader
    failed   assume-role  access denied: sts:AssumeRole on arn:aws:iam::123456789012:role/secrets-reader (credential `aws-prod`, region us-east-1)
               cause: AWS says AccessDenied: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/secrets-reader (request ID 4f1c-xml)
               cause: the policy of arn:aws:iam::123456789012:user/reader does not allow sts:AssumeRole on the role
               cause: the role's trust policy does not allow arn:aws:iam::123456789012:user/reader
               cause: the External ID does not match the one in the role's trust policy
               cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
               hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::123456789012:role/secrets-reader"}
               hint: the role's trust policy: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/reader"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"EXTERNAL_ID"}}}
    skipped  list
    exit status 1
    "#);
}

#[test]
fn the_role_does_not_ask_for_its_external_id() {
    let script = [identity(), Reply::xml(200, ASSUMED), Reply::xml(200, ASSUMED), names(&["db"])];
    assert_snapshot!(said_of_role(script, true), @r#"
    ok       endpoint     AWS answers
    ok       identity     arn:aws:iam::123456789012:user/reader
    ok       assume-role  arn:aws:sts::123456789012:assumed-role/secrets-reader/secretbake
    warning  external-id  the role is assumed without the External ID too
               cause: its trust policy has no condition on sts:ExternalId, so that the ID protects nothing
               hint: add to the trust policy's statement: "Condition":{"StringEquals":{"sts:ExternalId":"EXTERNAL_ID"}}
    ok       list         1 secret
    exit status 0
    "#);
}

#[test]
fn the_role_asks_for_its_external_id() {
    let denied = sts_refusal("AccessDenied", &format!("{USER}: sts:AssumeRole on resource: {ROLE}"));
    assert_snapshot!(said_of_role([identity(), Reply::xml(200, ASSUMED), denied, names(&["db"])], true), @"
    ok       endpoint     AWS answers
    ok       identity     arn:aws:iam::123456789012:user/reader
    ok       assume-role  arn:aws:sts::123456789012:assumed-role/secrets-reader/secretbake
    ok       external-id  the role refuses requests without it
    ok       list         1 secret
    exit status 0
    ");
}

#[test]
fn new_keys_are_waited_for_a_little() {
    let early = sts_refusal("InvalidClientTokenId", "The security token included in the request is invalid.");
    assert_snapshot!(said([early, identity(), names(&["db"])], &[]), @"
    ok       endpoint     AWS answers
    ok       identity     arn:aws:iam::123456789012:user/reader
    ok       list         1 secret
    exit status 0
    ");
}

#[test]
fn a_key_that_the_secret_does_not_have() {
    let script = || [identity(), names(&["db"]), description(json!({})), value(r#"{"user":"canary","host":"canary"}"#)];
    assert_snapshot!(said(script(), &["--secret", "db#password"]), @r#"
    ok       endpoint     AWS answers
    ok       identity     arn:aws:iam::123456789012:user/reader
    ok       list         1 secret
    ok       describe     arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf
    ok       read         version v-1
    failed   key          JSON key not found: "password" in db
               hint: its keys are host, user
    exit status 1
    "#);
}

#[test]
fn a_body_that_is_not_aws_shows_nothing_of_itself() {
    assert_snapshot!(said([Reply::raw(200, "text/html", "<html>canary</html>")], &[]), @"
    note     endpoint     HOST:PORT does not answer as AWS does: HTTP 200 (credential `aws-prod`, region us-east-1)
               cause: a firewall, a proxy (HTTPS_PROXY) or AWS_ENDPOINT_URL is in the way
               hint: check HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL
    note     identity     not known: STS was not reached, and is not needed without a role
    failed   list         HOST:PORT does not answer as AWS does: HTTP 200 (credential `aws-prod`, region us-east-1)
               cause: a firewall, a proxy (HTTPS_PROXY) or AWS_ENDPOINT_URL is in the way
               hint: check HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL
    exit status 1
    ");
    let cut = Reply::json(200, r#"{"SecretString":"canary"#).claiming(500);
    let text = said([identity(), names(&["db"]), description(json!({})), cut], &["--secret", "db"]);
    assert!(text.contains("failed   read         the answer from HOST:PORT broke off"), "{text}");
}

#[test]
fn the_most_talkative_log_shows_no_secret() {
    let script = || {
        let role = Reply::xml(200, ASSUMED).to("AssumeRole");
        let known = description(json!({})).to("DescribeSecret");
        let value = value(r#"{"password":"canary"}"#).to("GetSecretValue");
        [identity().to("GetCallerIdentity"), role, names(&["db"]).to("ListSecrets"), known, value]
    };
    let role = format!("    role_arn: {ROLE}\n    external_id: {EXTERNAL_ID}\n");
    // `run` looks for the secrets
    let (ran, _stub) = run(script(), &role, &["--secret", "db#password", "--log", EVERY_TARGET]);
    assert_eq!(ran.status, Some(0), "{}", ran.stdout);
    assert!(ran.stderr.contains("DEBUG aws_"), "the SDK's log was captured: {}", ran.stderr);
}

#[test]
fn the_log_shows_no_argument_of_a_profiles_program() {
    let stub = Stub::answering([identity().to("GetCallerIdentity"), names(&["db"]).to("ListSecrets")]);
    let project = Project::empty();
    project.write(
        "org.yaml",
        "version: 1\ncredentials: [{ name: aws, provider: aws-secrets-manager, region: us-east-1 }]\n",
    );
    project.write("keys", r#"{"Version":1,"AccessKeyId":"AKIAPROCESSPROCESS00","SecretAccessKey":"canary"}"#);
    project.write("aws", &format!("[default]\ncredential_process = cat {} #canary\n", project.path("keys").display()));
    let file = project.path("aws").display().to_string();
    let project = project.variable("AWS_CONFIG_FILE", &file).variable("AWS_ENDPOINT_URL", &stub.url());
    let ran = project.run(&["credential", "test", "aws", "--org", "org.yaml", "--log", EVERY_TARGET]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("DEBUG aws_") && !ran.stderr.contains("canary"), "{}", ran.stderr);
}

#[test]
fn the_log_shows_no_login_of_an_endpoint() {
    let stub = Stub::answering([identity().to("GetCallerIdentity"), names(&["db"]).to("ListSecrets")]);
    let url = stub.url().replace("http://", "http://canary-user:canary-password@");
    let ran = project(&url, "").run(&["credential", "test", "--log", EVERY_TARGET]);
    assert!(ran.stderr.contains(&format!("***@{}", stub.host())), "{}", ran.stderr);
    assert!(!ran.stderr.contains("canary") && !ran.stdout.contains("canary"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn against_a_double_of_aws() {
    let moto = Moto::new();
    moto.text("db", r#"{"password":"canary-value"}"#);
    let project = Project::with_moto(&moto);
    for (name, steps) in [
        ("aws", "endpoint identity list describe read key"),
        ("role", "endpoint identity assume-role external-id list describe read key"),
    ] {
        let ran = project.run(&["credential", "test", name, "--secret", &format!("{}#password", moto.name("db"))]);
        assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
        let names: Vec<&str> = ran
            .stdout
            .lines()
            .filter(|line| !line.starts_with(' '))
            .filter_map(|line| line.split_whitespace().nth(1))
            .collect();
        assert_eq!(names.join(" "), steps);
        assert!(!ran.stdout.contains("canary"), "{}", ran.stdout);
    }
}

/// Returns what a test says of a credential at an endpoint, which is waited for a moment only.
async fn said_of(credential: Credential, url: &str) -> String {
    let limits = CallLimits { attempt: Duration::from_millis(300), operation: Duration::from_millis(700), ..quick() };
    let provider = AnyProvider::Aws(Box::new(Credential { limits, ..credential }.at(url)));
    credential_test::text(&credential_test::test(&provider, None, None).await)
}

#[tokio::test]
async fn an_endpoint_that_never_answers() {
    let stub = Stub::answering([Reply::hang()]);
    assert_snapshot!(said_of(Credential::default(), &stub.url()).await.replace(&stub.host(), "HOST:PORT"), @"
    note     endpoint     no answer from HOST:PORT in time (credential `aws-prod`, region us-east-1)
               cause: packets are dropped: no route to the internet, and no VPC endpoint for the service
               cause: a firewall, a proxy (HTTPS_PROXY) or AWS_ENDPOINT_URL is in the way
               hint: try to reach it from this machine: `curl -v http://HOST:PORT`
    note     identity     not known: STS was not reached, and is not needed without a role
    failed   list         no answer from HOST:PORT in time (credential `aws-prod`, region us-east-1)
               cause: packets are dropped: no route to the internet, and no VPC endpoint for the service
               cause: a firewall, a proxy (HTTPS_PROXY) or AWS_ENDPOINT_URL is in the way
               hint: try to reach it from this machine: `curl -v http://HOST:PORT`
    ");
}

#[tokio::test]
async fn a_region_that_is_misspelt() {
    let credential = Credential { region: "us-esat-1", ..Credential::default() };
    assert_snapshot!(said_of(credential, "http://sts.us-esat-1.invalid").await, @"
    note     endpoint     no such host: sts.us-esat-1.invalid:80 (credential `aws-prod`, region us-esat-1)
               cause: AWS_ENDPOINT_URL, the variable of the service or a profile's endpoint_url names a host that does not exist
               cause: this machine's DNS does not answer, or it has no network
               hint: check the endpoint URL that is set, and this machine's DNS
    note     identity     not known: STS was not reached, and is not needed without a role
    failed   list         no such host: sts.us-esat-1.invalid:80 (credential `aws-prod`, region us-esat-1)
               cause: AWS_ENDPOINT_URL, the variable of the service or a profile's endpoint_url names a host that does not exist
               cause: this machine's DNS does not answer, or it has no network
               hint: check the endpoint URL that is set, and this machine's DNS
    ");
}

#[test]
fn a_credential_without_keys_is_not_said_to_be_answered() {
    let project = Project::empty().variable("AWS_EC2_METADATA_DISABLED", "true");
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - { name: ambient, provider: aws-secrets-manager, region: us-east-1 }\n",
    );
    let ran = project.run(&["credential", "test", "ambient"]);
    assert_eq!(ran.status, Some(1));
    let first: Vec<&str> = ran.stdout.lines().take(2).collect();
    assert_eq!(
        first,
        [
            "skipped  endpoint     nothing was sent",
            "failed   identity     no AWS credentials on this machine (credential `ambient`)"
        ]
    );
}
