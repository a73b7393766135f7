//! `bake` and `drift` say of a denial what `credential test` says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use insta::assert_snapshot;
use serde_json::json;

use super::{SECRET_KEY, description, refusal, value};
use crate::support::project::{Project, Ran};
use crate::support::stub::{Reply, Stub};

const MANIFEST: &str =
    "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv:\n  DB: { secret: db }\n  USER: { secret: db }\n";

/// Bakes the manifest, then runs a command on it while AWS answers by a rule.
fn run(arguments: &[&str], rule: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Ran {
    let is_baked = Arc::new(AtomicBool::new(false));
    let is_over = is_baked.clone();
    let stub = Stub::by(move |_, request| match is_over.load(Ordering::SeqCst) {
        true => rule(&request.operation()),
        false => value("canary"),
    });
    let project = Project::empty().variable("KEY", SECRET_KEY).variable("AWS_ENDPOINT_URL", &stub.url());
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - name: aws-prod\n    provider: aws-secrets-manager\n    region: us-east-1\n    default: true\n\
         \x20   access_key_id: AKIAIOSFODNN7EXAMPLE\n    secret_access_key: { env: KEY }\n",
    );
    project.baked(MANIFEST);
    is_baked.store(true, Ordering::SeqCst);
    project.run(arguments)
}

#[test]
fn a_bake_that_may_not_decrypt() {
    let ran = run(&["bake", "deploy.yaml"], |operation| match operation {
        "DescribeSecret" => description(json!({ "KmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/1234" })),
        _ => refusal("AccessDeniedException", "Access to KMS is not allowed"),
    });
    assert_eq!((ran.status, &*ran.stdout), (Some(1), ""));
    assert_snapshot!(ran.stderr, @r#"
    deploy.yaml:4:17: env.DB: access denied: kms:Decrypt on the key of db (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: Access to KMS is not allowed (request ID 4f1c-json)
      cause: the identity's policy does not allow kms:Decrypt on arn:aws:kms:us-east-1:123456789012:key/1234
      cause: the key's own policy does not let this identity use it, as it must across accounts
      cause: the key is disabled or scheduled for deletion
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the identity's policy: {"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:us-east-1:123456789012:key/1234"}
      hint: listing and describing secrets never decrypts, so that it works says nothing of the key
    "#);
}

#[test]
fn a_drift_that_may_not_describe() {
    // describing never decrypts: what can be denied here is the description
    let ran = run(&["drift", "oci:out:1"], |_| {
        let denied = "User: arn:aws:iam::123456789012:user/reader is not authorized to perform: secretsmanager:DescribeSecret on \
                      resource: arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf because no identity-based policy allows it";
        refusal("AccessDeniedException", denied)
    });
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    assert_snapshot!(ran.stdout, @"
    oci:out:1: unknown
      DB    secret db with aws-prod  could not be asked
      USER  secret db with aws-prod  could not be asked
    ");
    assert_snapshot!(ran.stderr, @r#"
    error: access denied: secretsmanager:DescribeSecret on arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf (credential `aws-prod`, region us-east-1)
      cause: AWS says AccessDeniedException: User: arn:aws:iam::123456789012:user/reader is not authorized to perform: secretsmanager:DescribeSecret on resource: arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf because no identity-based policy allows it (request ID 4f1c-json)
      cause: the policy is not attached to arn:aws:iam::123456789012:user/reader, or it does not cover this secret
      cause: a key, policy or role changed in the last minutes is possibly still propagating: try again in a minute or two
      hint: add to the policy of arn:aws:iam::123456789012:user/reader: {"Effect":"Allow","Action":"secretsmanager:DescribeSecret","Resource":"arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"}
    "#);
}
