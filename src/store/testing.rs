//! Owns the images that the tests of stores read and write.

use std::fs;
use std::path::Path;

use crate::image::digest::Digest;
use crate::image::layer::Layer;
use crate::image::name::ImageName;
use crate::image::platform::{Platform, Platforms};
use crate::image::provenance;
use crate::image::{Base, BaseImage, Image, NewImage, media};
use crate::secret::SecretBytes;
use crate::store::{BaseSource, ImageStore, LayerSource, Put, StoreError, make_base};

/// Returns a tar with files.
pub fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Returns an OCI layer, compressed.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// Returns a descriptor's JSON.
pub fn descriptor(media_type: &str, bytes: &[u8]) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#, Digest::of(bytes), bytes.len())
}

/// A base with one compressed layer.
pub struct TestBase {
    pub layer: Vec<u8>,

    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
}

impl TestBase {
    pub fn new(architecture: &str, files: &[(&str, &str)]) -> Self {
        let tar = tar(files);
        let diff_id = Digest::of(&tar);
        let layer = gzip(&tar);
        let config = format!(
            r#"{{"architecture":"{architecture}","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
        )
        .into_bytes();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
            media::OCI_MANIFEST,
            descriptor(media::OCI_CONFIG, &config),
            descriptor(media::OCI_LAYER_GZIP, &layer),
        )
        .into_bytes();
        TestBase { layer, config, manifest }
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// Writes the base's blobs into a layout's directory.
    pub fn put_blobs(&self, directory: &Path) {
        for blob in [&self.layer, &self.config, &self.manifest] {
            put_blob(directory, blob);
        }
    }

    /// Writes a layout that has the base under a tag.
    pub fn put(&self, directory: &Path, tag: &str) {
        self.put_blobs(directory);
        let entry = tagged(descriptor(media::OCI_MANIFEST, &self.manifest), tag);
        put_index(directory, &[entry]);
    }

    /// Appends a layer with a secret, as a bake does.
    pub fn bake(&self, secret: &str) -> Image {
        self.as_base().bake(secret)
    }

    pub fn as_base(&self) -> Base {
        make_base("test", Some(self.digest()), self.manifest.clone(), self.config.clone()).unwrap()
    }
}

pub trait BakeTest {
    fn bake(&self, secret: &str) -> Image;
}

impl BakeTest for Base {
    fn bake(&self, secret: &str) -> Image {
        let layer = Layer::new(&SecretBytes::new(tar(&[(".secretbake/env", secret)])), "test");
        let mut config: serde_json::Value = serde_json::from_slice(self.config.bytes()).unwrap();
        config["config"] = serde_json::json!({ "Labels": { (provenance::LABEL): "{}" } });
        let ids = config["rootfs"]["diff_ids"].as_array_mut().unwrap();
        ids.push(layer.diff_id.as_str().into());
        let diff_ids = ids.iter().map(|id| Digest::parse(id.as_str().unwrap()).unwrap()).collect();
        let config = config.to_string().into_bytes();
        let mut manifest: serde_json::Value = serde_json::from_slice(&self.manifest).unwrap();
        manifest["config"] = serde_json::from_str(&descriptor(media::OCI_CONFIG, &config)).unwrap();
        let added = serde_json::from_str(&descriptor(media::OCI_LAYER_GZIP, layer.gzip.expose())).unwrap();
        manifest["layers"].as_array_mut().unwrap().push(added);
        Image {
            manifest: manifest.to_string().into_bytes(),
            config: SecretBytes::new(config),
            layers: vec![layer],
            diff_ids,
            platform: Platform::host(),
            config_has_values: false,
        }
    }
}

/// Reads one platform's image.
pub async fn read(store: &impl ImageStore, name: &ImageName, platform: Option<&Platform>) -> Result<Base, StoreError> {
    match store.read(name, &Platforms::one(platform)).await? {
        BaseImage::One(base) => Ok(base),
        BaseImage::Index(..) => panic!("an index was not asked for"),
    }
}

/// Writes an image whose base's layers are at `from`.
pub async fn put<S: LayerSource>(
    store: &impl ImageStore,
    image: &Image,
    tags: &[&ImageName],
    from: (&S, &ImageName),
) -> Result<Put, StoreError> {
    let base = BaseSource { store: from.0, name: from.1, progress: None };
    store.put(&NewImage::Image(image.clone()), tags, base).await
}

/// Writes an image whose base is where the first tag is.
pub async fn put_beside<S: ImageStore + LayerSource>(
    store: &S,
    image: &Image,
    tags: &[&ImageName],
) -> Result<Put, StoreError> {
    put(store, image, tags, (store, tags[0])).await
}

/// Adds a tag to a descriptor's JSON.
pub fn tagged(descriptor: String, tag: &str) -> String {
    let annotations = format!(r#","annotations":{{"org.opencontainers.image.ref.name":"{tag}"}}}}"#);
    format!("{}{annotations}", descriptor.strip_suffix('}').unwrap())
}

pub fn put_blob(directory: &Path, bytes: &[u8]) {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(Digest::of(bytes).hex()), bytes).unwrap();
}

pub fn put_index(directory: &Path, entries: &[String]) {
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    fs::write(directory.join("index.json"), index).unwrap();
    fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

pub fn name(transport: &str, path: &Path, tag: &str) -> ImageName {
    let tag = if tag.is_empty() { String::new() } else { format!(":{tag}") };
    ImageName::parse(&format!("{transport}:{}{tag}", path.display())).unwrap()
}

/// Lists every file beneath a directory, sorted.
pub fn files(directory: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                all.push(path.strip_prefix(directory).unwrap().display().to_string());
            }
        }
    }
    all.sort();
    all
}
