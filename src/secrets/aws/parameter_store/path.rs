//! Owns the reading of everything below a path: its parameters with or without their values, page by page.

use std::collections::BTreeMap;

use serde_json::json;

use super::answers::{Metadata, MetadataPage, Parameter, PathPage};
use super::{Calls, PAGE, SIZE};
use crate::manifest::reference::SecretId;
use crate::secrets::aws::diagnose::{self, Operation};
use crate::secrets::{ProviderError, SecretBelow, SecretDescription};

impl Calls<'_> {
    /// Reads the newest version of every parameter below a path, sorted by key.
    pub async fn read_below(&self, path: &SecretId) -> Result<Vec<SecretBelow>, ProviderError> {
        let body =
            json!({ "Path": without_slash(path), "Recursive": true, "WithDecryption": true, "MaxResults": SIZE });
        let next = |page: &mut PathPage| page.next_token.take();
        let pages = self.pages("GetParametersByPath", body, next).await;
        let pages = pages.map_err(|fault| self.diagnosed(&Operation::Path { path }, &fault))?;
        let mut below: BTreeMap<String, Parameter> = BTreeMap::new();
        for parameter in pages.into_iter().flat_map(|page| page.parameters) {
            if let Some(key) = key(path, parameter.name.as_deref()) {
                below.insert(key, parameter);
            }
        }
        let values = below.into_iter().map(|(key, parameter)| {
            let no_value = || match SecretId::new(&format!("{path}{key}")) {
                Ok(id) => diagnose::no_value(&self.session.caller(self.provider), &id),
                Err(_) => diagnose::no_value(&self.session.caller(self.provider), path),
            };
            let value = parameter.into_value().ok_or_else(no_value)?;
            Ok(SecretBelow { key, value })
        });
        self.not_empty(path, values.collect::<Result<_, ProviderError>>()?)
    }

    /// Describes the newest version of every parameter below a path, sorted by name. No value is read.
    pub async fn describe_below(&self, path: &SecretId) -> Result<Vec<SecretDescription>, ProviderError> {
        let filter = json!({ "Key": "Path", "Option": "Recursive", "Values": [without_slash(path)] });
        let body = json!({ "ParameterFilters": [filter], "MaxResults": PAGE });
        let next = |page: &mut MetadataPage| page.next_token.take();
        let pages = self.pages("DescribeParameters", body, next).await;
        let pages = pages.map_err(|fault| self.diagnosed(&Operation::DescribeParameter { id: path }, &fault))?;
        let mut below: BTreeMap<String, Metadata> = BTreeMap::new();
        for metadata in pages.into_iter().flat_map(|page| page.parameters) {
            if let Some(key) = key(path, metadata.name.as_deref()) {
                below.insert(key, metadata);
            }
        }
        self.not_empty(path, below.into_values().map(Metadata::description).collect())
    }

    fn not_empty<T>(&self, path: &SecretId, found: Vec<T>) -> Result<Vec<T>, ProviderError> {
        match found.is_empty() {
            true => Err(diagnose::nothing_below(&self.session.caller(self.provider), path)),
            false => Ok(found),
        }
    }
}

/// Returns a path as IAM's ARN of it ends, which AWS compares with a policy: without the slash at its end.
fn without_slash(path: &SecretId) -> &str {
    match path.as_str() {
        "/" => "/",
        path => path.trim_end_matches('/'),
    }
}

/// Returns the rest of a parameter's name after the path; `None` if it is not below it.
fn key(path: &SecretId, name: Option<&str>) -> Option<String> {
    name?.strip_prefix(path.as_str()).filter(|key| !key.is_empty()).map(str::to_owned)
}
