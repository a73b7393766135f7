//! Owns the empty base: no layer, and a config with only the platform.

use super::{BaseSource, ImageStore, LayerSource, Put, StoreError, make_base};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::json::RawObject;
use crate::image::manifest::new_manifest;
use crate::image::name::ImageName;
use crate::image::platform::{Platform, Platforms};
use crate::image::tree::{Entry, PathQuery, Tree};
use crate::image::{Base, BaseImage, NewImage};

/// The store of `scratch`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScratchStore;

impl ImageStore for ScratchStore {
    async fn read(&self, name: &ImageName, platforms: &Platforms) -> Result<BaseImage, StoreError> {
        let platform = platforms.asked().cloned().unwrap_or_else(Platform::host);
        let config = config(&platform);
        let manifest = new_manifest(&config, &[]);
        make_base(&name.to_string(), None, manifest, config).map(BaseImage::One)
    }

    async fn look_up(&self, _name: &ImageName, _base: &Base, paths: &PathQuery) -> Result<Tree, StoreError> {
        Ok(paths.all().iter().map(|path| (path.clone(), Entry::Absent)).collect())
    }

    async fn tag_state(&self, _name: &ImageName) -> Result<Option<Digest>, StoreError> {
        Ok(None)
    }

    async fn put<S: LayerSource>(
        &self,
        _image: &NewImage,
        _tags: &[&ImageName],
        _base: BaseSource<'_, S>,
    ) -> Result<Put, StoreError> {
        let diagnostic =
            Diagnostic::error("scratch-not-writable", "`scratch` is only a base: no image can be written to it")
                .hint("name another target with -t, such as crew-research:1.4.2 or oci:build/image:1.4.2");
        Err(diagnostic.into())
    }
}

// the keys have a fixed order: the digest of every image on scratch depends on it
fn config(platform: &Platform) -> Vec<u8> {
    let mut rootfs = RawObject::default();
    rootfs.set("type", "layers");
    rootfs.set::<[&str]>("diff_ids", &[]);
    let mut config = RawObject::default();
    config.set("created", "1970-01-01T00:00:00Z");
    config.set("architecture", &platform.architecture);
    if let Some(variant) = &platform.variant {
        config.set("variant", variant);
    }
    config.set("os", &platform.os);
    config.set("config", &RawObject::default());
    config.set("rootfs", &rootfs);
    config.to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::oci::document::{Document, config_platform};
    use crate::store::testing::read;

    #[tokio::test]
    async fn scratch_is_an_image_without_layers() {
        let arm = Platform::parse("linux/arm64/v8").unwrap();
        let base = read(&ScratchStore, &ImageName::Scratch, Some(&arm)).await.unwrap();
        let Ok(Document::Manifest(manifest)) = Document::read(&base.manifest, "") else { panic!("no manifest") };
        assert_eq!(manifest.config.digest, Digest::of(base.config.bytes()));
        assert!(manifest.layers.is_empty() && base.digest.is_none());
        assert_eq!(config_platform(base.config.bytes()), Some(arm));
        let host = read(&ScratchStore, &ImageName::Scratch, None).await.unwrap();
        assert_eq!(config_platform(host.config.bytes()), Some(Platform::host()));
    }
}
