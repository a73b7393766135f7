//! Owns the parsing of indexes, manifests and descriptors, none of which is trusted.

use std::collections::BTreeMap;

use crate::image::digest::Digest;
use crate::image::json::RawObject;
use crate::image::media;
use crate::image::platform::Platform;
use crate::image::provenance;

/// What is wrong with a document: a clause without its subject, such as "has no digest".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw(pub &'static str);

/// A reference to a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Empty if the document has none.
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    pub platform: Option<Platform>,
    pub annotations: BTreeMap<String, String>,
}

/// A manifest's references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    /// `application/vnd.oci.image.manifest.v1+json` if the manifest has none.
    pub media_type: String,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

/// What an index may list.
#[derive(Debug, Clone)]
pub enum Document {
    Index(ImageList),
    Manifest(ImageManifest),
}

/// An index's references.
#[derive(Debug, Clone)]
pub struct ImageList {
    /// `application/vnd.oci.image.index.v1+json` if the index has none.
    pub media_type: String,
    pub entries: Vec<IndexEntry>,
}

/// An entry of an index.
#[derive(Debug, Clone)]
pub struct IndexEntry {
    /// The entry's JSON.
    pub written: RawObject,
    pub descriptor: Descriptor,
}

impl Descriptor {
    /// Reads a descriptor.
    pub fn read(object: &RawObject) -> Result<Self, Flaw> {
        let digest: String = object.read("digest").ok().flatten().ok_or(Flaw("has a descriptor without a digest"))?;
        let digest = Digest::parse(&digest).ok_or(Flaw("has a digest that is not sha256"))?;
        let size = object.read("size").ok().flatten().ok_or(Flaw("has a descriptor without a size"))?;
        let media_type = object.read::<Option<String>>("mediaType").map_err(|_| Flaw("has a wrong media type"))?;
        let platform = object.read::<Option<Platform>>("platform").map_err(|_| Flaw("has a wrong platform"))?.flatten();
        let annotations = object
            .read::<Option<BTreeMap<String, String>>>("annotations")
            .map_err(|_| Flaw("has wrong annotations"))?
            .flatten()
            .unwrap_or_default();
        Ok(Descriptor { media_type: media_type.flatten().unwrap_or_default(), digest, size, platform, annotations })
    }

    /// Tells whether it refers to an image, and not to an attestation of BuildKit.
    pub fn is_image(&self) -> bool {
        let unknown = self.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
        !unknown && !self.annotations.contains_key("vnd.docker.reference.type")
    }
}

/// Reads a list of descriptors; absence and `null` are the empty list.
pub fn descriptors(object: &RawObject, key: &str) -> Result<Vec<Descriptor>, Flaw> {
    Ok(entries(object, key)?.into_iter().map(|entry| entry.descriptor).collect())
}

/// Reads a list of descriptors, each with its JSON.
pub fn entries(object: &RawObject, key: &str) -> Result<Vec<IndexEntry>, Flaw> {
    let list = object.read::<Option<Vec<RawObject>>>(key).map_err(|_| Flaw("has a wrong list of descriptors"))?;
    let read = |written| Ok(IndexEntry { descriptor: Descriptor::read(&written)?, written });
    list.flatten().unwrap_or_default().into_iter().map(read).collect()
}

impl Document {
    /// Reads an index or a manifest. `media_type` is that of its descriptor; the document's own takes precedence.
    pub fn read(bytes: &[u8], media_type: &str) -> Result<Self, Flaw> {
        let object = RawObject::parse(bytes).map_err(|_| Flaw("is not a JSON object"))?;
        // another tool could read it as another image
        if object.get("manifests").is_some() && (object.get("layers").is_some() || object.get("config").is_some()) {
            return Err(Flaw("is an index and a manifest at once"));
        }
        let own = object.read::<Option<String>>("mediaType").map_err(|_| Flaw("has a wrong media type"))?.flatten();
        let media_type = own.unwrap_or_else(|| media_type.to_owned());
        match media_type.as_str() {
            media::OCI_INDEX | media::DOCKER_LIST => {
                Ok(Document::Index(ImageList { media_type, entries: entries(&object, "manifests")? }))
            }
            "" if object.get("manifests").is_some() => {
                let media_type = media::OCI_INDEX.to_owned();
                Ok(Document::Index(ImageList { media_type, entries: entries(&object, "manifests")? }))
            }
            media::OCI_MANIFEST | media::DOCKER_MANIFEST | "" => {
                let config = object.inner("config").map_err(|_| Flaw("has a wrong config descriptor"))?;
                let config = Descriptor::read(&config)?;
                let layers = descriptors(&object, "layers")?;
                let media_type = if media_type.is_empty() { media::OCI_MANIFEST.to_owned() } else { media_type };
                Ok(Document::Manifest(ImageManifest { media_type, config, layers }))
            }
            _ => Err(Flaw("is not an image: its media type is neither OCI's nor Docker's")),
        }
    }
}

/// Reads the platform of a config; `None` if it has none.
pub fn config_platform(config: &[u8]) -> Option<Platform> {
    serde_json::from_slice(config).ok()
}

/// Tells whether a config has the label of a baked image.
pub fn is_baked(config: &[u8]) -> bool {
    let label = || {
        let config = RawObject::parse(config).ok()?.inner("config").ok()?;
        config.inner("Labels").ok()?.get(provenance::LABEL).map(|_| ())
    };
    label().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIPTOR: &str =
        r#"{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}"#;

    #[test]
    fn what_is_no_image_document_is_refused() {
        for (text, media_type, flaw) in [
            ("", "", "is not a JSON object"),
            ("[]", "", "is not a JSON object"),
            (r#"{"manifests":[],"layers":[]}"#, "", "is an index and a manifest at once"),
            (r#"{"manifests":{}}"#, "", "has a wrong list of descriptors"),
            (r#"{"mediaType":7}"#, "", "has a wrong media type"),
            ("{}", "", "has a descriptor without a digest"),
            (r#"{"config":{"digest":"sha512:00"}}"#, "", "has a digest that is not sha256"),
            (r#"{"config":{"digest":"sha256:../../x"}}"#, "", "has a digest that is not sha256"),
            ("{}", "text/plain", "is not an image: its media type is neither OCI's nor Docker's"),
        ] {
            assert_eq!(Document::read(text.as_bytes(), media_type).err(), Some(Flaw(flaw)), "{text}");
        }
        let negative = DESCRIPTOR.replace(":0}", ":-1}");
        let object = RawObject::parse(negative.as_bytes()).unwrap();
        assert_eq!(Descriptor::read(&object), Err(Flaw("has a descriptor without a size")));
    }

    #[test]
    fn an_old_document_without_a_media_type_is_told_by_its_fields() {
        let manifest = format!(r#"{{"config":{DESCRIPTOR},"layers":[{DESCRIPTOR}]}}"#);
        assert!(matches!(Document::read(manifest.as_bytes(), ""), Ok(Document::Manifest(_))));
        let index = format!(r#"{{"manifests":[{DESCRIPTOR}]}}"#);
        assert!(matches!(Document::read(index.as_bytes(), ""), Ok(Document::Index(_))));
    }

    #[test]
    fn a_baked_config_is_known_by_its_label() {
        assert!(is_baked(br#"{"config":{"Labels":{"dev.secretbake.provenance":"{}"}}}"#));
        assert!(!is_baked(br#"{"config":{"Labels":null}}"#));
        assert!(!is_baked(b"{"));
    }
}
