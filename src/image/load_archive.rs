//! Owns the archive of a partial load: a tar that holds only what is new, in the shapes of an OCI layout and of `docker save` at once.
//!
//! A containerd image store and Podman read the layout, a graphdriver engine reads `manifest.json`. The base's layers are named
//! and not contained: each engine finds those that it has before it opens their files.

use serde::Serialize;

use super::digest::Digest;
use super::{Image, ImageError, media};
use crate::secret::{SecretBuffer, SecretBytes};

/// A name that the image is loaded under.
pub struct LoadName {
    /// `HOST/PATH:TAG` in full.
    pub full: String,
    /// `NAME:TAG` as the engine shows it.
    pub familiar: String,
    pub tag: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u32,
    media_type: &'a str,
    manifests: Vec<IndexEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexEntry<'a> {
    media_type: &'a str,
    digest: &'a str,
    size: usize,
    annotations: Annotations<'a>,
}

#[derive(Serialize)]
struct Annotations<'a> {
    #[serde(rename = "io.containerd.image.name")]
    name: &'a str,
    #[serde(rename = "org.opencontainers.image.ref.name")]
    tag: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Saved<'a> {
    config: String,
    repo_tags: Vec<&'a str>,
    layers: Vec<String>,
}

/// Writes the archive.
///
/// # Errors
/// A manifest that is not JSON.
pub fn write(image: &Image, names: &[LoadName]) -> Result<SecretBytes, ImageError> {
    let malformed = || ImageError::Malformed("manifest");
    let manifest_type = super::json::RawObject::parse(&image.manifest)
        .and_then(|manifest| manifest.read::<String>("mediaType"))
        .map_err(|_| malformed())?;
    let manifest_digest = image.manifest_digest();
    let config_digest = image.config_digest();
    let index = Index {
        schema_version: 2,
        media_type: media::OCI_INDEX,
        manifests: names
            .iter()
            .map(|name| IndexEntry {
                media_type: manifest_type.as_deref().unwrap_or(media::OCI_MANIFEST),
                digest: manifest_digest.as_str(),
                size: image.manifest.len(),
                annotations: Annotations { name: &name.full, tag: &name.tag },
            })
            .collect(),
    };
    let saved = [Saved {
        config: blob(&config_digest),
        repo_tags: names.iter().map(|name| name.familiar.as_str()).collect(),
        layers: image.diff_ids.iter().map(blob).collect(),
    }];
    let index = serde_json::to_vec(&index).map_err(|_| malformed())?;
    let saved = serde_json::to_vec(&saved).map_err(|_| malformed())?;

    let (manifest_path, config_path) = (blob(&manifest_digest), blob(&config_digest));
    let mut files: Vec<(String, &[u8])> = vec![
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json".to_owned(), &index),
        ("manifest.json".to_owned(), &saved),
        (manifest_path, &image.manifest),
        (config_path, image.config.expose()),
    ];
    files.extend(image.layers.iter().map(|layer| (blob(&layer.diff_id), layer.bytes.expose())));

    let size: usize = files.iter().map(|(_, content)| content.len() + 2 * 512).sum();
    let mut tar = tar::Builder::new(SecretBuffer::with_capacity(size + 1024));
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o600);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content).map_err(|_| ImageError::Malformed("archive"))?;
    }
    Ok(tar.into_inner().map_err(|_| ImageError::Malformed("archive"))?.finish())
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
