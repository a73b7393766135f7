//! Owns the calls to AWS Secrets Manager and converts the responses to the types of `Provider`.

use std::collections::BTreeSet;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use aws_sdk_secretsmanager::primitives::Blob;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};

use super::call_error::CallError;
use super::diagnose::{self, Operation};
use super::{AwsProvider, MOST_PAGES, Session};
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::secret::SecretBytes;
use crate::secrets::{ProviderError, ReadResult, SecretDescription, SecretValue, VersionInfo};

/// Reads one version of a secret.
pub async fn read(
    provider: &AwsProvider,
    session: &Session,
    client: &Client,
    id: &SecretId,
    version: &Version,
) -> ReadResult {
    let request = || {
        let request = client.get_secret_value().secret_id(id.as_str());
        match version {
            Version::Current => request.version_stage("AWSCURRENT"),
            Version::Stage(stage) => request.version_stage(stage),
            Version::Id(version) => request.version_id(version),
        }
        .send()
    };
    match provider.call("GetSecretValue", &session.host, request).await {
        Ok(answer) => {
            let GetSecretValueOutput { arn, version_id, secret_string, secret_binary, .. } = answer;
            let value = value(arn, version_id, secret_string, secret_binary);
            value.ok_or_else(|| diagnose::no_value(&session.caller(provider), id))
        }
        Err(fault) => Err(Box::pin(unread(provider, session, client, id, version, &fault)).await),
    }
}

/// Diagnoses why a secret was not read. The secret's description often adds what the error does not say.
pub async fn unread(
    provider: &AwsProvider,
    session: &Session,
    client: &Client,
    id: &SecretId,
    version: &Version,
    fault: &CallError,
) -> ProviderError {
    let known = match fault.service_error().is_some_and(diagnose::wants_description) {
        // one attempt, no wait for propagation: it only adds detail
        true => client.describe_secret().secret_id(id.as_str()).send().await.ok().map(description),
        false => None,
    };
    let operation = Operation::Read { id, version, known: known.as_ref() };
    diagnose::diagnose(&session.caller(provider), &operation, &session.host, fault)
}

/// Describes a secret with all its versions.
pub async fn describe(
    provider: &AwsProvider,
    session: &Session,
    client: &Client,
    id: &SecretId,
) -> Result<SecretDescription, ProviderError> {
    let request = || client.describe_secret().secret_id(id.as_str()).send();
    let answer = provider.call("DescribeSecret", &session.host, request).await;
    let operation = Operation::Describe { id };
    let failed = |fault| diagnose::diagnose(&session.caller(provider), &operation, &session.host, &fault);
    answer.map(description).map_err(failed)
}

/// Lists the names that may start with `prefix`.
pub async fn list(
    provider: &AwsProvider,
    session: &Session,
    client: &Client,
    prefix: &str,
) -> Result<Vec<String>, ProviderError> {
    let filter = (!prefix.is_empty()).then(|| Filter::builder().key(FilterNameStringType::Name).values(prefix).build());
    let mut names = Vec::new();
    let (mut tokens, mut next) = (BTreeSet::new(), None);
    loop {
        let request = || {
            let request = client.list_secrets().max_results(100).set_next_token(next.clone());
            request.set_filters(filter.clone().map(|filter| vec![filter])).send()
        };
        let page = provider
            .call("ListSecrets", &session.host, request)
            .await
            .map_err(|fault| diagnose::diagnose(&session.caller(provider), &Operation::List, &session.host, &fault))?;
        names.extend(page.secret_list.unwrap_or_default().into_iter().filter_map(|secret| secret.name));
        // a service that repeats pages, or always has more, would never end
        match page.next_token {
            Some(token) if tokens.len() < MOST_PAGES && tokens.insert(token.clone()) => next = Some(token),
            _ => break,
        }
    }
    Ok(names)
}

/// Takes the value without copying it; `None` if the secret has neither text nor binary.
pub fn value(
    arn: Option<String>,
    version_id: Option<String>,
    text: Option<String>,
    binary: Option<Blob>,
) -> Option<SecretValue> {
    let (bytes, binary) = match (text, binary) {
        (Some(text), _) => (SecretBytes::from(text), false),
        (None, Some(blob)) => (SecretBytes::new(blob.into_inner()), true),
        (None, None) => return None,
    };
    Some(SecretValue { bytes, binary, arn, version_id })
}

fn description(answer: DescribeSecretOutput) -> SecretDescription {
    let versions = answer.version_ids_to_stages.unwrap_or_default().into_iter();
    let mut versions: Vec<VersionInfo> = versions
        .map(|(id, mut stages)| {
            stages.sort_unstable();
            VersionInfo { id: Some(id), stages }
        })
        .collect();
    versions.sort_unstable();
    SecretDescription {
        name: answer.name.unwrap_or_default(),
        arn: answer.arn,
        versions,
        has_all_versions: true,
        kms_key_id: answer.kms_key_id,
        changed: answer.last_changed_date.map(|time| time.secs()),
        deleted: answer.deleted_date.is_some(),
    }
}
