//! Owns the reading of a layout, in a directory or in a tar: from a tag through nested indexes to a manifest and its config.

use std::io;

use super::document::{Descriptor, Document, Flaw, ImageList, ImageManifest, IndexEntry, config_platform};
use super::index::{Index, TagError};
use super::walk::IndexWalk;
use super::{Blobs, DOCUMENT_LIMIT};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::image::index::BaseIndex;
use crate::image::json::RawObject;
use crate::image::platform::{Platform, Platforms};
use crate::image::{Base, BaseImage, media};
use crate::store::error::fault;
use crate::store::layers::blob::FileRange;
use crate::store::{NOT_FOUND, StoreError, make_base};

/// An OCI layout to read: its index, its blobs, and its name as the user wrote it.
pub struct Layout<'a> {
    pub shown: &'a str,
    pub index: &'a Index,
    pub blobs: &'a dyn Blobs,
}

/// Says that a document of a layout is malformed.
pub fn malformed(shown: &str, document: &str, flaw: &Flaw) -> StoreError {
    Diagnostic::error("layout-malformed", format!("{document} of `{shown}` {}", flaw.0))
        .hint("write the image there again, for example with `skopeo copy`")
        .into()
}

/// Says why no image was found for a tag.
pub(crate) fn no_image(shown: &str, tag: Option<&str>, why: TagError) -> StoreError {
    let diagnostic = match why {
        TagError::Unknown(names) if names.is_empty() => {
            Diagnostic::error(NOT_FOUND, format!("`{shown}` has no image")).hint("write an image there first")
        }
        TagError::Unknown(names) => {
            Diagnostic::error(NOT_FOUND, format!("`{shown}` has no image `{}`", tag.unwrap_or_default()))
                .hint(format!("it has: {}", names.join(", ")))
        }
        TagError::Several(names) => {
            Diagnostic::error("image-ambiguous", format!("`{shown}` has several images, and no tag was given"))
                .hint(format!("add a tag after a colon: {}", names.join(", ")))
        }
    };
    diagnostic.into()
}

/// Returns the index of a base after its walk. Fails if it lists no image.
pub fn base_index(
    shown: &str,
    document: Vec<u8>,
    media_type: String,
    walk: IndexWalk,
) -> Result<BaseIndex, StoreError> {
    if walk.images.is_empty() {
        return Err(malformed(shown, "the index", &Flaw("lists no image")));
    }
    let images = walk.images.into_iter().map(|image| image.written).collect();
    Ok(BaseIndex { document, media_type, images, others: walk.others })
}

/// Makes a descriptor of `index.json` the start of a walk.
fn as_entry(descriptor: &Descriptor) -> IndexEntry {
    IndexEntry { written: RawObject::default(), descriptor: descriptor.clone() }
}

impl Layout<'_> {
    /// Reads the image or the index of a tag and verifies it. For layers, only presence and size are checked.
    pub fn read(&self, tag: Option<&str>, platforms: &Platforms) -> Result<BaseImage, StoreError> {
        if *platforms == Platforms::All
            && let Some((index, bases)) = self.bases(tag)?
        {
            return Ok(BaseImage::Index(index, bases));
        }
        self.base(tag, platforms.asked()).map(BaseImage::One)
    }

    fn base(&self, tag: Option<&str>, platform: Option<&Platform>) -> Result<Base, StoreError> {
        let roots = self.index.find(tag).map_err(|why| no_image(self.shown, tag, why))?;
        let mut walk = self.walk(roots.into_iter().map(as_entry))?;
        for image in walk.without_platform(platform) {
            image.platform = self.platform(image)?;
        }
        self.image(walk.choose(self.shown, platform)?)
    }

    /// Reads every image of a tag's index; `None` if the tag points to one image.
    fn bases(&self, tag: Option<&str>) -> Result<Option<(BaseIndex, Vec<Base>)>, StoreError> {
        let roots = self.index.find(tag).map_err(|why| no_image(self.shown, tag, why))?;
        let [root] = roots[..] else {
            return Err(malformed(self.shown, "index.json", &Flaw("lists the platforms of one tag without an index")));
        };
        let bytes = self.document(root, "the manifest")?;
        match Document::read(&bytes, &root.media_type) {
            Ok(Document::Manifest(_)) => Ok(None),
            Ok(Document::Index(ImageList { media_type, entries })) => {
                let walk = self.walk(entries)?;
                let images = walk.images.iter().map(|image| self.image(&image.descriptor)).collect::<Result<_, _>>()?;
                Ok(Some((base_index(self.shown, bytes, media_type, walk)?, images)))
            }
            Err(flaw) => Err(malformed(self.shown, "the manifest", &flaw)),
        }
    }

    /// Finds the image with this config; `None` if it is absent or incomplete.
    pub(crate) fn find_by_config(&self, config: &Digest) -> Option<Base> {
        // one walk: of indexes that list the same ones, each is read once
        let mut walk = IndexWalk::from(self.index.descriptors().map(as_entry));
        while let Some(index) = walk.next_document().ok()? {
            // an index that cannot be read hides only what it lists
            let _ = self.document(&index, "an index").is_ok_and(|bytes| walk.take(&bytes).is_ok());
        }
        let mut images = walk.images.iter().filter_map(|image| self.image(&image.descriptor).ok());
        images.find(|base| Digest::of(base.config.bytes()) == *config)
    }

    fn image(&self, chosen: &Descriptor) -> Result<Base, StoreError> {
        let manifest = self.document(chosen, "a manifest")?;
        let references = self.manifest(&manifest, chosen)?;
        if !matches!(references.config.media_type.as_str(), media::OCI_CONFIG | media::DOCKER_CONFIG | "") {
            return Err(malformed(self.shown, "the manifest", &Flaw("is not a container image's")));
        }
        let config = self.document(&references.config, "the config")?;
        for layer in &references.layers {
            self.stat(layer)?;
        }
        make_base(self.shown, Some(chosen.digest.clone()), manifest, config)
    }

    /// Returns the digest that a tag points to; `None` if it is incomplete, or hidden from skopeo and Podman.
    pub(crate) fn tag_state(&self, tag: Option<&str>) -> Result<Option<Digest>, StoreError> {
        let Ok(roots) = self.index.find(tag) else { return Ok(None) };
        let [root] = roots[..] else { return Ok(None) };
        Ok(self.is_whole(root).then(|| self.identity(root)).flatten())
    }

    /// Returns the digest of the image or index that a descriptor of `index.json` points to. For the index that
    /// [`ImageParts::for_layout`](super::parts::ImageParts::for_layout) adds, it is the digest of its image.
    fn identity(&self, root: &Descriptor) -> Option<Digest> {
        if root.media_type == media::DOCKER_MANIFEST {
            return None;
        }
        let behind = || {
            let bytes = self.document(root, "the index").ok().filter(|_| root.media_type == media::OCI_INDEX)?;
            let Ok(Document::Index(ImageList { entries, .. })) = Document::read(&bytes, &root.media_type) else {
                return None;
            };
            let [only] = &entries[..] else { return None };
            (only.descriptor.media_type == media::DOCKER_MANIFEST).then(|| only.descriptor.digest.clone())
        };
        Some(behind().unwrap_or_else(|| root.digest.clone()))
    }

    /// Tells whether all blobs of the readable documents are there; a malformed document is ignored.
    fn is_whole(&self, root: &Descriptor) -> bool {
        let is_there = |document: &Descriptor| document.digest == root.digest || self.stat(document).is_ok();
        let mut walk = IndexWalk::from([as_entry(root)]);
        while let Ok(Some(index)) = walk.next_document() {
            let taken = self.document(&index, "an index").is_ok_and(|bytes| walk.take(&bytes).is_ok());
            if !taken && !is_there(&index) {
                return false;
            }
        }
        walk.images.iter().map(|image| &image.descriptor).all(|image| {
            let Ok(bytes) = self.document(image, "a manifest") else { return is_there(image) };
            match Document::read(&bytes, &image.media_type) {
                Ok(Document::Manifest(manifest)) => {
                    manifest.layers.iter().chain([&manifest.config]).all(|blob| self.stat(blob).is_ok())
                }
                _ => true,
            }
        })
    }

    /// Opens the layers of an image, the lowest first.
    pub fn layers(&self, base: &Base) -> Result<Vec<FileRange>, StoreError> {
        match Document::read(&base.manifest, media::OCI_MANIFEST) {
            Ok(Document::Manifest(manifest)) => manifest.layers.iter().map(|layer| self.open(&layer.digest)).collect(),
            _ => Err(malformed(self.shown, "the manifest", &Flaw("is not an image's"))),
        }
    }

    /// Opens a blob.
    pub(crate) fn open(&self, digest: &Digest) -> Result<FileRange, StoreError> {
        let opened = self.blobs.open(digest).map_err(|error| self.unreadable(digest, &error))?;
        opened.ok_or_else(|| {
            Diagnostic::error("blob-missing", format!("`{}` lacks the blob {digest}", self.shown))
                .cause("the copy of the image is incomplete, or the blob was removed")
                .hint("write the image there again, for example with `skopeo copy`")
                .into()
        })
    }

    fn unreadable(&self, digest: &Digest, error: &io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::InvalidData => self.damaged(digest),
            _ => fault("read", &format!("{} (blob {digest})", self.shown), error),
        }
    }

    fn damaged(&self, digest: &Digest) -> StoreError {
        Diagnostic::error("blob-damaged", format!("the blob {digest} of `{}` does not match its digest", self.shown))
            .hint("remove it, and write the image there again, for example with `skopeo copy`")
            .into()
    }

    fn stat(&self, blob: &Descriptor) -> Result<(), StoreError> {
        let piece = self.open(&blob.digest)?;
        if piece.size() == blob.size { Ok(()) } else { Err(self.damaged(&blob.digest)) }
    }

    /// Reads a document and verifies its size and digest.
    pub(crate) fn document(&self, descriptor: &Descriptor, what: &str) -> Result<Vec<u8>, StoreError> {
        if descriptor.size > DOCUMENT_LIMIT {
            return Err(malformed(self.shown, what, &Flaw("is larger than 16 MiB")));
        }
        let piece = self.open(&descriptor.digest)?;
        if piece.size() != descriptor.size {
            return Err(self.damaged(&descriptor.digest));
        }
        let bytes = piece.read_all(DOCUMENT_LIMIT).map_err(|error| self.unreadable(&descriptor.digest, &error))?;
        if Digest::of(&bytes) != descriptor.digest {
            return Err(self.damaged(&descriptor.digest));
        }
        Ok(bytes)
    }

    fn manifest(&self, bytes: &[u8], descriptor: &Descriptor) -> Result<ImageManifest, StoreError> {
        match Document::read(bytes, &descriptor.media_type) {
            Ok(Document::Manifest(manifest)) => Ok(manifest),
            Ok(Document::Index(_)) => Err(malformed(self.shown, "a manifest", &Flaw("is an index"))),
            Err(flaw) => Err(malformed(self.shown, "a manifest", &flaw)),
        }
    }

    /// Finds the images that entries of an index lead to.
    fn walk(&self, entries: impl IntoIterator<Item = IndexEntry>) -> Result<IndexWalk, StoreError> {
        let malformed = |flaw| malformed(self.shown, "the index", &flaw);
        let mut walk = IndexWalk::from(entries);
        while let Some(index) = walk.next_document().map_err(malformed)? {
            walk.take(&self.document(&index, "an index")?).map_err(malformed)?;
        }
        Ok(walk)
    }

    fn platform(&self, image: &Descriptor) -> Result<Option<Platform>, StoreError> {
        let manifest = self.document(image, "a manifest")?;
        let config = self.document(&self.manifest(&manifest, image)?.config, "the config")?;
        Ok(config_platform(&config))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;

    /// Blobs in memory, which counts how often one is opened.
    #[derive(Default)]
    struct Counted {
        blobs: BTreeMap<Digest, String>,
        opened: Cell<usize>,
    }

    impl Counted {
        /// Adds a blob and returns its descriptor.
        fn add(&mut self, text: String, media_type: &str) -> String {
            let digest = Digest::of(text.as_bytes());
            let descriptor = format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#, text.len());
            self.blobs.insert(digest, text);
            descriptor
        }
    }

    impl Blobs for Counted {
        fn open(&self, digest: &Digest) -> io::Result<Option<FileRange>> {
            self.opened.set(self.opened.get() + 1);
            let Some(text) = self.blobs.get(digest) else { return Ok(None) };
            let mut file = tempfile::tempfile()?;
            file.write_all(text.as_bytes())?;
            FileRange::whole(Arc::new(file)).map(Some)
        }
    }

    #[test]
    fn an_index_is_read_once_however_many_list_it_and_one_that_is_broken_hides_no_other() {
        let mut blobs = Counted::default();
        let config = "{}".to_owned();
        let wanted = Digest::of(config.as_bytes());
        let config = blobs.add(config, media::OCI_CONFIG);
        let image = blobs.add(format!(r#"{{"config":{config},"layers":[]}}"#), media::OCI_MANIFEST);
        let mut inner: Vec<String> =
            (0..20).map(|number| blobs.add(format!(r#"{{"x":{number},"manifests":[]}}"#), media::OCI_INDEX)).collect();
        inner.push(blobs.add("broken".to_owned(), media::OCI_INDEX));
        let inner = inner.join(",");
        let roots: Vec<String> = (0..20)
            .map(|number| blobs.add(format!(r#"{{"x":{number},"manifests":[{inner},{image}]}}"#), media::OCI_INDEX))
            .collect();
        let index = Index::read(format!(r#"{{"manifests":[{}]}}"#, roots.join(",")).as_bytes()).unwrap();
        let layout = Layout { shown: "docker-archive:x.tar", index: &index, blobs: &blobs };
        assert!(layout.find_by_config(&wanted).is_some());
        // each index, then the manifest and the config
        assert_eq!(blobs.opened.get(), 20 + 21 + 2);
        assert!(layout.find_by_config(&Digest::of(b"another")).is_none());
    }
}
