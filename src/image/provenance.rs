//! Owns the label that says what was baked: names, versions and digests; never a value, never a hash of one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The label's key.
pub const LABEL: &str = "dev.secretbake.provenance";

/// What was baked, version 1 of the label's JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    pub version: u32,
    /// What identified the base where it was: a manifest digest or an image ID; `null` for scratch.
    pub base: Option<String>,
    /// `launcher`, `config` or `file`.
    pub inject: String,
    /// By variable name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, Origin>,
    /// By path in the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Origin>,
}

/// Where one value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The credential's name in the org file.
    pub credential: String,
    /// The secret's ARN, or its name where the provider has no ARNs or the secret was absent.
    pub secret: String,
    /// The key or pointer behind the `#`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The version ID that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The version stage that was asked for, where it is not AWSCURRENT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_stage: Option<String>,
    /// Whether the manifest asked for this very version ID.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Whether the secret or key was absent and, being optional, left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
}
