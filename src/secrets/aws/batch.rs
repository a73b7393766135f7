//! Reads many secrets in one call if the credential allows it, and leaves the rest to single reads.
//!
//! The permission has to be granted on every secret, so a refusal is not an error: it is remembered, and each secret is then
//! read by itself. Those reads report what is really wrong.

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::RequestId as _;
use aws_sdk_secretsmanager::operation::batch_get_secret_value::BatchGetSecretValueOutput;
use aws_sdk_secretsmanager::types::SecretValueEntry;
use futures_util::future::join_all;
use tokio::sync::OnceCell;

use super::call_error::{CallError, ServiceError};
use super::secrets_manager::{unread, value};
use super::{AwsProvider, Session, diagnose};
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::org::Batch;
use crate::secrets::{ReadResult, SecretValue};

/// The most secrets in one BatchGetSecretValue call.
const SIZE: usize = 20;

/// Whether to read the credential's secrets in batches.
pub struct Batching {
    wanted: bool,
    /// Whether the first call was allowed; the others wait for it.
    allowed: OnceCell<bool>,
}

impl Batching {
    /// Takes the org file's setting.
    pub fn new(batch: Batch) -> Self {
        Batching { wanted: batch == Batch::Auto, allowed: OnceCell::new() }
    }

    /// Returns the most secrets in one call.
    pub fn size(&self) -> usize {
        if self.wanted { SIZE } else { 1 }
    }
}

/// The answer to a batch.
struct BatchAnswer {
    entries: Vec<BatchEntry>,
    /// By the requested name or ARN.
    faults: Vec<(String, CallError)>,
}

struct BatchEntry {
    name: String,
    arn: String,
    /// `None` if the secret has neither text nor binary.
    value: Option<SecretValue>,
}

/// Reads the current versions of secrets; `None` for those that need a single read.
pub async fn read(
    provider: &AwsProvider,
    session: &Session,
    client: &Client,
    ids: &[&SecretId],
) -> Vec<Option<ReadResult>> {
    let unread = || ids.iter().map(|_| None).collect();
    let caller = session.caller(provider);
    let here: Vec<&SecretId> = ids.iter().copied().filter(|id| diagnose::same_region(&caller, id).is_ok()).collect();
    // a batch of one saves nothing
    if here.len() < 2 {
        return unread();
    }
    let answered = match pages_if_allowed(provider, session, client, &here).await {
        None | Some(Err(CallError::Refused(_))) => return unread(),
        Some(Err(fault)) => BatchAnswer::by_nobody(&here, &fault),
        Some(Ok(pages)) => BatchAnswer::by(pages),
    };
    join_all(ids.iter().map(|id| answer(provider, session, client, id, ids, &answered))).await
}

/// Requests the secrets, unless the credential's first batch was refused.
async fn pages_if_allowed(
    provider: &AwsProvider,
    session: &Session,
    client: &Client,
    ids: &[&SecretId],
) -> Option<Result<Vec<BatchGetSecretValueOutput>, CallError>> {
    let mut first = None;
    let try_it = async || {
        let answer = pages(session, client, ids).await;
        let allowed = !matches!(answer, Err(CallError::Refused(_)));
        first = Some(answer);
        allowed
    };
    let allowed = *provider.batching.allowed.get_or_init(try_it).await;
    match first {
        Some(answer) => Some(answer),
        None if allowed => Some(pages(session, client, ids).await),
        None => None,
    }
}

/// Requests all pages of an answer, at most one more than there are secrets. Does not wait after a denial; a single read does that.
async fn pages(
    session: &Session,
    client: &Client,
    ids: &[&SecretId],
) -> Result<Vec<BatchGetSecretValueOutput>, CallError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mut pages = Vec::new();
    let mut next: Option<String> = None;
    // a service that repeats pages would never end
    while pages.len() <= ids.len() {
        let request = client.batch_get_secret_value().set_secret_id_list(Some(ids.clone()));
        let page = match request.set_next_token(next.clone()).send().await {
            Ok(page) => page,
            Err(error) => return Err(CallError::from_sdk(&error, &session.host).await),
        };
        let token = page.next_token.clone();
        pages.push(page);
        if token.is_none() || token == next {
            break;
        }
        next = token;
    }
    Ok(pages)
}

async fn answer(
    provider: &AwsProvider,
    session: &Session,
    client: &Client,
    id: &SecretId,
    ids: &[&SecretId],
    answered: &BatchAnswer,
) -> Option<ReadResult> {
    if let Some(fault) = answered.fault(id) {
        // errors that may pass are left to a single read, which waits and retries
        if fault.service_error().is_some_and(|refusal| !diagnose::is_of_secret(refusal)) {
            return None;
        }
        return Some(Err(unread(provider, session, client, id, &Version::Current, fault).await));
    }
    let value = answered.entry(id, ids)?.value.clone();
    Some(value.ok_or_else(|| diagnose::no_value(&session.caller(provider), id)))
}

impl BatchAnswer {
    fn by(pages: Vec<BatchGetSecretValueOutput>) -> Self {
        let mut answered = BatchAnswer { entries: Vec::new(), faults: Vec::new() };
        for page in pages {
            let request_id = page.request_id().map(str::to_owned);
            answered.entries.extend(page.secret_values.unwrap_or_default().into_iter().map(BatchEntry::of));
            answered.faults.extend(page.errors.unwrap_or_default().into_iter().map(|error| {
                let (code, message) = (error.error_code.unwrap_or_default(), error.message);
                let refusal = ServiceError { code, message, request_id: request_id.clone() };
                (error.secret_id.unwrap_or_default(), CallError::Refused(refusal))
            }));
        }
        answered
    }

    fn by_nobody(ids: &[&SecretId], fault: &CallError) -> Self {
        let faults = ids.iter().map(|id| (id.to_string(), fault.clone())).collect();
        BatchAnswer { entries: Vec::new(), faults }
    }

    fn fault(&self, id: &SecretId) -> Option<&CallError> {
        self.faults.iter().find(|(of, _)| of == id.as_str()).map(|(_, fault)| fault)
    }

    /// Finds a secret by its ARN, or by its name if no ARN in the batch asks for it: another account's secret can have the
    /// same name.
    fn entry(&self, id: &SecretId, ids: &[&SecretId]) -> Option<&BatchEntry> {
        self.entries.iter().find(|entry| match id.is_arn() {
            true => entry.is_of_arn(id),
            false => entry.name == id.as_str() && !ids.iter().any(|other| entry.is_of_arn(other)),
        })
    }
}

impl BatchEntry {
    fn of(entry: SecretValueEntry) -> Self {
        let SecretValueEntry { name, arn, version_id, secret_string, secret_binary, .. } = entry;
        let value = value(arn.clone(), version_id, secret_string, secret_binary);
        BatchEntry { name: name.unwrap_or_default(), arn: arn.unwrap_or_default(), value }
    }

    /// Tells whether an ARN, with or without its hyphen and six random characters, is this secret's.
    fn is_of_arn(&self, id: &SecretId) -> bool {
        let suffix = self.arn.strip_prefix(id.as_str());
        id.is_arn() && suffix.is_some_and(|rest| rest.is_empty() || rest.len() == 7 && rest.starts_with('-'))
    }
}
