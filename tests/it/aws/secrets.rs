//! Secrets that are not there, have no such version, or cannot be opened.

use insta::assert_snapshot;
use secretbake::manifest::Version;
use secretbake::secrets::{Provider, ProviderErrorKind};
use serde_json::json;

use super::{Credential, description, diagnosis, id, outcome, read, refusal, shown, sts_refusal};
use crate::support::stub::{Reply, Stub};

const NOT_FOUND: &str = "Secrets Manager can't find the specified secret.";

fn not_found() -> Reply {
    refusal("ResourceNotFoundException", NOT_FOUND)
}

async fn of_secret(name: &str, version: Version, script: impl IntoIterator<Item = Reply>) -> String {
    let stub = Stub::answering(script);
    outcome(Credential::default().at(&stub.url()).read(&id(name), &version).await)
}

#[tokio::test]
async fn no_such_secret() {
    assert_snapshot!(diagnosis([not_found()]).await, @"
    NotFound: error: secret not found: db (credential `aws-prod`, region us-east-1)
      cause: AWS says ResourceNotFoundException: Secrets Manager can't find the specified secret (request ID 4f1c-json)
      cause: the name is misspelt, or the secret is in another region than us-east-1
      cause: it belongs to another account, where only its ARN reaches it
      hint: `secretbake secrets list --credential aws-prod` shows the names; a new one can take five minutes to appear
    ");
}

#[tokio::test]
async fn the_code_is_read_however_it_is_written() {
    for body in [
        r#"{"__type":"ResourceNotFoundException","Message":"gone"}"#,
        r#"{"__type":"com.amazonaws.secretsmanager#ResourceNotFoundException","message":"gone"}"#,
        r#"{"code":"ResourceNotFoundException:http://internal.amazon.com/","message":"gone"}"#,
    ] {
        let text = diagnosis([Reply::json(400, body)]).await;
        let expected = "NotFound: error: secret not found: db (credential `aws-prod`, region us-east-1)\n  \
                        cause: AWS says ResourceNotFoundException: gone (request ID 4f1c-json)\n";
        assert!(text.starts_with(expected), "{text}");
    }
    let by_header = Reply::json(400, r#"{"message":"gone"}"#).header("x-amzn-errortype", "ResourceNotFoundException");
    assert!(diagnosis([by_header]).await.starts_with("NotFound: error: secret not found: db"));
}

#[tokio::test]
async fn an_arn_without_its_suffix() {
    let arn = "arn:aws:secretsmanager:us-east-1:999999999999:secret:db";
    assert_snapshot!(of_secret(arn, Version::Current, [not_found()]).await, @"
    NotFound: error: secret not found: arn:aws:secretsmanager:us-east-1:999999999999:secret:db (credential `aws-prod`, region us-east-1)
      cause: AWS says ResourceNotFoundException: Secrets Manager can't find the specified secret (request ID 4f1c-json)
      cause: an ARN ends in a hyphen and six random characters, and this one does not
      hint: `secretbake secrets list --credential aws-prod` shows the names; a new one can take five minutes to appear
    ");
}

#[tokio::test]
async fn an_arn_of_a_secret_that_is_gone() {
    let arn = "arn:aws:secretsmanager:us-east-1:999999999999:secret:db-AbCdEf";
    assert_snapshot!(of_secret(arn, Version::Current, [not_found()]).await, @"
    NotFound: error: secret not found: arn:aws:secretsmanager:us-east-1:999999999999:secret:db-AbCdEf (credential `aws-prod`, region us-east-1)
      cause: AWS says ResourceNotFoundException: Secrets Manager can't find the specified secret (request ID 4f1c-json)
      cause: it was deleted, or recreated: then it has another six-character suffix
      hint: `secretbake secrets list --credential aws-prod` shows the names; a new one can take five minutes to appear
    ");
}

#[tokio::test]
async fn an_arn_of_another_region_is_not_sent() {
    let stub = Stub::answering([not_found()]);
    let arn = "arn:aws:secretsmanager:eu-west-1:999999999999:secret:db-AbCdEf";
    let provider = Credential { role: true, ..Credential::default() }.at(&stub.url());
    assert_snapshot!(outcome(read(&provider, arn).await), @"
    Other: error: the secret is in eu-west-1, the credential `aws-prod` reads us-east-1
      hint: name a credential with `region: eu-west-1`, or the secret's replica in us-east-1
    ");
    assert!(stub.requests().is_empty());
}

#[tokio::test]
async fn no_version_with_the_stage() {
    let script = [not_found(), description(json!({}))];
    assert_snapshot!(of_secret("db", Version::Stage("AWSPENDING".to_owned()), script).await, @"
    NotFound: error: secret version not found: db has none with the stage AWSPENDING (credential `aws-prod`, region us-east-1)
      cause: AWS says ResourceNotFoundException: Secrets Manager can't find the specified secret (request ID 4f1c-json)
      cause: AWS keeps a version only while it has a stage
      hint: its stages are AWSCURRENT, AWSPREVIOUS
    ");
}

#[tokio::test]
async fn no_version_with_the_id() {
    let script = [not_found(), description(json!({}))];
    let text = of_secret("db", Version::Id("0b5f".to_owned()), script).await;
    assert!(
        text.starts_with("NotFound: error: secret version not found: db has none with the ID 0b5f (cred"),
        "{text}"
    );
}

#[tokio::test]
async fn a_secret_without_any_value() {
    let script = [not_found(), description(json!({ "VersionIdsToStages": {} }))];
    assert_snapshot!(of_secret("db", Version::Current, script).await, @"
    NotFound: error: secret version not found: db has none with the stage AWSCURRENT (credential `aws-prod`, region us-east-1)
      cause: AWS says ResourceNotFoundException: Secrets Manager can't find the specified secret (request ID 4f1c-json)
      cause: the secret was made without a value
      hint: store a value in it
    ");
}

#[tokio::test]
async fn a_secret_that_is_being_deleted() {
    let message = "You can't perform this operation on the secret because it was marked for deletion.";
    let script = [refusal("InvalidRequestException", message), description(json!({ "DeletedDate": 1.5e9 }))];
    assert_snapshot!(diagnosis(script).await, @"
    Other: error: the secret db is scheduled for deletion (credential `aws-prod`, region us-east-1)
      cause: AWS says InvalidRequestException: You can't perform this operation on the secret because it was marked for deletion (request ID 4f1c-json)
      cause: someone deleted it, and its recovery window is still open
      hint: refer to its successor, or restore it: `aws secretsmanager restore-secret --region us-east-1 --secret-id db`
    ");
}

#[tokio::test]
async fn a_secret_that_cannot_be_decrypted() {
    let message = "Secrets Manager can't decrypt the protected secret text using the provided KMS key.";
    let script = [refusal("DecryptionFailure", message), description(json!({ "KmsKeyId": "alias/team" }))];
    assert_snapshot!(diagnosis(script).await, @"
    Other: error: the secret db cannot be decrypted (credential `aws-prod`, region us-east-1)
      cause: AWS says DecryptionFailure: Secrets Manager can't decrypt the protected secret text using the provided KMS key (request ID 4f1c-json)
      cause: the KMS key alias/team is disabled, scheduled for deletion or gone
      hint: enable the key or cancel its deletion, or store the secret again with another key
    ");
}

#[tokio::test]
async fn a_request_that_is_not_accepted() {
    let text = of_secret("db", Version::Id("0".to_owned()), [refusal("InvalidParameterException", "too short")]).await;
    assert_snapshot!(text, @"
    Other: error: AWS does not accept the request secretsmanager:GetSecretValue (credential `aws-prod`, region us-east-1)
      cause: AWS says InvalidParameterException: too short (request ID 4f1c-json)
      hint: check the secret's name or ARN, and its version_stage or version_id
    ");
    let stub = Stub::answering([sts_refusal("ValidationError", "Invalid arn")]);
    let provider = Credential { role: true, ..Credential::default() }.at(&stub.url());
    assert_snapshot!(outcome(read(&provider, "db").await), @"
    Other: error: AWS does not accept the request sts:AssumeRole (credential `aws-prod`, region us-east-1)
      cause: AWS says ValidationError: Invalid arn (request ID 4f1c-xml)
      hint: check the credential's role_arn and external_id
    ");
}

#[tokio::test]
async fn a_code_that_is_new() {
    assert_snapshot!(diagnosis([refusal("BrandNewException", "Something.")]).await, @"
    Other: error: secretsmanager:GetSecretValue failed with BrandNewException (credential `aws-prod`, region us-east-1)
      cause: AWS says BrandNewException: Something (request ID 4f1c-json)
      hint: look the code up in the service's API reference
    ");
}

#[tokio::test]
async fn a_secret_that_holds_nothing() {
    assert_snapshot!(diagnosis([Reply::json(200, r#"{"Name":"db"}"#)]).await, @"
    Other: error: the secret db holds neither text nor binary (credential `aws-prod`, region us-east-1)
      hint: store a value in it
    ");
}

#[tokio::test]
async fn a_description_of_no_such_secret() {
    let stub = Stub::answering([not_found()]);
    let failure = Credential::default()
        .at(&stub.url())
        .describe(&id("db"), &secretbake::manifest::Version::Current)
        .await
        .unwrap_err();
    assert_eq!(failure.kind, ProviderErrorKind::NotFound);
    assert!(shown(&failure).contains("secret not found: db (credential `aws-prod`, region us-east-1)"));
}
