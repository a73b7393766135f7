//! Owns what an image consists of when it is written: each blob once, with its bytes or as a layer of the base.

use super::document::{Descriptor, Document};
use crate::error::Diagnostic;
use crate::image::Image;
use crate::image::digest::Digest;
use crate::store::StoreError;

/// An image's blobs, in the order in which they are written.
pub struct Parts<'a> {
    /// The layers, the config and the manifest; no digest twice.
    pub blobs: Vec<Part<'a>>,
    pub manifest: Descriptor,
    pub config: Digest,
    /// Every layer, the base's first; one may be there twice.
    pub layers: Vec<Descriptor>,
}

/// A blob to be written.
pub struct Part<'a> {
    pub digest: Digest,
    pub size: u64,
    /// `None` for a layer of the base.
    pub bytes: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// Takes the image apart, and proves that its manifest describes just what it has.
    ///
    /// # Errors
    /// A diagnosis that is a bug of this program, and not of anything the user did.
    pub fn of(image: &'a Image) -> Result<Self, StoreError> {
        let wrong = |what: &str| -> StoreError {
            Diagnostic::error("internal", format!("the new image {what}")).hint("please report this").into()
        };
        let Ok(Document::Manifest(references)) = Document::read(&image.manifest, "") else {
            return Err(wrong("has a manifest that is none"));
        };
        let config = image.config.expose();
        if references.config.digest != Digest::of(config) || references.config.size != config.len() as u64 {
            return Err(wrong("has another config than its manifest says"));
        }
        let base = references.layers.len().checked_sub(image.layers.len());
        let base = base.ok_or_else(|| wrong("has fewer layers in its manifest than it is made of"))?;
        if references.layers.len() != image.diff_ids.len() {
            return Err(wrong("has not one diff ID for each layer"));
        }

        let mut parts = Parts {
            blobs: Vec::new(),
            manifest: Descriptor {
                media_type: references.media_type.clone(),
                digest: image.manifest_digest(),
                size: image.manifest.len() as u64,
                platform: None,
                annotations: Default::default(),
            },
            config: references.config.digest.clone(),
            layers: references.layers.clone(),
        };
        for (index, layer) in references.layers.iter().enumerate() {
            let new = index.checked_sub(base).map(|index| image.layers[index].bytes.expose());
            if new.is_some_and(|bytes| layer.digest != Digest::of(bytes) || layer.size != bytes.len() as u64) {
                return Err(wrong("has another layer than its manifest says"));
            }
            parts.add(layer.digest.clone(), layer.size, new);
        }
        parts.add(parts.config.clone(), references.config.size, Some(config));
        parts.add(parts.manifest.digest.clone(), parts.manifest.size, Some(&image.manifest));
        Ok(parts)
    }

    fn add(&mut self, digest: Digest, size: u64, bytes: Option<&'a [u8]>) {
        match self.blobs.iter_mut().find(|part| part.digest == digest) {
            // a new layer that the base has already
            Some(part) => part.bytes = part.bytes.or(bytes),
            None => self.blobs.push(Part { digest, size, bytes }),
        }
    }
}
