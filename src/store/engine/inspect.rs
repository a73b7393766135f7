//! Owns parsing an engine's inspect response for an image.

use serde::{Deserialize, Deserializer};

use super::error::EngineError;
use crate::image::digest::Digest;
use crate::image::json::RawObject;
use crate::image::platform::Platform;
use crate::image::provenance::{self, Provenance};

/// An image, as the engine describes it.
pub struct InspectedImage {
    /// The image ID.
    pub id: Digest,
    /// The tags that point to it.
    pub tags: Vec<String>,
    /// Its names in registries, by digest.
    pub repo_digests: Vec<String>,
    pub created: Option<String>,
    pub author: Option<String>,
    pub config: RawObject,
    pub platform: Platform,
    pub os_version: Option<String>,
    /// The diff IDs.
    pub layers: Vec<Digest>,
    /// The name of the storage driver.
    pub driver: Option<String>,
    /// What the name points to: a manifest or an index. Only from the containerd store, from API 1.48 on.
    pub target: Option<BlobRef>,
    /// The manifests of `target`.
    pub manifests: Vec<ManifestSummary>,
    /// The history, lowest layer first; only from Podman.
    pub history: Option<Vec<HistoryEntry>>,
    /// The media type of the manifest. Only from Podman, which ignores a health check unless this is Docker's type.
    pub manifest_type: Option<String>,
    /// The health check, which Podman keeps outside the config.
    healthcheck: Option<RawObject>,
}

/// What a tag points to.
pub struct TagState {
    /// The image ID.
    pub id: Digest,
    /// All tags of that image.
    pub tags: Vec<String>,
    pub is_baked: bool,
    /// Whether a secret was baked into it, or its label cannot tell.
    pub holds_secrets: bool,
    /// The digest of the base that it was baked from.
    pub base: Option<String>,
    /// Whether the engine has all of it, so that a container can start.
    pub is_complete: bool,
}

/// A blob in the containerd store: a manifest, an index or a config.
#[derive(Debug, Clone, Deserialize)]
pub struct BlobRef {
    pub digest: String,
    pub size: u64,
}

/// One manifest of an image in the containerd store.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ManifestSummary {
    pub descriptor: BlobRef,
    /// Whether the store has all its content.
    #[serde(default)]
    pub available: bool,
    #[serde(default)]
    pub kind: String,
    image_data: Option<ImageData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageData {
    platform: Option<Platform>,
    size: Option<ImageSize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageSize {
    #[serde(default)]
    unpacked: i64,
}

impl ManifestSummary {
    /// Returns the platform of an image's manifest; `None` for an attestation, and if the store lacks the config.
    pub fn platform(&self) -> Option<Platform> {
        self.image_data.as_ref()?.platform.clone().filter(|platform| !platform.os.is_empty())
    }

    /// Returns whether the layers are unpacked. A load unpacks only the engine's own platform; creating a container unpacks any.
    pub fn is_unpacked(&self) -> bool {
        self.image_data.as_ref().and_then(|data| data.size.as_ref()).is_some_and(|size| size.unpacked > 0)
    }
}

/// One entry of an image's history, in the format of an OCI config.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct HistoryEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectResponse {
    id: String,
    #[serde(default, deserialize_with = "null_is_default")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    repo_digests: Vec<String>,
    created: Option<String>,
    author: Option<String>,
    config: Option<RawObject>,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
    #[serde(default)]
    os: String,
    os_version: Option<String>,
    #[serde(rename = "RootFS")]
    root_fs: Option<RootFs>,
    graph_driver: Option<GraphDriver>,
    descriptor: Option<BlobRef>,
    #[serde(default, deserialize_with = "null_is_default")]
    manifests: Vec<ManifestSummary>,
    history: Option<Vec<HistoryEntry>>,
    manifest_type: Option<String>,
    healthcheck: Option<RawObject>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs {
    #[serde(default, deserialize_with = "null_is_default")]
    layers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GraphDriver {
    name: String,
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

impl InspectedImage {
    /// Parses the engine's response. An error never quotes it: its environment may hold secrets.
    pub fn parse(bytes: &[u8]) -> Result<Self, EngineError> {
        const WRONG: EngineError = EngineError::Malformed("an invalid image description");
        let raw: InspectResponse = serde_json::from_slice(bytes).map_err(|_| WRONG)?;
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let layers = raw.root_fs.map(|root| root.layers).unwrap_or_default();
        Ok(InspectedImage {
            id: digest(&raw.id).ok_or(WRONG)?,
            // Podman shows an image without a tag like `<none>:<none>` in places
            tags: raw.repo_tags.into_iter().filter(|tag| !tag.contains("<none>")).collect(),
            repo_digests: raw.repo_digests,
            // Go's zero time means no time
            created: filled(raw.created).filter(|time| !time.starts_with("0001-01-01T00:00:00")),
            author: filled(raw.author),
            config: raw.config.unwrap_or_default(),
            platform: Platform { os: raw.os, architecture: raw.architecture, variant: filled(raw.variant) },
            os_version: filled(raw.os_version),
            layers: layers.iter().map(|layer| digest(layer)).collect::<Option<_>>().ok_or(WRONG)?,
            driver: raw.graph_driver.map(|driver| driver.name),
            target: raw.descriptor,
            manifests: raw.manifests,
            history: raw.history,
            manifest_type: raw.manifest_type,
            healthcheck: raw.healthcheck,
        })
    }

    /// Returns the config, with the health check if Podman keeps it outside.
    pub fn config_with_healthcheck(&self) -> RawObject {
        let mut config = self.config.clone();
        if let (Some(check), None) = (&self.healthcheck, config.get("Healthcheck")) {
            config.set("Healthcheck", check);
        }
        config
    }

    /// Returns whether the engine has all of the image. Only an image in the containerd store can be incomplete.
    pub fn is_complete(&self) -> bool {
        self.own_manifest().is_none_or(|manifest| manifest.available)
    }

    /// Returns the containerd store's entry for the image's own manifest; `None` for an index, and if no manifest is listed.
    pub fn own_manifest(&self) -> Option<&ManifestSummary> {
        self.manifests.iter().find(|manifest| manifest.descriptor.digest == self.id.as_str())
    }

    /// Returns what secretbake baked into the image; `None` if its label cannot be read.
    fn provenance(&self) -> Option<Provenance> {
        let label = self.config.inner("Labels").ok()?.read::<Option<String>>(provenance::LABEL).ok()??;
        serde_json::from_str::<Provenance>(&label?).ok()
    }

    /// Returns the digest of the base that secretbake baked the image from.
    pub fn baked_from(&self) -> Option<String> {
        self.provenance()?.base
    }

    /// Returns the state of a tag that points to the image.
    pub fn tag_state(&self) -> TagState {
        let provenance = self.provenance();
        TagState {
            id: self.id.clone(),
            tags: self.tags.clone(),
            is_baked: self.is_baked(),
            holds_secrets: provenance.as_ref().is_none_or(Provenance::holds_secrets),
            base: provenance.and_then(|provenance| provenance.base),
            is_complete: self.is_complete(),
        }
    }

    /// Returns whether secretbake baked the image.
    pub fn is_baked(&self) -> bool {
        self.config.inner("Labels").is_ok_and(|labels| labels.get(provenance::LABEL).is_some())
    }
}

/// Parses a digest; Podman omits `sha256:`.
fn digest(text: &str) -> Option<Digest> {
    Digest::parse(text).or_else(|| Digest::parse(&format!("sha256:{text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_podman_s_ids_are_read() {
        let id = "a".repeat(64);
        let text = format!(
            r#"{{"Id":"{id}","RepoTags":null,"Created":"0001-01-01T00:00:00Z","Config":null,"Os":"linux","Architecture":"arm64",
            "Variant":"v8","RootFS":{{"Type":"layers","Layers":null}},"Healthcheck":{{"Test":["CMD","x"]}}}}"#
        );
        let seen = InspectedImage::parse(text.as_bytes()).unwrap();
        assert_eq!(seen.id.hex(), id);
        assert_eq!((seen.created.as_deref(), seen.platform.to_string().as_str()), (None, "linux/arm64/v8"));
        assert!(seen.config_with_healthcheck().get("Healthcheck").is_some());
        assert!(!seen.is_baked());
        assert!(InspectedImage::parse(br#"{"Id":"x"}"#).is_err());
    }
}
