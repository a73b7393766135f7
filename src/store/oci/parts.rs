//! Owns the parts of an image to be written: each blob once, as bytes or as a layer of the base, and the documents that list them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::document::{Descriptor, Document, ImageManifest};
use super::index::Index;
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::platform::Platform;
use crate::image::{Image, ImageIndex, NewImage, media};
use crate::store::error::{StoreError, internal};

/// The parts of an image, or of the images of an index.
pub(crate) struct ImageParts<'a> {
    /// Layers and configs; no digest twice.
    pub blobs: Vec<BlobPart<'a>>,
    /// The launchers' layers, which other baked images have too.
    pub shared: BTreeSet<Digest>,
    /// The manifests that an index lists; no digest twice.
    pub nested: Vec<NewDocument<'a>>,
    /// What the tags will point to: a manifest or an index.
    pub root: NewDocument<'a>,
    /// `None` for an index.
    pub platform: Option<&'a Platform>,
}

/// A blob to be written.
pub(crate) struct BlobPart<'a> {
    pub digest: Digest,
    pub size: u64,
    /// `None` for a layer of the base.
    pub bytes: Option<&'a [u8]>,
}

/// A manifest or an index to be written.
pub(crate) struct NewDocument<'a> {
    pub descriptor: Descriptor,
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> NewDocument<'a> {
    /// Makes the document's descriptor.
    pub(crate) fn new(bytes: impl Into<Cow<'a, [u8]>>, media_type: &str) -> Self {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        let (size, media_type) = (bytes.len() as u64, media_type.to_owned());
        NewDocument {
            descriptor: Descriptor { media_type, digest, size, platform: None, annotations: Default::default() },
            bytes,
        }
    }

    /// Returns the document as a blob.
    pub(crate) fn part(&self) -> BlobPart<'_> {
        BlobPart { digest: self.descriptor.digest.clone(), size: self.descriptor.size, bytes: Some(&self.bytes) }
    }
}

impl<'a> ImageParts<'a> {
    /// Returns the parts of one document with these blobs.
    pub(crate) fn for_document(blobs: Vec<BlobPart<'a>>, root: NewDocument<'a>) -> Self {
        ImageParts { blobs, shared: BTreeSet::new(), nested: Vec::new(), root, platform: None }
    }

    /// Splits the result of a bake into parts.
    pub(crate) fn from_new(image: &'a NewImage) -> Result<Self, StoreError> {
        match image {
            NewImage::Image(image) => ImageParts::from_image(image),
            NewImage::Index(index) => ImageParts::from_index(index),
        }
    }

    /// Splits an image into parts, and verifies that its manifest lists exactly these. A failure is a bug of this program.
    pub(crate) fn from_image(image: &'a Image) -> Result<Self, StoreError> {
        let references = references(image)?;
        let root = NewDocument::new(image.manifest.as_slice(), &references.media_type);
        let mut parts = ImageParts { platform: Some(&image.platform), ..ImageParts::for_document(Vec::new(), root) };
        parts.add_blobs(image, &references)?;
        Ok(parts)
    }

    /// Splits the images of an index, like [`ImageParts::from_image`].
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

    /// Puts an index in front of an image with Docker's media types, since skopeo and Podman look for a layout's tag only among OCI's. The
    /// image keeps its digest.
    #[must_use]
    pub(crate) fn for_layout(mut self) -> Self {
        if self.root.descriptor.media_type == media::DOCKER_MANIFEST {
            let front = Index::for_image(&self.root.descriptor, self.platform.take()).to_bytes();
            let image = std::mem::replace(&mut self.root, NewDocument::new(front, media::OCI_INDEX));
            self.nested.push(image);
        }
        self
    }

    /// Warns of an index with Docker's media type, which skopeo and Podman do not find in a layout.
    pub(crate) fn hidden(&self, shown: &str) -> Option<Diagnostic> {
        (self.root.descriptor.media_type == media::DOCKER_LIST).then(|| {
            Diagnostic::warning("docker-types-in-layout", format!("skopeo and Podman do not find the images of `{shown}`"))
                .cause("they look for a tag among OCI's media types only, and the index has Docker's, like its base")
                .hint("use a base with OCI's media types: `skopeo copy --all --format oci docker://HOST/REPO:TAG oci:DIR:TAG`")
        })
    }

    /// Reads the manifest of an image.
    pub(crate) fn manifest(&self) -> Result<ImageManifest, StoreError> {
        match Document::read(&self.root.bytes, &self.root.descriptor.media_type) {
            Ok(Document::Manifest(manifest)) => Ok(manifest),
            _ => Err(wrong("is an index, and an image was expected")),
        }
    }

    /// Returns the manifests of the index, and the root last.
    pub(crate) fn documents(&self) -> impl Iterator<Item = &NewDocument<'a>> {
        self.nested.iter().chain([&self.root])
    }

    /// Returns the digest of every blob and document.
    pub(crate) fn digests(&self) -> impl Iterator<Item = &Digest> {
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
            // the base has the same layer
            Some(part) => part.bytes = part.bytes.or(bytes),
            None => self.blobs.push(BlobPart { digest, size, bytes }),
        }
    }
}

/// Reads an image's own manifest.
fn references(image: &Image) -> Result<ImageManifest, StoreError> {
    let Ok(Document::Manifest(references)) = Document::read(&image.manifest, "") else {
        return Err(wrong("has an invalid manifest"));
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
