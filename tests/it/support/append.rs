//! Owns the composing of an image for the store's tests: a base and one more layer, no more.

use secretbake::image::digest::Digest;
use secretbake::image::layer::{self, Directory, NewFile, Ownership};
use secretbake::image::platform::Platform;
use secretbake::image::{Base, Image, media};
use secretbake::secret::SecretBytes;
use serde_json::{Value, json};

/// Returns the base with one more layer that holds `/baked/value`, and labels as a baked image has them.
pub fn append(base: &Base, value: &str) -> Image {
    let content = SecretBytes::from(value.to_owned());
    let owned = |mode| Ownership { uid: 0, gid: 0, mode };
    let directory = Directory { path: "/baked".into(), owned: owned(0o755), modified: 0 };
    let file = NewFile { path: "/baked/value", owned: owned(0o444), content: &content };
    let layer = layer::write(&[directory], &[file], "secretbake test").unwrap();

    let mut config: Value = serde_json::from_slice(base.config.bytes()).unwrap();
    let mut manifest: Value = serde_json::from_slice(&base.manifest).unwrap();
    config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(json!(layer.diff_id.as_str()));
    if let Some(history) = config.get_mut("history").and_then(Value::as_array_mut) {
        // without a time Podman 4.3 fails at `history`
        history.push(json!({ "created": "2024-01-01T00:00:00Z", "created_by": layer.created_by }));
    }
    config["config"]["Labels"]["dev.secretbake.provenance"] = json!(r#"{"version":1}"#);
    let diff_ids = diff_ids(&config);
    let platform = Platform {
        os: config["os"].as_str().unwrap().into(),
        architecture: config["architecture"].as_str().unwrap().into(),
        variant: None,
    };
    let config = config.to_string().into_bytes();
    manifest["config"]["digest"] = json!(Digest::of(&config).as_str());
    manifest["config"]["size"] = json!(config.len());
    let media_type = match manifest["mediaType"].as_str() {
        Some(media::DOCKER_MANIFEST) => media::DOCKER_LAYER_GZIP,
        _ => media::OCI_LAYER_GZIP,
    };
    let added = json!({ "mediaType": media_type, "digest": layer.digest.as_str(), "size": layer.gzip.len() });
    manifest["layers"].as_array_mut().unwrap().push(added);
    Image {
        manifest: manifest.to_string().into_bytes(),
        config: SecretBytes::new(config),
        layers: vec![layer],
        diff_ids,
        platform,
        config_has_values: false,
    }
}

fn diff_ids(config: &Value) -> Vec<Digest> {
    let list = config["rootfs"]["diff_ids"].as_array().unwrap();
    list.iter().map(|id| Digest::parse(id.as_str().unwrap()).unwrap()).collect()
}
