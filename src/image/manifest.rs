//! Owns the making of manifests and descriptors: a new manifest, or the base's with more layers.

use serde_json::value::RawValue;

use super::digest::Digest;
use super::json::RawObject;
use super::layer::Layer;
use super::{ImageError, media};
use crate::secret::SecretBytes;

/// Makes a descriptor.
pub fn descriptor(media_type: &str, digest: &Digest, size: u64) -> RawObject {
    let mut descriptor = RawObject::default();
    descriptor.set("mediaType", media_type);
    descriptor.set("digest", digest.as_str());
    descriptor.set("size", &size);
    descriptor
}

/// Makes a manifest from the descriptors of its layers. The same input gives the same bytes.
pub fn new_manifest(config: &[u8], layers: &[RawObject]) -> Vec<u8> {
    let mut manifest = RawObject::default();
    manifest.set("schemaVersion", &2);
    manifest.set("mediaType", media::OCI_MANIFEST);
    manifest.set("config", &descriptor(media::OCI_CONFIG, &Digest::of(config), config.len() as u64));
    manifest.set("layers", layers);
    manifest.to_bytes()
}

/// Returns the base's manifest with the new config, the new layers after the base's, and these annotations: one with `None` is removed. A
/// manifest of Docker's type has no annotations.
pub fn with_layers(
    base: &[u8],
    config: &SecretBytes,
    new: &[Layer],
    annotations: &[(&str, Option<String>)],
) -> Result<Vec<u8>, ImageError> {
    let malformed = |_| ImageError::Malformed("manifest");
    let mut manifest = RawObject::parse(base).map_err(malformed)?;
    let is_docker = manifest.read::<String>("mediaType").map_err(malformed)?.as_deref() == Some(media::DOCKER_MANIFEST);
    let layer_type = if is_docker { media::DOCKER_LAYER_GZIP } else { media::OCI_LAYER_GZIP };
    let config_type = manifest.inner("config").map_err(malformed)?.read::<String>("mediaType").map_err(malformed)?;
    let config_type = config_type.as_deref().unwrap_or(media::OCI_CONFIG);
    manifest.set("config", &descriptor(config_type, &Digest::of(config.expose()), config.len() as u64));
    let new = new.iter().map(|layer| descriptor(layer_type, &layer.digest, layer.gzip.len() as u64));
    let new: Vec<Box<RawValue>> = new
        .map(|descriptor| serde_json::value::to_raw_value(&descriptor).map_err(malformed))
        .collect::<Result<_, _>>()?;
    let old = manifest.read::<Vec<&RawValue>>("layers").map_err(malformed)?.unwrap_or_default();
    let layers: Vec<&RawValue> = old.into_iter().chain(new.iter().map(|layer| &**layer)).collect();
    let layers = serde_json::value::to_raw_value(&layers).map_err(malformed)?;
    manifest.set("layers", &layers);
    if !is_docker {
        let mut all = manifest.inner("annotations").map_err(malformed)?;
        for (key, text) in annotations {
            match text {
                Some(text) => all.set_key(key, text),
                None => all.remove_key(key),
            }
        }
        if all.keys().next().is_some() || manifest.get("annotations").is_some() {
            manifest.set("annotations", &all);
        }
    }
    Ok(manifest.to_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn baked(base: &str, annotations: &[(&str, Option<&str>)]) -> serde_json::Value {
        let layers = [Layer::new(&SecretBytes::from("layer".to_owned()), "secretbake secrets")];
        let annotations: Vec<_> = annotations.iter().map(|(key, text)| (*key, text.map(str::to_owned))).collect();
        let config = SecretBytes::from("{}".to_owned());
        serde_json::from_slice(&with_layers(base.as_bytes(), &config, &layers, &annotations).unwrap()).unwrap()
    }

    #[test]
    fn a_manifest_of_docker_keeps_its_media_types_and_gets_no_annotations() {
        let config = "application/vnd.docker.container.image.v1+json";
        let base = json!({ "mediaType": media::DOCKER_MANIFEST, "config": { "mediaType": config }, "layers": [{ "digest": "sha256:1" }] });
        let manifest = baked(&base.to_string(), &[("base", Some("new"))]);
        assert_eq!(manifest["config"]["mediaType"], config);
        assert_eq!(manifest["layers"][0], json!({ "digest": "sha256:1" }));
        assert_eq!(manifest["layers"][1]["mediaType"], media::DOCKER_LAYER_GZIP);
        assert_eq!(manifest.get("annotations"), None);
    }

    #[test]
    fn an_oci_manifest_has_annotations_if_the_base_has_or_the_bake_sets_some() {
        assert_eq!(baked(r#"{"layers":[]}"#, &[])["layers"][0]["mediaType"], media::OCI_LAYER_GZIP);
        let annotations = [("base", Some("new")), ("gone", None)];
        let of_base = r#"{"layers":[],"annotations":{"kept":"1","base":"old","gone":"x"}}"#;
        assert_eq!(baked(of_base, &annotations)["annotations"], json!({ "kept": "1", "base": "new" }));
        assert_eq!(baked(r#"{"layers":[]}"#, &annotations)["annotations"], json!({ "base": "new" }));
        assert_eq!(baked(r#"{"layers":[]}"#, &annotations[1..]).get("annotations"), None);
        assert_eq!(baked(r#"{"layers":[],"annotations":{}}"#, &[])["annotations"], json!({}));
    }
}
