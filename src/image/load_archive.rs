//! Owns the archive that an engine loads: only the new layers, in the OCI shape and in `docker save`'s at once.
//!
//! The base's layers are named in it and not contained: an engine that has them does not open them. The containerd store reads the OCI
//! shape, overlay2 and Podman the other.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::{Image, media};
use crate::secret::{SecretBuffer, SecretBytes};

/// A name to load the image under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadName {
    /// `HOST/PATH:TAG`, for the OCI shape.
    pub full: String,
    /// `NAME:TAG` as the engine shows it, for `docker save`'s.
    pub familiar: String,
}

#[derive(Serialize)]
struct Index<'a> {
    #[serde(rename = "schemaVersion")]
    schema_version: u8,
    #[serde(rename = "mediaType")]
    media_type: &'a str,
    manifests: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
struct Descriptor<'a> {
    #[serde(rename = "mediaType")]
    media_type: &'a str,
    digest: &'a str,
    size: usize,
    annotations: Annotations<'a>,
}

#[derive(Serialize)]
struct Annotations<'a> {
    #[serde(rename = "io.containerd.image.name")]
    containerd_name: &'a str,
    #[serde(rename = "org.opencontainers.image.ref.name")]
    ref_name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Saved<'a> {
    config: String,
    repo_tags: Vec<&'a str>,
    layers: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Manifest {
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    digest: String,
}

/// Writes the archive; it holds the layers and the config and so is a secret.
///
/// # Errors
/// `tar`'s, which a buffer in memory never gives.
pub fn write(image: &Image, names: &[LoadName]) -> std::io::Result<SecretBytes> {
    let manifest_digest = image.manifest_digest();
    let config_digest = image.config_digest();
    let manifest: Manifest = serde_json::from_slice(&image.manifest).unwrap_or_default();
    let media_type = manifest.media_type.unwrap_or_else(|| media::OCI_MANIFEST.to_owned());
    let layers: Option<Vec<Digest>> = manifest.layers.iter().map(|layer| Digest::parse(&layer.digest)).collect();

    let index = Index {
        schema_version: 2,
        media_type: media::OCI_INDEX,
        manifests: names
            .iter()
            .map(|name| Descriptor {
                media_type: &media_type,
                digest: manifest_digest.as_str(),
                size: image.manifest.len(),
                annotations: Annotations { containerd_name: &name.full, ref_name: &name.full },
            })
            .collect(),
    };
    let saved = [Saved {
        config: blob(&config_digest),
        repo_tags: names.iter().map(|name| name.familiar.as_str()).collect(),
        layers: layers.unwrap_or_default().iter().map(blob).collect(),
    }];

    let content: usize = image.layers.iter().map(|layer| layer.gzip.len() + 1024).sum();
    let capacity = content + image.config.len() + image.manifest.len() + 512 * names.len() + 16 * 1024;
    let mut tar = tar::Builder::new(SecretBuffer::with_capacity(capacity));
    add(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    add(&mut tar, "index.json", &serde_json::to_vec(&index)?)?;
    add(&mut tar, "manifest.json", &serde_json::to_vec(&saved)?)?;
    add(&mut tar, &blob(&manifest_digest), &image.manifest)?;
    add(&mut tar, &blob(&config_digest), image.config.expose())?;
    let mut written = BTreeSet::new();
    for layer in &image.layers {
        if written.insert(&layer.digest) {
            add(&mut tar, &blob(&layer.digest), layer.gzip.expose())?;
        }
    }
    Ok(tar.into_inner()?.finish())
}

/// Returns the header of a layer of the base, for an archive that holds those too: they come before what [`write()`] gives.
pub fn header(digest: &Digest, size: u64) -> Bytes {
    let mut header = tar::Header::new_gnu();
    // a digest's path is always short enough
    let _ = header.set_path(blob(digest));
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Bytes::copy_from_slice(header.as_bytes())
}

/// Returns what follows a layer's bytes in a tar.
pub fn padding(size: u64) -> Bytes {
    static ZEROS: [u8; 512] = [0; 512];
    let length = usize::try_from(size.next_multiple_of(512) - size).unwrap_or_default();
    Bytes::from_static(&ZEROS[..length])
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn add(tar: &mut tar::Builder<SecretBuffer>, path: &str, content: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::image::layer::{NewFile, Owned, write as write_layer};
    use crate::image::platform::Platform;

    #[test]
    fn it_holds_the_new_layers_only_and_names_them_all() {
        let content = SecretBytes::from("value".to_owned());
        let file = NewFile { path: "/a", owned: Owned { uid: 0, gid: 0, mode: 0o400 }, content: &content };
        let layer = write_layer(&[], &[file], "test").unwrap();
        let base = Digest::of(b"base");
        let (new, diff_id) = (layer.digest.clone(), layer.diff_id.clone());
        let image = Image {
            manifest: format!(r#"{{"layers":[{{"digest":"{base}"}},{{"digest":"{new}"}}]}}"#).into_bytes(),
            config: SecretBytes::from("{}".to_owned()),
            layers: vec![layer],
            diff_ids: vec![base.clone(), diff_id],
            platform: Platform { os: "linux".into(), architecture: "amd64".into(), variant: None },
        };
        let names = ["a:1", "b:2"]
            .map(|name| LoadName { full: format!("docker.io/library/{name}"), familiar: name.to_owned() });
        let archive = write(&image, &names).unwrap();
        let mut entries = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(archive.expose()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut text = Vec::new();
            entry.read_to_end(&mut text).unwrap();
            entries.insert(path, text);
        }
        assert!(entries.contains_key(&blob(&new)));
        assert!(!entries.contains_key(&blob(&base)));
        let saved: serde_json::Value = serde_json::from_slice(&entries["manifest.json"]).unwrap();
        assert_eq!(saved[0]["Layers"], serde_json::json!([blob(&base), blob(&new)]));
        assert_eq!(saved[0]["RepoTags"], serde_json::json!(["a:1", "b:2"]));
        let index: serde_json::Value = serde_json::from_slice(&entries["index.json"]).unwrap();
        assert_eq!(index["manifests"][1]["annotations"]["io.containerd.image.name"], "docker.io/library/b:2");
    }
}
