//! `batch: auto`: many secrets in one call where that is allowed, and nothing lost where it is not.

use std::time::Duration;

use insta::assert_snapshot;
use secretbake::manifest::Version;
use secretbake::org::Batch;
use secretbake::secrets::aws::AwsProvider;
use secretbake::secrets::{CallLimits, Provider, ReadResult};
use serde_json::{Value, json};

use super::{Credential, description, id, outcome, quick, refusal, value};
use crate::support::stub::{Reply, Stub};

fn batching(url: &str) -> AwsProvider {
    Credential { batch: Batch::Auto, ..Credential::default() }.at(url)
}

fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-AbCdEf")
}

fn entry(name: &str, value: &str) -> Value {
    json!({ "Name": name, "ARN": arn(name), "VersionId": "v-1", "SecretString": value, "VersionStages": ["AWSCURRENT"] })
}

fn answer(values: &[Value], errors: &[Value]) -> Reply {
    Reply::json(200, &json!({ "SecretValues": values, "Errors": errors }).to_string()).to("BatchGetSecretValue")
}

fn error(id: &str, code: &str, message: &str) -> Value {
    json!({ "SecretId": id, "ErrorCode": code, "Message": message })
}

/// Reads secrets together; `-` is what is left to a single read.
async fn together(provider: &AwsProvider, names: &[&str]) -> Vec<String> {
    let ids: Vec<_> = names.iter().map(|name| id(name)).collect();
    let answers = provider.read_together(&ids.iter().collect::<Vec<_>>(), &Version::Current).await;
    answers.into_iter().map(|answer: Option<ReadResult>| answer.map_or("-".to_owned(), outcome)).collect()
}

#[tokio::test]
async fn each_answer_is_matched_by_name_or_arn_whatever_the_order() {
    let stub = Stub::answering([answer(&[entry("b", "two"), entry("c", "three"), entry("a", "one")], &[])]);
    let (whole, partial) = (arn("b"), arn("c").replace("-AbCdEf", ""));
    let read = together(&batching(&stub.url()), &["a", &whole, &partial]).await;
    assert_eq!(read, ["one", "two", "three"]);
    let [request] = &stub.requests()[..] else { panic!("{:?}", stub.operations()) };
    assert_eq!(request.operation(), "BatchGetSecretValue");
    assert_eq!(request.body, json!({ "SecretIdList": ["a", whole, partial] }).to_string());
}

#[tokio::test]
async fn the_version_and_the_bytes_are_those_of_a_single_read() {
    let binary = json!({ "Name": "bin", "ARN": arn("bin"), "VersionId": "v-2", "SecretBinary": "AAEC/w==" });
    let stub = Stub::answering([answer(&[entry("a", "one"), binary], &[])]);
    let (a, bin) = (id("a"), id("bin"));
    let mut answers = batching(&stub.url()).read_together(&[&a, &bin], &Version::Current).await;
    let value = answers.pop().flatten().unwrap().ok().unwrap();
    assert!(value.binary && value.bytes.expose() == [0, 1, 2, 255]);
    assert_eq!((value.arn, value.version_id), (Some(arn("bin")), Some("v-2".to_owned())));
}

#[tokio::test]
async fn another_accounts_secret_of_the_same_name_is_not_taken_for_ours() {
    let theirs = "arn:aws:secretsmanager:us-east-1:999999999999:secret:db-XyZxyZ";
    let value = json!({ "Name": "db", "ARN": theirs, "SecretString": "theirs" });
    let stub = Stub::answering([answer(&[value], &[])]);
    assert_eq!(together(&batching(&stub.url()), &["db", theirs]).await, ["-", "theirs"]);
}

#[tokio::test]
async fn a_secret_that_the_answer_leaves_out_is_left_to_a_single_read() {
    let stub = Stub::answering([answer(&[entry("a", "one")], &[])]);
    assert_eq!(together(&batching(&stub.url()), &["a", "b"]).await, ["one", "-"]);
}

#[tokio::test]
async fn every_page_is_asked_for_and_a_page_that_repeats_ends_it() {
    let page = |name: &str, next: Option<&str>| {
        Reply::json(200, &json!({ "SecretValues": [entry(name, name)], "NextToken": next }).to_string())
    };
    let stub = Stub::answering([page("a", Some("2")), page("b", None)]);
    assert_eq!(together(&batching(&stub.url()), &["a", "b"]).await, ["a", "b"]);
    assert!(stub.requests()[1].body.contains(r#""NextToken":"2""#), "{}", stub.requests()[1].body);
    let stub = Stub::answering([page("a", Some("same"))]);
    assert_eq!(together(&batching(&stub.url()), &["a", "b"]).await, ["a", "-"]);
    assert_eq!(stub.requests().len(), 2);
    // two pages that lead to each other
    let stub = Stub::by(move |number, _| page("a", Some(if number % 2 == 0 { "even" } else { "odd" })));
    assert_eq!(together(&batching(&stub.url()), &["a", "b"]).await, ["a", "-"]);
    assert_eq!(stub.requests().len(), 3);
}

#[tokio::test]
async fn the_secrets_of_a_batch_fail_each_for_itself_and_as_they_would_alone() {
    let errors = [
        error("b", "ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
        error("c", "DecryptionFailure", "Secrets Manager can't decrypt the protected secret text."),
    ];
    let stub = Stub::answering([
        answer(&[entry("a", "one")], &errors),
        description(json!({ "KmsKeyId": "alias/team" })).to("DescribeSecret"),
    ]);
    let read = together(&batching(&stub.url()), &["a", "b", "c"]).await;
    assert_snapshot!(read.join("\n"), @"
    one
    NotFound: error: secret version not found: b has none with the stage AWSCURRENT (credential `aws-prod`, region us-east-1)
      cause: AWS says ResourceNotFoundException: Secrets Manager can't find the specified secret (request ID 4f1c-json)
      cause: AWS keeps a version only while it has a stage
      hint: its stages are AWSCURRENT, AWSPREVIOUS
    Other: error: the secret c cannot be decrypted (credential `aws-prod`, region us-east-1)
      cause: AWS says DecryptionFailure: Secrets Manager can't decrypt the protected secret text (request ID 4f1c-json)
      cause: the KMS key alias/team is disabled, scheduled for deletion or gone
      hint: enable the key or cancel its deletion, or store the secret again with another key
    ");
    assert!(!stub.operations().contains(&"GetSecretValue".to_owned()), "{:?}", stub.operations());
}

#[tokio::test]
async fn what_may_pass_is_left_to_a_single_read() {
    for code in ["AccessDeniedException", "ThrottlingException", "InternalServiceError", "SomethingNew"] {
        let stub = Stub::answering([answer(&[entry("a", "one")], &[error("b", code, "no")])]);
        assert_eq!(together(&batching(&stub.url()), &["a", "b"]).await, ["one", "-"], "{code}");
    }
}

#[tokio::test]
async fn a_refused_batch_is_quietly_left_to_single_reads_and_not_asked_for_again() {
    for code in ["AccessDeniedException", "UnknownOperationException"] {
        let stub = Stub::answering([refusal(code, "no").to("BatchGetSecretValue"), value("x").to("GetSecretValue")]);
        // the time for new policies is not spent on it either
        let limits = CallLimits { propagation: Duration::from_secs(60), ..quick() };
        let provider = Credential { batch: Batch::Auto, limits, ..Credential::default() }.at(&stub.url());
        let batches = (0..8).map(|_| together(&provider, &["a", "b"]));
        for read in futures_util::future::join_all(batches).await {
            assert_eq!(read, ["-", "-"]);
        }
        assert_eq!(together(&provider, &["a", "b"]).await, ["-", "-"]);
        assert_eq!(stub.operations(), ["BatchGetSecretValue"]);
    }
}

#[tokio::test]
async fn a_batch_that_nobody_answers_is_not_asked_for_once_more_one_by_one() {
    let stub = Stub::answering([Reply::raw(200, "text/html", "<html>")]);
    let read = together(&batching(&stub.url()), &["a", "b"]).await;
    assert!(read.iter().all(|answer| answer.starts_with("Other: error: ")), "{read:?}");
    assert!(stub.operations().iter().all(|operation| operation == "BatchGetSecretValue"));
}

#[tokio::test]
async fn one_secret_alone_and_one_of_another_region_are_not_batched() {
    let stub = Stub::answering([answer(&[], &[])]);
    let elsewhere = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf";
    assert_eq!(together(&batching(&stub.url()), &["a", elsewhere]).await, ["-", "-"]);
    assert!(stub.requests().is_empty());
}

#[tokio::test]
async fn without_batch_auto_no_secret_is_batched() {
    assert_eq!(Credential::default().at("http://127.0.0.1:1").batch_size(&Version::Current), 1);
    assert_eq!(batching("http://127.0.0.1:1").batch_size(&Version::Current), 20);
}
