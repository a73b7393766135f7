//! What is sent: each secret once, the role once, with the credential's keys and region.

use std::time::{Duration, SystemTime};

use secretbake::manifest::Version;
use secretbake::secrets::{Provider, SecretDescription, VersionInfo};
use serde_json::json;

use super::{ACCESS_KEY_ID, ASSUMED, Credential, EXTERNAL_ID, description, id, outcome, read, sts_refusal, value};
use crate::support::stub::{Reply, Stub};

#[tokio::test]
async fn a_read_is_one_request_with_the_credentials_keys_and_region() {
    let stub = Stub::answering([value("s3cret")]);
    let provider =
        Credential { region: "eu-west-3", token: Some("the-token"), ..Credential::default() }.at(&stub.url());
    let value = read(&provider, "db").await.map_err(|failure| failure.diagnostic.to_string()).unwrap();
    assert!(value.bytes.expose() == b"s3cret" && !value.binary);
    assert_eq!(value.arn.as_deref(), Some("arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"));
    assert_eq!(value.version_id.as_deref(), Some("v-1"));
    let [request] = &stub.requests()[..] else { panic!("{:?}", stub.operations()) };
    assert_eq!(request.header("x-amz-target"), Some("secretsmanager.GetSecretValue"));
    assert_eq!(request.body, r#"{"SecretId":"db","VersionStage":"AWSCURRENT"}"#);
    assert_eq!(request.header("x-amz-security-token"), Some("the-token"));
    let authorization = request.header("authorization").unwrap();
    assert!(authorization.contains(&format!("Credential={ACCESS_KEY_ID}/")), "{authorization}");
    assert!(authorization.contains("/eu-west-3/secretsmanager/aws4_request"), "{authorization}");
}

#[tokio::test]
async fn a_version_is_asked_for_by_stage_or_id() {
    let stub = Stub::answering([value("x")]);
    let provider = Credential::default().at(&stub.url());
    for version in [Version::Stage("AWSPREVIOUS".to_owned()), Version::Id("0b5f".to_owned())] {
        provider.read(&id("db"), &version).await.map_err(|failure| failure.diagnostic.to_string()).unwrap();
    }
    let bodies: Vec<String> = stub.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(
        bodies,
        [r#"{"SecretId":"db","VersionStage":"AWSPREVIOUS"}"#, r#"{"SecretId":"db","VersionId":"0b5f"}"#]
    );
}

#[tokio::test]
async fn a_binary_secret_keeps_its_bytes() {
    let stub = Stub::answering([Reply::json(200, r#"{"Name":"db","SecretBinary":"AAEC/w=="}"#)]);
    let value = read(&Credential::default().at(&stub.url()), "db").await.ok().unwrap();
    assert!(value.binary && value.bytes.expose() == [0, 1, 2, 255]);
}

#[tokio::test]
async fn the_role_is_assumed_once_for_all_reads() {
    let assumed = Reply::xml(200, ASSUMED).after(Duration::from_millis(50));
    let stub = Stub::answering([assumed, value("x")]);
    let provider = Credential { external_id: true, ..Credential::default() }.at(&stub.url());
    let reads = futures_util::future::join_all((0..8).map(|_| read(&provider, "db"))).await;
    assert!(reads.into_iter().all(|read| outcome(read) == "x"));
    let requests = stub.requests();
    assert_eq!(requests.len(), 9);
    assert_eq!(requests[0].operation(), "AssumeRole");
    assert!(requests[0].body.contains(&format!("ExternalId={EXTERNAL_ID}")), "{}", requests[0].body);
    assert!(requests[0].body.contains("RoleSessionName=secretbake"), "{}", requests[0].body);
    assert!(requests[0].header("authorization").unwrap().contains("/us-east-1/sts/aws4_request"));
    for request in &requests[1..] {
        assert_eq!(request.operation(), "GetSecretValue");
        assert_eq!(request.header("x-amz-security-token"), Some("role-session-token"));
        assert!(request.header("authorization").unwrap().contains("Credential=ASIAROLESESSION0001/"));
    }
}

#[tokio::test]
async fn a_roles_session_is_opened_again_before_it_ends() {
    let assumed = |end: SystemTime, token: &str| {
        let end = aws_smithy_types::DateTime::from(end).fmt(aws_smithy_types::date_time::Format::DateTime).unwrap();
        Reply::xml(200, &ASSUMED.replace("2099-01-01T00:00:00Z", &end).replace("role-session-token", token))
    };
    let soon = SystemTime::now() + Duration::from_secs(60);
    let later = SystemTime::now() + Duration::from_secs(3600);
    let stub = Stub::answering([assumed(soon, "first"), value("a"), assumed(later, "second"), value("b"), value("c")]);
    let provider = Credential { role: true, ..Credential::default() }.at(&stub.url());
    for expected in ["a", "b", "c"] {
        assert_eq!(outcome(read(&provider, "db").await), expected);
    }
    assert_eq!(stub.operations(), ["AssumeRole", "GetSecretValue", "AssumeRole", "GetSecretValue", "GetSecretValue"]);
    let tokens: Vec<_> = stub
        .requests()
        .iter()
        .filter_map(|request| request.header("x-amz-security-token").map(str::to_owned))
        .collect();
    assert_eq!(tokens, ["first", "second", "second"]);
}

#[tokio::test]
async fn a_refused_role_is_not_asked_for_again() {
    let stub = Stub::answering([sts_refusal("AccessDenied", "no")]);
    let provider = Credential { role: true, ..Credential::default() }.at(&stub.url());
    let reads = futures_util::future::join_all((0..8).map(|_| read(&provider, "db"))).await;
    assert!(reads.iter().all(Result::is_err));
    assert_eq!(stub.operations(), ["AssumeRole"]);
}

#[tokio::test]
async fn the_role_without_an_external_id_sends_none() {
    let stub = Stub::answering([Reply::xml(200, ASSUMED)]);
    let provider = Credential { role: true, ..Credential::default() }.at(&stub.url());
    let session = provider.assume_role().await.unwrap().unwrap();
    assert_eq!(session.arn, "arn:aws:sts::123456789012:assumed-role/secrets-reader/secretbake");
    assert_eq!(session.account, "123456789012");
    assert!(!stub.requests()[0].body.contains("ExternalId"));
}

#[tokio::test]
async fn a_role_that_does_not_ask_for_its_external_id_is_found_out() {
    for (reply, expected) in [(Reply::xml(200, ASSUMED), false), (sts_refusal("AccessDenied", "no"), true)] {
        let stub = Stub::answering([reply]);
        let provider = Credential { external_id: true, ..Credential::default() }.at(&stub.url());
        assert_eq!(provider.role_demands_external_id().await.unwrap(), Some(expected));
        assert!(!stub.requests()[0].body.contains("ExternalId"));
    }
    let stub = Stub::answering([sts_refusal("AccessDenied", "no")]);
    let provider = Credential { role: true, ..Credential::default() }.at(&stub.url());
    assert_eq!(provider.role_demands_external_id().await.unwrap(), None);
    assert!(stub.requests().is_empty());
}

#[tokio::test]
async fn the_identity_is_that_of_the_keys() {
    let body = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
        <Arn>arn:aws:iam::123456789012:user/reader</Arn><UserId>AIDA</UserId><Account>123456789012</Account>
        </GetCallerIdentityResult></GetCallerIdentityResponse>"#;
    let stub = Stub::answering([Reply::xml(200, body)]);
    let identity = Credential { role: true, ..Credential::default() }.at(&stub.url()).identity().await.unwrap();
    assert_eq!(identity.arn, "arn:aws:iam::123456789012:user/reader");
    assert_eq!(stub.operations(), ["GetCallerIdentity"]);
}

#[tokio::test]
async fn a_description_has_the_versions_and_the_key() {
    let stub = Stub::answering([description(json!({ "KmsKeyId": "alias/team", "DeletedDate": 1.5e9 }))]);
    let version = |id: &str, stage: &str| VersionInfo { id: Some(id.to_owned()), stages: vec![stage.to_owned()] };
    assert_eq!(
        Credential::default()
            .at(&stub.url())
            .describe(&id("db"), &secretbake::manifest::Version::Current)
            .await
            .unwrap(),
        SecretDescription {
            name: "db".to_owned(),
            arn: Some("arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf".to_owned()),
            versions: vec![version("v-1", "AWSPREVIOUS"), version("v-2", "AWSCURRENT")],
            has_all_versions: true,
            kms_key_id: Some("alias/team".to_owned()),
            changed: None,
            deleted: true,
        }
    );
    assert_eq!(stub.operations(), ["DescribeSecret"]);
}

#[tokio::test]
async fn a_list_takes_every_page_and_only_names_with_the_prefix() {
    let page = |names: &[&str], next: Option<&str>| {
        let list: Vec<_> = names.iter().map(|name| json!({ "Name": name, "ARN": "arn" })).collect();
        Reply::json(200, &json!({ "SecretList": list, "NextToken": next }).to_string())
    };
    let stub = Stub::answering([page(&["prod/b", "PROD/x"], Some("2")), page(&["prod/a"], None)]);
    let names = Credential::default().at(&stub.url()).list("prod/").await.unwrap();
    assert_eq!(names, ["prod/a", "prod/b"]);
    let requests = stub.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].body.contains(r#""Filters":[{"Key":"name","Values":["prod/"]}]"#), "{}", requests[0].body);
    assert!(requests[1].body.contains(r#""NextToken":"2""#), "{}", requests[1].body);
}

#[tokio::test]
async fn a_list_that_repeats_its_page_ends() {
    let page = Reply::json(200, r#"{"SecretList":[{"Name":"a"}],"NextToken":"same"}"#);
    let stub = Stub::answering([page]);
    Credential::default().at(&stub.url()).list("").await.unwrap();
    assert_eq!(stub.requests().len(), 2);
    let page = |token: &str| Reply::json(200, &json!({ "SecretList": [], "NextToken": token }).to_string());
    let stub = Stub::by(move |number, _| page(if number % 2 == 0 { "even" } else { "odd" }));
    Credential::default().at(&stub.url()).list("").await.unwrap();
    assert_eq!(stub.requests().len(), 3);
}

#[tokio::test]
async fn nothing_is_sent_before_the_first_read() {
    let stub = Stub::answering([value("x")]);
    drop(Credential { external_id: true, ..Credential::default() }.at(&stub.url()));
    assert!(stub.requests().is_empty());
}
