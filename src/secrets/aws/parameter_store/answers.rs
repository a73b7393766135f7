//! Owns the responses of Parameter Store and converts them to the types of `Provider`.

use serde::Deserialize;

use super::CURRENT;
use crate::manifest::reference::SecretId;
use crate::secret::SecretBytes;
use crate::secrets::{SecretDescription, SecretValue, VersionInfo};

/// The response of GetParameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Parameters {
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    #[serde(default, rename = "InvalidParameters")]
    pub invalid: Vec<String>,
}

/// A page of GetParametersByPath.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PathPage {
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    pub next_token: Option<String>,
}

/// One parameter with its value.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Parameter {
    pub name: Option<String>,
    #[serde(rename = "ARN")]
    arn: Option<String>,
    value: Option<Text>,
    pub version: Option<u64>,
}

/// A value. It has no `Debug` form.
#[derive(Deserialize)]
#[serde(from = "String")]
struct Text(SecretBytes);

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text(SecretBytes::from(text))
    }
}

impl Parameter {
    /// Tells whether this parameter has this name or ARN.
    pub fn is(&self, id: &SecretId) -> bool {
        [&self.name, &self.arn].into_iter().any(|text| text.as_deref() == Some(id.as_str()))
    }

    /// Returns the value, if the response has one.
    pub fn into_value(self) -> Option<SecretValue> {
        let version_id = self.version.map(|version| version.to_string());
        Some(SecretValue { bytes: self.value?.0, binary: false, arn: self.arn, version_id })
    }
}

/// The response of DescribeParameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MetadataPage {
    #[serde(default)]
    pub parameters: Vec<Metadata>,
    pub next_token: Option<String>,
}

/// A parameter without its value.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metadata {
    pub name: Option<String>,
    #[serde(rename = "ARN")]
    pub arn: Option<String>,
    version: Option<u64>,
    key_id: Option<String>,
    last_modified_date: Option<f64>,
}

impl Metadata {
    /// Tells whether this is the parameter `id`, which may have one of these names.
    pub fn is(&self, id: &SecretId, names: &[String]) -> bool {
        match (&self.arn, id.is_arn()) {
            (Some(arn), true) => arn == id.as_str(),
            _ => self.name.as_ref().is_some_and(|name| names.contains(name)),
        }
    }

    /// Returns the description, with the newest version only.
    pub fn description(self) -> SecretDescription {
        let id = self.version.map(|version| version.to_string());
        SecretDescription {
            name: self.name.unwrap_or_default(),
            arn: self.arn,
            versions: vec![VersionInfo { id, stages: vec![CURRENT.to_owned()] }],
            has_all_versions: false,
            kms_key_id: self.key_id,
            changed: self.last_modified_date.map(seconds),
            deleted: false,
        }
    }
}

/// The response of GetParameterHistory; its values are not read.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ParameterHistory {
    #[serde(default)]
    pub parameters: Vec<OneVersion>,
    pub next_token: Option<String>,
}

/// One version of a parameter.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OneVersion {
    name: Option<String>,
    version: Option<u64>,
    #[serde(default)]
    labels: Vec<String>,
    key_id: Option<String>,
    last_modified_date: Option<f64>,
}

/// Returns a description with every version, or `None` for an empty history.
pub fn history(id: &SecretId, versions: Vec<OneVersion>) -> Option<SecretDescription> {
    let newest = versions.iter().filter_map(|version| version.version).max()?;
    let last = versions.iter().find(|version| version.version == Some(newest))?;
    let described = SecretDescription {
        name: last.name.clone().unwrap_or_default(),
        arn: id.is_arn().then(|| id.to_string()),
        versions: Vec::new(),
        has_all_versions: true,
        kms_key_id: last.key_id.clone(),
        changed: last.last_modified_date.map(seconds),
        deleted: false,
    };
    let info = |version: OneVersion| {
        let mut stages = version.labels;
        stages.extend((version.version == Some(newest)).then(|| CURRENT.to_owned()));
        stages.sort_unstable();
        VersionInfo { id: version.version.map(|version| version.to_string()), stages }
    };
    let mut infos: Vec<VersionInfo> = versions.into_iter().map(info).collect();
    infos.sort_unstable();
    Some(SecretDescription { versions: infos, ..described })
}

/// Returns a time in whole seconds.
#[expect(clippy::cast_possible_truncation, reason = "a time since 1970 in seconds fits")]
fn seconds(time: f64) -> i64 {
    time as i64
}
