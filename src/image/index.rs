//! Owns multi-platform indexes: the index of a base, and the same index with baked images instead.

use serde_json::value::RawValue;

use super::digest::Digest;
use super::json::RawObject;
use super::{Base, Image, ImageError, ImageIndex, media};

/// The hint for a target that cannot hold an index.
pub const WHERE: &str = "use docker://HOST/REPO:TAG, oci:DIR or oci-archive:FILE, or bake one platform with --platform";

/// The index of a multi-platform base.
#[derive(Debug, Clone)]
pub struct BaseIndex {
    /// The exact bytes.
    pub document: Vec<u8>,
    pub media_type: String,
    /// The entry of each image, also of images in nested indexes.
    pub images: Vec<RawObject>,
    /// How many entries are attestations and the like.
    pub others: usize,
}

impl BaseIndex {
    /// Tells whether the index only stands in front of an image with Docker's media types, as a layout has it.
    pub fn is_front_of(&self, images: &[Base]) -> bool {
        let [image] = images else { return false };
        let manifest = RawObject::parse(&image.manifest).ok();
        let media_type = manifest.and_then(|manifest| manifest.read::<String>("mediaType").ok().flatten());
        self.media_type == media::OCI_INDEX && media_type.as_deref() == Some(media::DOCKER_MANIFEST)
    }

    /// Returns the digest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.document)
    }

    /// Replaces the base's images by baked ones, in the same order. Platforms, annotations and the rest of the index are kept;
    /// attestations are left out, and images of nested indexes are listed by the index itself.
    pub fn with(&self, images: Vec<Image>) -> Result<ImageIndex, ImageError> {
        let malformed = |_| ImageError::Malformed("index");
        let mut object = RawObject::parse(&self.document).map_err(malformed)?;
        let mut baked = Vec::new();
        for (mut entry, image) in self.images.iter().cloned().zip(&images) {
            entry.set("digest", image.manifest_digest().as_str());
            entry.set("size", &image.manifest.len());
            // a copy of the base's own manifest
            entry.remove("data");
            baked.push(serde_json::value::to_raw_value(&entry).map_err(malformed)?);
        }
        if self.images.len() != images.len() {
            return Err(ImageError::Malformed("index"));
        }
        object.set::<[Box<RawValue>]>("manifests", &baked);
        Ok(ImageIndex { document: object.to_bytes(), media_type: self.media_type.clone(), images })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::config::Config;
    use crate::image::platform::Platform;
    use crate::secret::SecretBytes;

    fn image(manifest: &str) -> Image {
        Image {
            manifest: manifest.as_bytes().to_vec(),
            config: SecretBytes::new(Vec::new()),
            layers: Vec::new(),
            diff_ids: Vec::new(),
            platform: Platform::host(),
            config_has_values: false,
        }
    }

    #[test]
    fn an_index_in_front_of_one_docker_image_is_how_a_layout_has_it() {
        let base = |media_type: &str| Base {
            digest: None,
            index: None,
            manifest: format!(r#"{{"mediaType":"{media_type}"}}"#).into_bytes(),
            config: Config::parse(b"{}".to_vec()).unwrap(),
        };
        let index = |media_type: &str| BaseIndex {
            document: Vec::new(),
            media_type: media_type.to_owned(),
            images: Vec::new(),
            others: 0,
        };
        let docker = || base(media::DOCKER_MANIFEST);
        assert!(index(media::OCI_INDEX).is_front_of(&[docker()]));
        assert!(!index(media::OCI_INDEX).is_front_of(&[base("application/vnd.oci.image.manifest.v1+json")]));
        assert!(!index(media::OCI_INDEX).is_front_of(&[docker(), docker()]));
        assert!(!index("application/vnd.docker.distribution.manifest.list.v2+json").is_front_of(&[docker()]));
    }

    #[test]
    fn only_what_names_an_image_changes() {
        let index = BaseIndex {
            document: br#"{"a":1.0,"manifests":[{"digest":"sha256:1","size":1,"platform":{"os":"linux","x":1e1},"data":"e30="},{"digest":"sha256:2","size":2}],"annotations":{"k":"v"}}"#.to_vec(),
            media_type: "m".to_owned(),
            images: vec![RawObject::parse(br#"{"digest":"sha256:1","size":1,"platform":{"os":"linux","x":1e1},"data":"e30="}"#).unwrap()],
            others: 1,
        };
        let baked = index.with(vec![image("{}")]).unwrap();
        let expected = format!(
            r#"{{"a":1.0,"manifests":[{{"digest":"{}","size":2,"platform":{{"os":"linux","x":1e1}}}}],"annotations":{{"k":"v"}}}}"#,
            Digest::of(b"{}")
        );
        assert_eq!(String::from_utf8(baked.document).unwrap(), expected);
        assert_eq!((index.others, baked.media_type.as_str()), (1, "m"));
        assert_eq!(index.with(vec![image("{}"), image("[]")]).err(), Some(ImageError::Malformed("index")));
    }
}
