//! Owns what an image's labels say of its bake and its base, without the rest of its config, which may hold secrets.

use super::config::Config;
use super::digest::Digest;
use super::provenance::{LABEL, Provenance, ProvenanceError};

/// The label with the name of the base.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// The label with the digest of the base.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// Returns what a baked image says of its base. `None` takes out what the base says of its own base.
pub fn base_labels(name: Option<&str>, digest: Option<&Digest>) -> [(&'static str, Option<String>); 2] {
    [(BASE_NAME, name.map(str::to_owned)), (BASE_DIGEST, digest.map(Digest::to_string))]
}

/// What an image's labels say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageLabels {
    /// What was baked into it, if anything was.
    pub provenance: Result<Provenance, ProvenanceError>,
    /// The base that it was baked from, if that has a name.
    pub base: Option<NamedBase>,
    /// Whether something was built on top of it; `None` if only its labels were read, which do not tell.
    pub is_built_on_top: Option<bool>,
}

/// A base, as the labels name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedBase {
    pub name: String,
    pub digest: String,
}

impl ImageLabels {
    /// Reads the labels of a config.
    pub fn from_config(config: &Config) -> Self {
        let label = |key: &str| config.label(key).ok().flatten();
        ImageLabels {
            provenance: config.provenance(),
            base: NamedBase::from_labels(label),
            is_built_on_top: Some(config.is_built_on_top()),
        }
    }

    /// Reads labels that are known by their keys.
    pub fn from_labels(label: impl Fn(&str) -> Option<String>) -> Self {
        let provenance = label(LABEL).ok_or(ProvenanceError::NotBaked).and_then(|label| Provenance::parse(&label));
        ImageLabels { provenance, base: NamedBase::from_labels(label), is_built_on_top: None }
    }
}

impl NamedBase {
    fn from_labels(label: impl Fn(&str) -> Option<String>) -> Option<Self> {
        Some(NamedBase { name: label(BASE_NAME)?, digest: label(BASE_DIGEST)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_from_a_config_and_from_a_list_alike() {
        let text = r#"{"config":{"Labels":{"dev.secretbake.provenance":"{\"version\":1,\"base\":null,\"inject\":\"file\"}",
            "org.opencontainers.image.base.name":"docker.io/library/debian:12","org.opencontainers.image.base.digest":"sha256:1"}}}"#;
        let of_config = ImageLabels::from_config(&Config::parse(text.into()).unwrap());
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let label = |key: &str| Some(value["config"]["Labels"].get(key)?.as_str()?.to_owned());
        assert_eq!(of_config, ImageLabels { is_built_on_top: Some(false), ..ImageLabels::from_labels(label) });
        assert_eq!(of_config.provenance.unwrap().inject, "file");
        assert_eq!(of_config.base.unwrap().name, "docker.io/library/debian:12");

        let none = ImageLabels::from_labels(|_| None);
        assert_eq!((none.provenance, none.base), (Err(ProvenanceError::NotBaked), None));
    }
}
