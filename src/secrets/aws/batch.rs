//! Owns the reading of many secrets in one call, where the credential allows it, and what is left to single reads.
//!
//! The permission for it has to be granted on every secret, so a refusal is nothing to complain of: the first one is
//! remembered, and each secret is then read by itself, which finds and says whatever is really wrong.

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

/// How many secrets BatchGetSecretValue takes.
const SIZE: usize = 20;

/// Whether the credential's secrets are read together.
pub struct Batching {
    wanted: bool,
    /// Whether the first call was let through; the others wait for it.
    allowed: OnceCell<bool>,
}

impl Batching {
    /// Returns what the org file says.
    pub fn new(batch: Batch) -> Self {
        Batching { wanted: batch == Batch::Auto, allowed: OnceCell::new() }
    }

    /// Returns how many secrets one call takes.
    pub fn size(&self) -> usize {
        if self.wanted { SIZE } else { 1 }
    }
}

/// What a batch says of its secrets.
struct BatchAnswer {
    entries: Vec<BatchEntry>,
    /// By the name or ARN that was asked for.
    faults: Vec<(String, CallError)>,
}

struct BatchEntry {
    name: String,
    arn: String,
    /// `None` where the secret holds neither text nor binary.
    value: Option<SecretValue>,
}

/// Reads the current versions of secrets; `None` for what a single read has to be made for.
pub async fn read(
    provider: &AwsProvider,
    session: &Session,
    client: &Client,
    ids: &[&SecretId],
) -> Vec<Option<ReadResult>> {
    let unread = || ids.iter().map(|_| None).collect();
    let caller = session.caller(provider);
    let here: Vec<&SecretId> = ids.iter().copied().filter(|id| diagnose::same_region(&caller, id).is_ok()).collect();
    // one secret by itself gains nothing
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

/// Asks for the secrets, unless the credential's first batch was refused.
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

/// Asks for every page of an answer, of which there are no more than secrets and one. A refusal is not waited for: a single read does that, if it is refused too.
async fn pages(
    session: &Session,
    client: &Client,
    ids: &[&SecretId],
) -> Result<Vec<BatchGetSecretValueOutput>, CallError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mut pages = Vec::new();
    let mut next: Option<String> = None;
    // a service that gives the same pages again would never end
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
        // what may pass, or be answered otherwise, is left to a single read, which waits for it and retries
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

    /// Finds a secret by its ARN, or by its name where no ARN of the batch asks for it: another account's secret can have
    /// the same name.
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

    /// Tells whether an ARN, with its hyphen and six random characters or without, is this secret's.
    fn is_of_arn(&self, id: &SecretId) -> bool {
        let suffix = self.arn.strip_prefix(id.as_str());
        id.is_arn() && suffix.is_some_and(|rest| rest.is_empty() || rest.len() == 7 && rest.starts_with('-'))
    }
}
