//! Owns what an image consists of when it is written: each blob once, with its bytes or as a layer of the base, and the documents
//! that name them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::document::{Descriptor, Document, ImageManifest};
use super::index::Index;
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::platform::Platform;
use crate::image::{Image, ImageIndex, NewImage, media};
use crate::store::error::{StoreError, internal};

/// What is written under a tag: an image, or the images of an index.
pub struct ImageParts<'a> {
    /// Layers and configs; no digest twice.
    pub blobs: Vec<BlobPart<'a>>,
    /// The launchers' layers, which every other baked image has too: the lowest of two new ones.
    pub shared: BTreeSet<Digest>,
    /// The manifests that an index lists; no digest twice.
    pub nested: Vec<NewDocument<'a>>,
    /// What the tags come to stand for: a manifest or an index.
    pub root: NewDocument<'a>,
    /// `None` for an index.
    pub platform: Option<&'a Platform>,
}

/// A blob to be written.
pub struct BlobPart<'a> {
    pub digest: Digest,
    pub size: u64,
    /// `None` for a layer of the base.
    pub bytes: Option<&'a [u8]>,
}

/// A manifest or an index to be written.
pub struct NewDocument<'a> {
    pub descriptor: Descriptor,
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> NewDocument<'a> {
    /// Describes a document.
    pub fn new(bytes: impl Into<Cow<'a, [u8]>>, media_type: &str) -> Self {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        let (size, media_type) = (bytes.len() as u64, media_type.to_owned());
        NewDocument {
            descriptor: Descriptor { media_type, digest, size, platform: None, annotations: Default::default() },
            bytes,
        }
    }

    /// Returns the document as one more blob, as a layout has it.
    pub fn part(&self) -> BlobPart<'_> {
        BlobPart { digest: self.descriptor.digest.clone(), size: self.descriptor.size, bytes: Some(&self.bytes) }
    }
}

impl<'a> ImageParts<'a> {
    /// Returns what has these blobs and one document.
    pub fn for_document(blobs: Vec<BlobPart<'a>>, root: NewDocument<'a>) -> Self {
        ImageParts { blobs, shared: BTreeSet::new(), nested: Vec::new(), root, platform: None }
    }

    /// Takes what a bake made apart.
    ///
    /// # Errors
    /// As those of [`ImageParts::from_image`].
    pub fn from_new(image: &'a NewImage) -> Result<Self, StoreError> {
        match image {
            NewImage::Image(image) => ImageParts::from_image(image),
            NewImage::Index(index) => ImageParts::from_index(index),
        }
    }

    /// Takes an image apart, and proves that its manifest describes just what it has.
    ///
    /// # Errors
    /// A diagnosis that is a bug of this program, and not of anything the user did.
    pub fn from_image(image: &'a Image) -> Result<Self, StoreError> {
        let references = references(image)?;
        let root = NewDocument::new(image.manifest.as_slice(), &references.media_type);
        let mut parts = ImageParts { platform: Some(&image.platform), ..ImageParts::for_document(Vec::new(), root) };
        parts.add_blobs(image, &references)?;
        Ok(parts)
    }

    /// Takes the images of an index apart, as [`ImageParts::from_image`] does one.
    ///
    /// # Errors
    /// A diagnosis that is a bug of this program, and not of anything the user did.
    fn from_index(index: &'a ImageIndex) -> Result<Self, StoreError> {
        let root = NewDocument::new(index.document.as_slice(), &index.media_type);
        let mut parts = ImageParts::for_document(Vec::new(), root);
        for image in &index.images {
            let references = references(image)?;
            parts.add_blobs(image, &references)?;
            let manifest = NewDocument::new(image.manifest.as_slice(), &references.media_type);
            if parts.nested.iter().all(|other| other.descriptor.digest != manifest.descriptor.digest) {
                parts.nested.push(manifest);
            }
        }
        Ok(parts)
    }

    /// Puts an index of one in front of an image of Docker's media types: skopeo and Podman look for a layout's tag among OCI's
    /// only. The image keeps its digest.
    #[must_use]
    pub fn for_layout(mut self) -> Self {
        if self.root.descriptor.media_type == media::DOCKER_MANIFEST {
            let front = Index::for_image(&self.root.descriptor, self.platform.take()).to_bytes();
            let image = std::mem::replace(&mut self.root, NewDocument::new(front, media::OCI_INDEX));
            self.nested.push(image);
        }
        self
    }

    /// Warns of what skopeo and Podman do not find in a layout: an index of Docker's media type, in front of which none helps them.
    pub fn hidden(&self, shown: &str) -> Option<Diagnostic> {
        (self.root.descriptor.media_type == media::DOCKER_LIST).then(|| {
            Diagnostic::warning("docker-types-in-layout", format!("skopeo and Podman do not find the images of `{shown}`"))
                .cause("they look for a tag among OCI's media types only, and the index has Docker's, as its base")
                .hint("take a base with OCI's, as `skopeo copy --all --format oci docker://HOST/REPO:TAG oci:DIR:TAG` writes it")
        })
    }

    /// Reads the manifest of an image.
    pub fn manifest(&self) -> Result<ImageManifest, StoreError> {
        match Document::read(&self.root.bytes, &self.root.descriptor.media_type) {
            Ok(Document::Manifest(manifest)) => Ok(manifest),
            _ => Err(wrong("is an index, and an image was expected")),
        }
    }

    /// Returns the manifests, and the index behind them.
    pub fn documents(&self) -> impl Iterator<Item = &NewDocument<'a>> {
        self.nested.iter().chain([&self.root])
    }

    /// Returns what every blob and document is named by.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        let documents = self.documents().map(|document| &document.descriptor.digest);
        self.blobs.iter().map(|blob| &blob.digest).chain(documents)
    }

    fn add_blobs(&mut self, image: &'a Image, references: &ImageManifest) -> Result<(), StoreError> {
        if let [launcher, _, ..] = &image.layers[..] {
            self.shared.insert(launcher.digest.clone());
        }
        let base = references.layers.len().checked_sub(image.layers.len());
        let base = base.ok_or_else(|| wrong("has fewer layers in its manifest than it is made of"))?;
        for (index, layer) in references.layers.iter().enumerate() {
            let new = index.checked_sub(base).map(|index| image.layers[index].gzip.expose());
            if new.is_some_and(|bytes| layer.digest != Digest::of(bytes) || layer.size != bytes.len() as u64) {
                return Err(wrong("has another layer than its manifest says"));
            }
            self.add(layer.digest.clone(), layer.size, new);
        }
        self.add(references.config.digest.clone(), references.config.size, Some(image.config.expose()));
        Ok(())
    }

    fn add(&mut self, digest: Digest, size: u64, bytes: Option<&'a [u8]>) {
        match self.blobs.iter_mut().find(|part| part.digest == digest) {
            // a new layer that the base has already
            Some(part) => part.bytes = part.bytes.or(bytes),
            None => self.blobs.push(BlobPart { digest, size, bytes }),
        }
    }
}

/// Reads an image's own manifest.
fn references(image: &Image) -> Result<ImageManifest, StoreError> {
    let Ok(Document::Manifest(references)) = Document::read(&image.manifest, "") else {
        return Err(wrong("has a manifest that is none"));
    };
    let config = image.config.expose();
    if references.config.digest != Digest::of(config) || references.config.size != config.len() as u64 {
        return Err(wrong("has another config than its manifest says"));
    }
    if references.layers.len() != image.diff_ids.len() {
        return Err(wrong("has not one diff ID for each layer"));
    }
    Ok(references)
}

fn wrong(what: &str) -> StoreError {
    internal(format!("the new image {what}"))
}
