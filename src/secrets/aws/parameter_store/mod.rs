//! Reads AWS Systems Manager Parameter Store: parameters by name or ARN, ten at a time. `path.rs` reads everything below a path.
//!
//! A parameter's version number is its version ID and its labels are its version stages; the newest version has the stage AWSCURRENT.
//! Only `GetParameters` and, for paths, `GetParametersByPath` read values, so a policy for bakes needs to allow no other action.

pub mod answers;
mod client;
mod path;

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::answers::{Metadata, MetadataPage, Parameter, ParameterHistory, Parameters};
pub use self::client::{ParameterStoreClient, fault};
use super::call_error::CallError;
use super::diagnose::{self, Operation};
use super::{AwsProvider, MOST_PAGES, Session};
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::secrets::{ProviderError, ProviderErrorKind, ReadResult, SecretDescription};

/// The most parameters in one GetParameters call.
pub const SIZE: usize = 10;
/// The most parameters in one DescribeParameters call. A filter has at most 50 names, and the ARN of one without a path may have two.
pub const DESCRIBE_SIZE: usize = 50;
/// The page size of DescribeParameters (parameters) and GetParameterHistory (versions).
const PAGE: u32 = 50;

/// The version stage of the newest version.
const CURRENT: &str = "AWSCURRENT";

/// The calls with one credential.
pub struct Calls<'a> {
    pub provider: &'a AwsProvider,
    pub session: &'a Session,
    pub client: &'a ParameterStoreClient,
}

impl Calls<'_> {
    /// Reads one version of a parameter.
    pub async fn read(&self, id: &SecretId, version: &Version) -> ReadResult {
        let body = json!({ "Names": [selector(id, version)], "WithDecryption": true });
        let answer: Result<Parameters, CallError> =
            self.client.call(self.provider, &self.session.host, "GetParameters", &body).await;
        match answer {
            Ok(answer) => match answer.parameters.into_iter().next() {
                Some(parameter) => self.value(id, parameter),
                None => Err(self.missing(id, version).await),
            },
            Err(fault) => Err(self.unread(id, &fault).await),
        }
    }

    /// Reads the same version of at most [`SIZE`] parameters; `None` for those that need a single read, for example because a policy
    /// denies one of them.
    pub async fn read_together(&self, ids: &[&SecretId], version: &Version) -> Vec<Option<ReadResult>> {
        let unread = || ids.iter().map(|_| None).collect();
        let names: Vec<String> = ids.iter().map(|id| selector(id, version)).collect();
        let body = json!({ "Names": names, "WithDecryption": true });
        let mut answer: Parameters = match self.client.call_once(&self.session.host, "GetParameters", &body).await {
            Ok(answer) => answer,
            // only single reads tell which parameter it is about and whether it passes
            Err(CallError::Refused(_)) => return unread(),
            Err(fault) => {
                let operation = |id| Operation::Parameter { id, known: None };
                let caller = self.session.caller(self.provider);
                let failed = |id| diagnose::diagnose(&caller, &operation(id), &self.session.host, &fault);
                return ids.iter().map(|id| Some(Err(failed(id)))).collect();
            }
        };
        let mut results = Vec::new();
        for id in ids {
            let found = answer.parameters.iter().position(|parameter| parameter.is(id));
            let is_invalid = answer.invalid.contains(&selector(id, version));
            results.push(match found {
                Some(index) => Some(self.value(id, answer.parameters.swap_remove(index))),
                None if is_invalid => Some(Err(self.missing(id, version).await)),
                None => None,
            });
        }
        results
    }

    /// Describes a parameter: its newest version, or all versions if another one is requested. Decrypts no value.
    pub async fn describe(&self, id: &SecretId, version: &Version) -> Result<SecretDescription, ProviderError> {
        match version {
            Version::Current => self.newest(id).await,
            Version::Stage(_) | Version::Id(_) if !id.is_arn() => self.history(id, id.as_str()).await,
            // parameters of this account are looked up by name, those of another account by ARN
            Version::Stage(_) | Version::Id(_) => match self.newest(id).await {
                Ok(known) => self.history(id, &known.name).await,
                Err(_) => self.history(id, id.as_str()).await,
            },
        }
    }

    async fn newest(&self, id: &SecretId) -> Result<SecretDescription, ProviderError> {
        let names = names_of(id);
        let body = described_by_name(&names);
        let page: MetadataPage = self
            .client
            .call(self.provider, &self.session.host, "DescribeParameters", &body)
            .await
            .map_err(|fault| self.diagnosed(&Operation::DescribeParameter { id }, &fault))?;
        match page.parameters.into_iter().find(|metadata| metadata.is(id, &names)) {
            Some(metadata) => Ok(metadata.description()),
            // parameters shared by another account are not listed
            None if id.is_arn() => self.history(id, id.as_str()).await,
            None => Err(diagnose::no_parameter(&self.session.caller(self.provider), id)),
        }
    }

    /// Describes the newest versions of parameters in as few calls as their names allow; `None` for one that only
    /// [`Calls::describe`] can tell of.
    pub async fn describe_together(&self, ids: &[&SecretId]) -> Vec<Option<Result<SecretDescription, ProviderError>>> {
        let mut found: Vec<Metadata> = Vec::new();
        let names: Vec<String> = ids.iter().flat_map(|id| names_of(id)).collect();
        for names in names.chunks(DESCRIBE_SIZE) {
            let mut body = described_by_name(names);
            body["MaxResults"] = json!(PAGE);
            let next = |page: &mut MetadataPage| page.next_token.take();
            match self.pages("DescribeParameters", body, next).await {
                Ok(pages) => found.extend(pages.into_iter().flat_map(|page| page.parameters)),
                Err(fault) => {
                    let failed = |id: &&SecretId| self.diagnosed(&Operation::DescribeParameter { id }, &fault);
                    // one name that the service does not take must not fail the others
                    let is_of_all = |failure: &ProviderError| {
                        failure.kind == ProviderErrorKind::Denied || !matches!(fault, CallError::Refused(_))
                    };
                    return ids.iter().map(|id| Some(failed(id)).filter(is_of_all).map(Err)).collect();
                }
            }
        }
        let described = |id: &&SecretId| match found.iter().position(|metadata| metadata.is(id, &names_of(id))) {
            Some(index) => Some(Ok(found[index].clone().description())),
            // parameters shared by another account are not listed
            None if id.is_arn() => None,
            None => Some(Err(diagnose::no_parameter(&self.session.caller(self.provider), id))),
        };
        ids.iter().map(described).collect()
    }

    async fn history(&self, id: &SecretId, name: &str) -> Result<SecretDescription, ProviderError> {
        let body = json!({ "Name": name, "WithDecryption": false, "MaxResults": PAGE });
        let next = |page: &mut ParameterHistory| page.next_token.take();
        let pages = self.pages("GetParameterHistory", body, next).await;
        let pages = pages.map_err(|fault| self.diagnosed(&Operation::ParameterHistory { id }, &fault))?;
        let versions = pages.into_iter().flat_map(|page| page.parameters).collect();
        answers::history(id, versions).ok_or_else(|| diagnose::no_parameter(&self.session.caller(self.provider), id))
    }

    /// Lists the names that start with `prefix`.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, ProviderError> {
        let mut body = json!({ "MaxResults": PAGE });
        if !prefix.is_empty() {
            body["ParameterFilters"] = json!([{ "Key": "Name", "Option": "BeginsWith", "Values": [prefix] }]);
        }
        let next = |page: &mut MetadataPage| page.next_token.take();
        let pages = self.pages("DescribeParameters", body, next).await;
        let pages = pages.map_err(|fault| self.diagnosed(&Operation::ListParameters, &fault))?;
        Ok(pages.into_iter().flat_map(|page| page.parameters).filter_map(|metadata| metadata.name).collect())
    }

    /// Asks for every page of an answer; `next` takes the token of the page after it.
    async fn pages<T: DeserializeOwned>(
        &self,
        action: &'static str,
        mut body: Value,
        next: impl Fn(&mut T) -> Option<String>,
    ) -> Result<Vec<T>, CallError> {
        let (mut pages, mut tokens) = (Vec::new(), BTreeSet::new());
        loop {
            let mut page: T = self.client.call(self.provider, &self.session.host, action, &body).await?;
            let token = next(&mut page).filter(|token| !token.is_empty());
            pages.push(page);
            match token {
                // a service that gives the same pages again would never end
                Some(token) if tokens.len() < MOST_PAGES && tokens.insert(token.clone()) => {
                    body["NextToken"] = json!(token);
                }
                _ => return Ok(pages),
            }
        }
    }

    fn value(&self, id: &SecretId, parameter: Parameter) -> ReadResult {
        parameter.into_value().ok_or_else(|| diagnose::no_value(&self.session.caller(self.provider), id))
    }

    /// Finds out why the parameter, or this version of it, does not exist.
    async fn missing(&self, id: &SecretId, version: &Version) -> ProviderError {
        let known = match version {
            Version::Current => None,
            // one attempt: it only adds detail
            Version::Stage(_) | Version::Id(_) => {
                let body = json!({ "Names": [id.as_str()], "WithDecryption": false });
                let answer: Option<Parameters> =
                    self.client.call_once(&self.session.host, "GetParameters", &body).await.ok();
                answer.and_then(|answer| answer.parameters.into_iter().next()).and_then(|parameter| parameter.version)
            }
        };
        let caller = self.session.caller(self.provider);
        match known {
            Some(newest) => diagnose::no_parameter_version(&caller, id, version, newest),
            None => diagnose::no_parameter(&caller, id),
        }
    }

    async fn unread(&self, id: &SecretId, fault: &CallError) -> ProviderError {
        let known = match fault.service_error().is_some_and(diagnose::wants_key_of_parameter) {
            true => {
                let body = described_by_name(&names_of(id));
                let page: Option<MetadataPage> =
                    self.client.call_once(&self.session.host, "DescribeParameters", &body).await.ok();
                page.and_then(|page| page.parameters.into_iter().next()).map(Metadata::description)
            }
            false => None,
        };
        self.diagnosed(&Operation::Parameter { id, known: known.as_ref() }, fault)
    }

    fn diagnosed(&self, operation: &Operation<'_>, fault: &CallError) -> ProviderError {
        diagnose::diagnose(&self.session.caller(self.provider), operation, &self.session.host, fault)
    }
}

/// Returns a parameter's name with its version or label, in the form of GetParameters.
fn selector(id: &SecretId, version: &Version) -> String {
    match version {
        Version::Current => id.to_string(),
        Version::Stage(label) => format!("{id}:{label}"),
        Version::Id(number) => format!("{id}:{number}"),
    }
}

/// Returns the body of a DescribeParameters call for the parameters of these names.
fn described_by_name(names: &[String]) -> Value {
    json!({ "ParameterFilters": [{ "Key": "Name", "Option": "Equals", "Values": names }] })
}

/// Returns the possible names of a parameter: an ARN does not show whether a name without a path starts with `/`.
fn names_of(id: &SecretId) -> Vec<String> {
    match id.as_str().split_once(":parameter/") {
        Some((_, name)) if name.contains('/') => vec![format!("/{name}")],
        Some((_, name)) => vec![name.to_owned(), format!("/{name}")],
        None => vec![id.to_string()],
    }
}
