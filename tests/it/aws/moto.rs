//! The flows against moto, a double of AWS that keeps secrets and versions. What it cannot tell is tested on the wire.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_secretsmanager::primitives::Blob;
use secretbake::manifest::Version;
use secretbake::org::Batch;
use secretbake::secrets::{Provider, ProviderErrorKind, ReadResult};

use super::{Credential, id, outcome, read};
use crate::support::{unique, variable};

fn moto() -> String {
    variable("SECRETBAKE_TEST_MOTO")
}

fn client() -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(moto())
        .credentials_provider(Credentials::new("AKIATEST", "test", None, None, "test"));
    Client::from_conf(config.build())
}

/// Returns a name that no other test has, nor an earlier run on the same moto.
fn fresh(name: &str) -> String {
    let nanoseconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("it/{}/{nanoseconds}", unique(name))
}

#[tokio::test]
async fn a_secret_is_read_by_name_arn_stage_and_id() {
    let (client, name) = (client(), fresh("versions"));
    let created = client.create_secret().name(&name).secret_string("first").send().await.unwrap();
    client.put_secret_value().secret_id(&name).secret_string("second").send().await.unwrap();
    let provider = Credential::default().at(&moto());
    assert_eq!(outcome(read(&provider, &name).await), "second");
    assert_eq!(outcome(read(&provider, created.arn().unwrap()).await), "second");
    let previous = Version::Stage("AWSPREVIOUS".to_owned());
    assert_eq!(outcome(provider.read(&id(&name), &previous).await), "first");
    let first = Version::Id(created.version_id().unwrap().to_owned());
    let value = provider.read(&id(&name), &first).await.ok().unwrap();
    assert!(value.bytes.expose() == b"first");
    assert_eq!((value.arn.as_deref(), value.version_id.as_deref()), (created.arn(), created.version_id()));
    let known = provider.describe(&id(&name), &Version::Current).await.unwrap();
    assert_eq!(known.stages(), ["AWSCURRENT", "AWSPREVIOUS"]);
    assert_eq!(provider.list(&name).await.unwrap(), [name]);
}

#[tokio::test]
async fn secrets_of_a_batch_by_name_and_arn() {
    let (client, [a, b, gone]) = (client(), ["a", "b", "gone"].map(fresh));
    for name in [&a, &b] {
        client.create_secret().name(name).secret_string(name).send().await.unwrap();
    }
    let arn = client.describe_secret().secret_id(&b).send().await.unwrap().arn.unwrap();
    let provider = Credential { batch: Batch::Auto, ..Credential::default() }.at(&moto());
    let ids = [id(&arn), id(&gone), id(&a)];
    let [of_b, of_gone, of_a] = &provider.read_together(&ids.each_ref(), &Version::Current).await[..] else {
        panic!("three answers")
    };
    let read = |answer: &Option<ReadResult>| outcome(answer.clone().unwrap());
    assert_eq!((read(of_a), read(of_b)), (a, b));
    assert!(read(of_gone).starts_with(&format!("NotFound: error: secret not found: {gone} ")), "{}", read(of_gone));
}

#[tokio::test]
async fn a_binary_secret() {
    let (client, name) = (client(), fresh("binary"));
    client.create_secret().name(&name).secret_binary(Blob::new([0, 159, 255])).send().await.unwrap();
    let value = read(&Credential::default().at(&moto()), &name).await.ok().unwrap();
    assert!(value.binary && value.bytes.expose() == [0, 159, 255]);
}

#[tokio::test]
async fn an_assumed_role_with_an_external_id() {
    let (client, name) = (client(), fresh("role"));
    client.create_secret().name(&name).secret_string("x").send().await.unwrap();
    let provider = Credential { external_id: true, ..Credential::default() }.at(&moto());
    assert_eq!(outcome(read(&provider, &name).await), "x");
    let session = provider.assume_role().await.unwrap().unwrap();
    assert!(session.arn.ends_with("assumed-role/secrets-reader/secretbake"), "{}", session.arn);
    assert_eq!(provider.role_demands_external_id().await.unwrap(), Some(false));
    assert!(!provider.identity().await.unwrap().account.is_empty());
}

#[tokio::test]
async fn what_is_not_there_or_being_deleted() {
    let (client, name) = (client(), fresh("gone"));
    let provider = Credential::default().at(&moto());
    let failure = read(&provider, &name).await.err().unwrap();
    assert_eq!(failure.kind, ProviderErrorKind::NotFound);
    assert_eq!(failure.diagnostic.code, "secret-not-found");
    client.create_secret().name(&name).secret_string("x").send().await.unwrap();
    let failure = provider.read(&id(&name), &Version::Stage("AWSPREVIOUS".to_owned())).await.err().unwrap();
    assert_eq!(failure.diagnostic.code, "version-not-found");
    client.delete_secret().secret_id(&name).send().await.unwrap();
    let failure = read(&provider, &name).await.err().unwrap();
    assert_eq!(failure.diagnostic.code, "secret-deleted", "{}", failure.diagnostic);
}
