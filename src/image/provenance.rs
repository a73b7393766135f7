//! Owns the label that lists what was baked: names, versions and digests; never a value or a hash of one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::seal::{Recipient, RecipientError};

/// The label's key.
pub const LABEL: &str = "dev.secretbake.provenance";

/// What was baked, version 1 of the label's JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    pub version: u32,
    /// The base's identity in its store: a manifest digest or an image ID; `null` for scratch.
    pub base: Option<String>,
    /// `launcher`, `config` or `file`.
    pub inject: String,
    /// Who the values are sealed for; `None` if they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<SealOrigin>,
    /// By variable name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, ValueOrigin>,
    /// By path in the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, ValueOrigin>,
    /// The secrets whose keys became variables, in the order of the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_from: Vec<WholeSecret>,
}

/// What was baked, before the base is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins {
    /// `launcher`, `config` or `file`.
    pub inject: String,
    /// Who the values are sealed for; `None` if they are not.
    pub seal: Option<SealOrigin>,
    /// By variable name.
    pub variables: BTreeMap<String, ValueOrigin>,
    /// By path in the image.
    pub files: BTreeMap<String, ValueOrigin>,
    /// In the order of the manifest.
    pub env_from: Vec<WholeSecret>,
}

impl Origins {
    /// Returns the provenance of an image that was baked onto a base.
    pub fn on_base(&self, base: Option<&Digest>) -> Provenance {
        let Origins { inject, seal, variables, files, env_from } = self.clone();
        Provenance { version: 1, base: base.map(Digest::to_string), inject, seal, variables, files, env_from }
    }
}

/// How the values of an image are sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealOrigin {
    /// The public keys, sorted, each once. Read from a label they may be anything: see [`SealOrigin::recipients`].
    pub recipients: Vec<String>,
}

impl SealOrigin {
    /// Makes the origin of values that are sealed for these recipients.
    pub fn new(recipients: &[Recipient]) -> Self {
        let recipients: BTreeSet<&Recipient> = recipients.iter().collect();
        SealOrigin { recipients: recipients.into_iter().map(ToString::to_string).collect() }
    }

    /// Reads the recipients.
    pub fn recipients(&self) -> Result<Vec<Recipient>, RecipientError> {
        self.recipients.iter().map(|text| Recipient::parse(text)).collect()
    }
}

/// Where a variable's value or a file's content came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ValueOrigin {
    One(Origin),
    Template(TemplateOrigin),
}

/// A template and where its parts came from. If one of them is absent, the whole value is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateOrigin {
    /// The template's text; `None` if it looks like a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// By name in the template.
    pub parts: BTreeMap<String, Origin>,
}

/// One secret of an image, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedOrigin<'a> {
    /// The variable's name or the file's path.
    pub name: &'a str,
    /// The name in the template, if it is a part of one.
    pub part: Option<&'a str>,
    pub origin: &'a Origin,
}

impl ValueOrigin {
    /// Tells whether the value was left out.
    pub fn is_absent(&self) -> bool {
        self.named("").any(|part| part.origin.absent)
    }

    /// Returns every secret that the value came from.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = NamedOrigin<'a>> {
        let (one, template) = match self {
            ValueOrigin::One(origin) => (Some(NamedOrigin { name, part: None, origin }), None),
            ValueOrigin::Template(template) => (None, Some(template)),
        };
        let parts = template.into_iter().flat_map(|template| &template.parts);
        one.into_iter().chain(parts.map(move |(part, origin)| NamedOrigin { name, part: Some(part), origin }))
    }
}

/// A secret whose keys became variables, or a path whose secrets did: the rule, and the names that it gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WholeSecret {
    #[serde(flatten)]
    pub origin: Origin,
    /// What was put in front of the keys.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// `keep` or `upper`.
    pub case: String,
    /// The keys that the manifest lists, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
    /// The whole variable name by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// The variables that were baked from it, sorted. Each is among the image's variables too.
    pub names: Vec<String>,
    /// Of a path, the keys of all secrets that were below it, sorted; `None` for a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Vec<String>>,
}

impl WholeSecret {
    /// Tells whether a secret below the path, with this key, becomes a variable.
    pub fn takes(&self, key: &str) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.iter().any(|other| other == key))
    }

    /// Returns the name of the variable that a key becomes.
    pub fn name(&self, key: &str) -> String {
        let in_case = || if self.case == "upper" { key.to_ascii_uppercase() } else { key.to_owned() };
        self.rename.get(key).cloned().unwrap_or_else(|| self.prefix.clone() + &in_case())
    }
}

/// Where one value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The credential's name in the org file.
    pub credential: String,
    /// The secret's ARN, or its name if the provider has no ARNs or the secret was absent.
    pub secret: String,
    /// The key or pointer after the `#`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The version ID that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The version stage that was asked for, if it is not AWSCURRENT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_stage: Option<String>,
    /// Whether the manifest asked for this version ID.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Whether the secret or key was absent and, being optional, left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
}

/// Why the label cannot be read. It quotes nothing of the label, which may hold anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProvenanceError {
    #[error("it has no label {LABEL}")]
    NotBaked,
    #[error("its label {LABEL} is not valid")]
    Malformed,
    #[error("its label {LABEL} was written by a newer secretbake")]
    Newer,
}

impl ProvenanceError {
    /// Returns the next step.
    pub fn hint(self) -> &'static str {
        match self {
            ProvenanceError::NotBaked => "name an image that secretbake baked, or one built on top of it",
            ProvenanceError::Malformed => "bake the image again",
            ProvenanceError::Newer => "update secretbake",
        }
    }
}

impl Provenance {
    /// Tells whether the image has a secret: one may have only plain values, or optional secrets that were absent.
    pub fn holds_secrets(&self) -> bool {
        self.variables.values().chain(self.files.values()).any(|origin| !origin.is_absent())
    }

    /// Returns why two bakes with the same provenance may hold different values; `None` if they cannot.
    pub fn untold(&self) -> Option<String> {
        let values = || self.variables.values().chain(self.files.values()).filter(|origin| !origin.is_absent());
        let named = || values().flat_map(|origin| origin.named(""));
        let part = named().find(|part| part.origin.version_id.is_none())?;
        Some(format!("the secrets of credential `{}` have no versions to compare", part.origin.credential))
    }

    /// Reads the label's text.
    pub fn parse(label: &str) -> Result<Self, ProvenanceError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        match serde_json::from_str(label) {
            Ok(Versioned { version: 1 }) => serde_json::from_str(label).map_err(|_| ProvenanceError::Malformed),
            Ok(Versioned { version: 2.. }) => Err(ProvenanceError::Newer),
            _ => Err(ProvenanceError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_below_a_path_has_the_name_that_the_rule_gives() {
        let whole = |fields: &str| -> WholeSecret {
            let origin = r#""credential":"aws","secret":"/crew/""#;
            serde_json::from_str(&format!(r#"{{{origin},"names":[],{fields}}}"#)).unwrap()
        };
        let all = whole(r#""prefix":"DB_","case":"upper","rename":{"port":"PORT"}"#);
        assert!(all.takes("user") && all.takes("port"));
        assert_eq!((all.name("user").as_str(), all.name("port").as_str()), ("DB_USER", "PORT"));
        let listed = whole(r#""case":"keep","keys":["user"]"#);
        assert!(listed.takes("user") && !listed.takes("port"));
        assert_eq!(listed.name("user"), "user");
    }

    #[test]
    fn a_label_is_read_or_refused_without_a_word_of_it() {
        assert_eq!(Provenance::parse(r#"{"version":1,"base":null,"inject":"config"}"#).unwrap().inject, "config");
        assert_eq!(Provenance::parse(r#"{"version":2,"other":[]}"#), Err(ProvenanceError::Newer));
        let sealed = r#"{"version":1,"base":null,"inject":"file","seal":{"recipients":["canary"]}}"#;
        let seal = Provenance::parse(sealed).unwrap().seal.unwrap();
        assert_eq!(seal.recipients(), Err(RecipientError::Malformed));
        for wrong in ["", "{}", "canary", r#"{"version":1}"#, r#"{"version":0}"#] {
            assert_eq!(Provenance::parse(wrong), Err(ProvenanceError::Malformed), "{wrong}");
        }
    }
}
